"""What a training has to work with: the labelled tickets, read, thinned out, validated and frozen. Fits nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from django.conf import settings

from classifier.ml.text import fingerprint
from classifier.ml.validation import Finding, Report, Row, check
from classifier.models import Category, Label, Split
from mlops.evaluation import SPLITS, Tickets
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
    left_out = too_small(labelled, categories=list(Category.objects.active().values_list("slug", flat=True)))
    return Material(
        labelled=tuple(ticket for ticket in labelled if ticket.category not in left_out),
        left_out=tuple(left_out.values()),
    )


def too_small(labelled: Sequence[Labelled], *, categories: Sequence[str]) -> dict[str, Finding]:
    """The categories that cannot enter a training, each with a warning that says why."""
    wanted = settings.MIN_TICKETS_PER_CATEGORY
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for ticket in labelled:
        found[ticket.category][ticket.split] += 1
    warnings = {}
    for slug in sorted({*categories, *found}):
        total, empty = found[slug].total(), [split for split in SPLITS if not found[slug][split]]
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
    return replace(report, findings=(*refusals, *report.findings, *material.left_out))


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
