"""What a training has to work with: the labelled tickets, read, thinned out, counted, checked, frozen. Fits nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Count, FilteredRelation, Q

from classifier.ml.split import SPLITS
from classifier.ml.text import fingerprint
from classifier.ml.validation import Finding, Report, Row, check
from classifier.models import Category, Label, Split, Ticket
from mlops.evaluation import Tickets
from mlops.models import Dataset


@dataclass(frozen=True)
class Labelled:
    """A ticket that may train: its text, what is right for it, and the split where it stands."""

    ticket_id: int
    text: str
    category: str
    split: str


@dataclass(frozen=True)
class Material:
    """Tickets that may train, in the order of their ids, and why the tickets of other categories were left out."""

    labelled: tuple[Labelled, ...]
    left_out: tuple[Finding, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint((ticket.text, ticket.category) for ticket in self.labelled)

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(sorted({ticket.category for ticket in self.labelled}))

    def of(self, *splits: str) -> Tickets:
        """The texts and the truth of splits, split by split: the order in which a frozen dataset gives them again."""
        chosen = [ticket for split in splits for ticket in self.labelled if ticket.split == split]
        return Tickets(
            texts=tuple(ticket.text for ticket in chosen),
            truth=tuple(ticket.category for ticket in chosen),
            ids=tuple(ticket.ticket_id for ticket in chosen),
        )


def gather() -> Material:
    """The tickets with a current, confirmed label and a split, of the categories that have enough of them."""
    rows = (
        Label.objects.for_training()
        .exclude(ticket__split=None)
        .exclude(ticket__split=Split.EXCLUDED)
        .order_by("ticket_id")
        .values_list("ticket_id", "ticket__text", "category__slug", "ticket__split")
    )
    labelled = [Labelled(pk, text, slug, str(split)) for pk, text, slug, split in rows]
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for ticket in labelled:
        found[ticket.category][ticket.split] += 1
    left_out = too_small(found)
    return Material(
        labelled=tuple(ticket for ticket in labelled if ticket.category not in left_out),
        left_out=tuple(left_out.values()),
    )


def too_small(found: Mapping[str, Counter[str]]) -> dict[str, Finding]:
    """The categories that cannot enter a training, each with a warning that says why.

    found: the tickets that may train, {category: {split: tickets}}; active categories without any count as empty.
    """
    wanted = settings.MIN_TICKETS_PER_CATEGORY
    warnings = {}
    for slug in sorted({*Category.objects.active().values_list("slug", flat=True), *found}):
        counts = found.get(slug, Counter())
        total, empty = counts.total(), [split for split in SPLITS if not counts[split]]
        if total < wanted:
            fact = f"needs {wanted} labelled tickets to enter a training; it has {total}"
        elif empty:  # near-duplicates stay together, so many tickets can still be few different ones
            fact = f"needs different tickets in every split; its {total} are too much alike, so {empty[0]} has none"
        else:
            continue
        message = f"Category {slug!r} {fact}, so it is left out. Label or import more of its tickets."
        warnings[slug] = Finding(level="warning", code="category_left_out", message=message, rows=(), count=total)
    return warnings


def validate(material: Material, *, refusals: tuple[Finding, ...] = ()) -> Report:
    """The report on what would be trained on; its row numbers are the tickets' ids.

    refusals: errors found before, in a file that was to be imported.
    """
    report = check(
        (Row(ticket.ticket_id, ticket.text, ticket.category, ticket.split) for ticket in material.labelled),
        categories=material.categories,
        imbalance_ratio=settings.IMBALANCE_RATIO,
    )
    left_out = material.left_out
    if len(material.categories) < 2:  # then what was left out is why there is nothing to learn
        left_out = tuple(replace(finding, level="error") if finding.count else finding for finding in left_out)
    return replace(report, findings=(*refusals, *report.findings, *left_out))


def freeze(material: Material) -> Dataset:
    """The dataset row of these tickets; the one that is there already if nothing has changed since."""
    members: dict[str, dict[str, list[int]]] = {split: {} for split in SPLITS}
    for ticket in material.labelled:
        members[ticket.split].setdefault(ticket.category, []).append(ticket.ticket_id)
    for dataset in Dataset.objects.filter(fingerprint=material.fingerprint):
        if dataset.members == members:  # the same texts may stand in other splits, or be other tickets
            return dataset
    counts = {split: {slug: len(ids) for slug, ids in members[split].items()} for split in SPLITS}
    return Dataset.objects.create(fingerprint=material.fingerprint, members=members, counts=counts)


# --- Counted --------------------------------------------------------------------------------------
class Reason(models.TextChoices):
    """Why a ticket is left out of a training; of several the first."""

    DEMO = "demo", "made up for demonstration"
    WITHOUT_LABEL = "without_label", "without a label"
    CATEGORY_RETIRED = "category_retired", "of a retired category"
    UNCONFIRMED = "unconfirmed", "labelled by an API key alone: let an agent or reviewer confirm them"
    EXCLUDED = "excluded_near_duplicates", "near-duplicates of tickets in two splits"
    TOO_SMALL = "category_too_small", "of a category with too few different tickets"


@dataclass(frozen=True)
class Tally:
    """All tickets, counted: those a training would use, {split: {category: tickets}}, and the others by reason."""

    used: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, int]

    @property
    def n_used(self) -> int:
        return sum(sum(counts.values()) for counts in self.used.values())

    @property
    def n_left_out(self) -> int:
        return sum(self.left_out.values())

    def as_dict(self) -> dict[str, Any]:
        """The counts in plain JSON types; n_tickets is the sum of the other two."""
        return {
            "n_tickets": self.n_used + self.n_left_out,
            "n_used": self.n_used,
            "n_left_out": self.n_left_out,
            "used": {split: dict(counts) for split, counts in self.used.items()},
            "left_out": dict(self.left_out),
        }


def tally() -> Tally:
    """Each ticket of the database counted once: as used, or left out for its first reason. One query, no text read."""
    left_out: Counter[str] = Counter()
    found: dict[str, Counter[str]] = defaultdict(Counter)
    rows = (
        Ticket.objects.annotate(current=FilteredRelation("labels", condition=Q(labels__ended_at=None)))
        .order_by()
        .values_list("is_demo", "split", "current__source", "current__category__slug", "current__category__active")
        .annotate(Count("pk"))
    )
    for is_demo, split, source, slug, active, count in rows:
        reason = _reason(is_demo=is_demo, split=split, source=source, active=active)
        if reason is None:
            found[slug][split] += count
        else:
            left_out[reason] += count
    for slug in too_small(found).keys() & found.keys():
        left_out[Reason.TOO_SMALL] += found.pop(slug).total()
    return Tally(
        used={split: {slug: found[slug][split] for slug in sorted(found)} for split in SPLITS},
        left_out={reason.value: left_out[reason] for reason in Reason},
    )


def _reason(*, is_demo: bool, split: str | None, source: str | None, active: bool | None) -> Reason | None:
    """Why gather() would not take such a ticket, categories that are too small apart."""
    if is_demo:
        return Reason.DEMO
    if source is None or split is None:  # a label gives a split, so there is neither or both
        return Reason.WITHOUT_LABEL
    if not active:
        return Reason.CATEGORY_RETIRED
    if source not in Label.training_sources():
        return Reason.UNCONFIRMED
    return Reason.EXCLUDED if split == Split.EXCLUDED else None
