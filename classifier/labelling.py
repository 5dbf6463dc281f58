"""What was right for tickets: one label at a time (set_label), and a file's worth at once (import_tickets)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
from django.db import IntegrityError, transaction
from django.utils import timezone
from numpy.typing import NDArray

from classifier import importing
from classifier.importing import Plan, Refusal, Refusals
from classifier.ml.text import banded
from classifier.ml.validation import Finding
from classifier.models import ApiKey, Category, Label, Split, Ticket, User
from classifier.placing import Newcomer, Progress, foresee, place, unseen, wait_for_turn
from classifier.reading import FileRow

T = TypeVar("T")
# Who outranks whom: a person who reviews knows better than one in a hurry, and anyone better than a program.
RANKS = {Label.Source.API: 0, Label.Source.IMPORT: 1, Label.Source.AGENT: 2, Label.Source.REVIEWER: 3}


class LabelOutranked(ValueError):
    """The ticket has another label from a source that knows better."""


class CategoryRetired(ValueError):
    """The category is not answered any more, so nothing new is labelled with it."""


class AlreadyLabelled(ValueError):
    """The ticket has a label, and whoever labels it now has not seen that."""

    def __init__(self, label: Label) -> None:
        self.label = label
        super().__init__(f"Ticket {label.ticket_id} has the label {label.category.slug!r} by now. Look at it again.")


class TextRemoved(ValueError):
    """The ticket's text was taken away as too old, so there is nothing that its label could teach."""

    def __init__(self, ticket: Ticket) -> None:
        super().__init__(
            f"A label needs the ticket's text; that of ticket {ticket.pk} was removed, as it was too old. Import the "
            "text again, or send it again with the ticket's external id, and label it then."
        )


@dataclass(frozen=True)
class Said:
    """A ticket's current label, and whether it was written just now or had said the same before."""

    label: Label
    is_new: bool


def set_label(
    ticket: Ticket,
    category: Category,
    *,
    source: str,
    by: User | None = None,
    key: ApiKey | None = None,
    now: datetime,
    seed: int = 0,
    is_first: bool = False,
) -> Said:
    """The ticket's current label: the one it has, if that says the same, else a new one; the old one is ended.

    by, key: who says it, a person or the client that holds the key. is_first: only if it has no other label yet.
    The same category from a source that outranks the label's replaces it as well, so that it counts for training. A
    ticket's first label also gives it its place (group and split); seed breaks ties between splits.
    Raises LabelOutranked, CategoryRetired, TextRemoved, AlreadyLabelled (with is_first), and Ticket.DoesNotExist if it
    was deleted meanwhile.
    """
    if not category.active:
        raise CategoryRetired(
            f"A label needs an active category; {category.slug!r} is retired. Choose another, or activate it."
        )
    wanted = Label(ticket=ticket, category=category, source=source, by=by, key=key, created_at=now)

    def write() -> Said:
        wanted.pk = None  # the first try's, if this is the second
        return _set_label(wanted, seed=seed, is_first=is_first)

    return _twice(write)


def _set_label(wanted: Label, *, seed: int, is_first: bool) -> Said:
    ticket = wanted.ticket
    bands = None
    if ticket.split is None:
        bands = banded([ticket.text])[0]
        wait_for_turn()  # before the ticket is locked: an import holds both in this order, too
    # One label at a time for a ticket, in a strength that keeps no answer from pointing at it. SQLite needs no lock.
    places = Ticket.objects.select_for_update(no_key=True).values_list("split", "group", "text_removed_at")
    ticket.split, ticket.group, ticket.text_removed_at = places.get(pk=ticket.pk)
    if ticket.text_removed_at is not None:
        raise TextRemoved(ticket)
    label = Label.objects.current().select_related("category", "by", "key").filter(ticket=ticket).first()
    if label is not None:
        gain = RANKS[Label.Source(wanted.source)] - RANKS[Label.Source(label.source)]
        if label.category_id == wanted.category_id and gain <= 0:
            return Said(label, is_new=False)
        if is_first and label.category_id != wanted.category_id:
            raise AlreadyLabelled(label)
        if gain < 0:
            raise LabelOutranked(
                f"Ticket {ticket.pk} is labelled {label.category.slug!r} by {label.source}, which outranks "
                f"{wanted.source}. Leave it, or correct it as {label.source}."
            )
        label.ended_at = max(wanted.created_at, label.created_at)  # a clock may have been set back
        label.save(update_fields=["ended_at"])
    if ticket.split is None and bands is not None:
        _place(ticket, wanted.category, bands=bands, seed=seed)
        ticket.refresh_from_db(fields=["split", "group"])
    wanted.save(force_insert=True)
    return Said(wanted, is_new=True)


def _place(ticket: Ticket, category: Category, *, bands: NDArray[np.int64], seed: int) -> None:
    if ticket.is_demo:  # it trains and tests nothing, so it must not draw real tickets to its side
        Ticket.objects.filter(pk=ticket.pk).update(split=Split.EXCLUDED, group=ticket.pk)
    else:
        place([Newcomer(ticket.pk, ticket.text, category.slug, bands)], seed=seed)


def _twice(write: Callable[[], T]) -> T:
    """Writes in one transaction, and once more if another one wrote the same in between: now it sees that."""
    try:
        with transaction.atomic():
            return write()
    except IntegrityError:
        with transaction.atomic():
            return write()


# --- A file's worth -------------------------------------------------------------------------------
@dataclass(frozen=True)
class ImportReport:
    """What an import did, or, where nothing was kept, what it would have done.

    n_labelled: tickets that were there without a label, or with one of the API that is confirmed or corrected now.
    refusals: the first in the file's order; n_refused_by_code counts all. notes: labels taken for others.
    per_category, per_split: the tickets that are new or newly labelled; per_split is empty if rows were refused.
    """

    n_rows: int
    n_new: int
    n_unchanged: int
    n_labelled: int
    n_refused: int
    n_refused_by_code: Mapping[str, int]
    refusals: tuple[Refusal, ...]
    per_category: Mapping[str, int]
    per_split: Mapping[str, int]
    categories_created: tuple[str, ...]
    notes: tuple[str, ...]
    dry_run: bool
    accepted: bool  # no row was refused, or bad ones are skipped and some are good

    @property
    def kept(self) -> bool:
        """Whether the database now has it."""
        return self.accepted and not self.dry_run

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The refusals that are named, as errors of a report on data."""
        return tuple(
            Finding(level="error", code=refusal.code, message=str(refusal), rows=(refusal.number,), count=1)
            for refusal in self.refusals
        )

    def with_splits(self, splits: Counter[str]) -> ImportReport:
        return replace(self, per_split={split: splits[split] for split in Split.values if splits[split]})

    def as_dict(self) -> dict[str, Any]:
        """The report in plain JSON types, with "kept"."""
        return {
            **vars(self),
            "n_refused_by_code": dict(self.n_refused_by_code),
            "refusals": [refusal._asdict() for refusal in self.refusals],
            "per_category": dict(self.per_category),
            "per_split": dict(self.per_split),
            "categories_created": list(self.categories_created),
            "notes": list(self.notes),
            "kept": self.kept,
        }


def import_tickets(
    rows: Iterable[FileRow],
    *,
    seed: int,
    dry_run: bool = False,
    create_categories: bool = False,
    skip_bad: bool = False,
    by: User | None = None,
    now: datetime | None = None,
    progress: Progress = unseen,
    look: Callable[[], None] | None = None,
    settle: Callable[[ImportReport], None] | None = None,
    refusals_kept: int = importing.REFUSALS_KEPT,
) -> ImportReport:
    """Brings labelled tickets in, all of them or none; the same rows a second time change nothing.

    A ticket is the same if its external id is or, without one, its normalised text. skip_bad: the good rows are kept
    although others are refused. dry_run: nothing is kept; nor is any ticket written, which would lock out everyone
    who writes to SQLite, unless there is a look: called when all is written, and before a dry run undoes that.
    settle: writes what must stand or fall with the rows; called last in their transaction, with the report, if they are
    kept. refusals_kept: how many refusals the report has in words.
    """
    n_rows, entries, broken = importing.collect(rows, most=refusals_kept)
    hopeless = bool(broken.kept) and not skip_bad  # then nothing will be written and nothing need be compared
    signatures = {} if hopeless else importing.signatures(entries, progress=progress)

    def decide() -> tuple[Plan, ImportReport]:
        plan = importing.decide(entries, create_categories=create_categories, most=refusals_kept)
        return plan, _report(plan, broken, n_rows=n_rows, dry_run=dry_run, skip_bad=skip_bad)

    def write() -> ImportReport:
        wait_for_turn()
        plan, report = decide()
        splits: Counter[str] = Counter()
        if report.accepted:
            at = now or timezone.now()
            splits = importing.write(plan, signatures=signatures, by=by, now=at, seed=seed, progress=progress)
            # After their places are written: from then on retention takes no text of theirs away.
            Ticket.objects.bring_back_texts({known.pk: entry.text for known, entry, _ in plan.known})
            if look is not None:
                look()
        return _settled(report.with_splits(splits), settle)

    if dry_run and look is None:
        plan, report = _undone(decide)
        newcomers = _newcomers(plan, signatures) if report.accepted else []
        return report.with_splits(foresee(newcomers, seed=seed))
    return _twice(write)


def _settled(report: ImportReport, settle: Callable[[ImportReport], None] | None) -> ImportReport:
    """The report, at the end of its transaction: what is not to be kept is undone, the rest is settled."""
    if not report.kept:
        transaction.set_rollback(True)
    elif settle is not None:
        settle(report)
    return report


def _undone(write: Callable[[], T]) -> T:
    """What it gives, and nothing that it wrote: the categories of a dry run."""

    def write_and_undo() -> T:
        found = write()
        transaction.set_rollback(True)
        return found

    return _twice(write_and_undo)


def _newcomers(plan: Plan, signatures: importing.Signatures) -> list[Newcomer]:
    """The tickets that importing.write would give places; new ones have no id yet, and each a number below zero."""
    new = [(-place, entry, category) for place, (entry, category) in enumerate(plan.new, 1)]
    known = [(ticket.pk, entry, category) for ticket, entry, category in plan.known if not ticket.is_placed]
    return [importing.newcomer(pk, entry, category, signatures) for pk, entry, category in (*new, *known)]


def _report(plan: Plan, broken: Refusals, *, n_rows: int, dry_run: bool, skip_bad: bool) -> ImportReport:
    """What a plan comes to, its splits apart. broken: the rows that were refused before."""
    refusals = broken.joined(plan.refusals)
    is_any_good = bool(plan.new or plan.known or plan.n_unchanged)
    categories = Counter(category.slug for _, category in plan.new)
    categories.update(category.slug for _, _, category in plan.known)
    return ImportReport(
        n_rows=n_rows,
        n_new=len(plan.new),
        n_unchanged=plan.n_unchanged,
        n_labelled=len(plan.known),
        n_refused=refusals.counts.total(),
        n_refused_by_code=dict(sorted(refusals.counts.items())),
        refusals=tuple(refusals.kept),
        per_category=dict(sorted(categories.items())),
        per_split={},
        categories_created=tuple(plan.created),
        notes=tuple(plan.notes),
        dry_run=dry_run,
        accepted=not refusals.kept or (skip_bad and is_any_good),
    )
