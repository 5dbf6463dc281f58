"""What a file's rows mean for the database, ticket and category of each, and writing that. Opens no transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from django.db.models import FilteredRelation, Q, Value
from django.db.models.functions import Greatest
from numpy.typing import NDArray

from classifier.ml.text import banded, normalise
from classifier.models import Category, Label, Ticket, User
from classifier.naming import MAX_LENGTH, CategoryNames, UnusableLabel
from classifier.placing import BATCH, Newcomer, Progress, batches, place
from classifier.reading import FileRow

REFUSALS_KEPT = 100  # enough to mend a file by; the rest are counted
NEW, UNCHANGED = "new", "unchanged"
UNUSABLE = f"of which no category can be made: that takes a letter or digit and at most {MAX_LENGTH} characters"
Signatures = Mapping[str, NDArray[np.int64]]  # bands by digest of the text


class Refusal(NamedTuple):
    """Why a row cannot be imported: its line, a stable code, and words with the mend."""

    number: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"Line {self.number} {self.message}"


@dataclass
class Refusals:
    """The rows that were refused: the first so many in words, all of them counted by code."""

    kept: list[Refusal] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    most: int = REFUSALS_KEPT

    def add(self, refusal: Refusal) -> None:
        self.counts[refusal.code] += 1
        if len(self.kept) < self.most:
            self.kept.append(refusal)

    def joined(self, later: Refusals) -> Refusals:
        """Those of two passes through a file, in the file's order again."""
        return Refusals(sorted(self.kept + later.kept)[: self.most], self.counts + later.counts, self.most)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that may be imported, as far as the row alone can tell."""

    number: int
    text: str
    digest: str
    label: str
    external_id: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """A ticket that is there, or that an earlier row adds (its pk is 0). label: its current category's id, if any."""

    pk: int
    digest: str
    external_id: str | None
    is_demo: bool
    is_placed: bool
    label: int | None
    source: str | None

    @property
    def is_firm(self) -> bool:
        """Whether it has a label that an import does not outrank."""
        return self.label is not None and self.source != Label.Source.API


@dataclass
class Plan:
    """What is to be written. To a known ticket a label is given; a weaker one, the API's, is confirmed or corrected."""

    new: list[tuple[Entry, Category]] = field(default_factory=list)
    known: list[tuple[Known, Entry, Category]] = field(default_factory=list)
    n_unchanged: int = 0
    refusals: Refusals = field(default_factory=Refusals)
    created: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# --- The rows alone -------------------------------------------------------------------------------
def collect(rows: Iterable[FileRow], *, most: int = REFUSALS_KEPT) -> tuple[int, list[Entry], Refusals]:
    """The number of rows, those that may be imported, and the others."""
    entries: list[Entry] = []
    refusals = Refusals(most=most)
    n_rows = 0
    for row in rows:
        n_rows += 1
        text, label = row.text or "", (row.label or "").strip()
        if row.fault is not None:
            refusals.add(Refusal(row.number, row.fault.code, row.fault.message))
        elif not normalise(text):
            refusals.add(Refusal(row.number, "empty_text", "has no text. Fill it in or delete the row."))
        elif not label:
            refusals.add(Refusal(row.number, "missing_label", "has no label. Label the ticket or delete the row."))
        else:
            entries.append(Entry(row.number, text, Ticket.digest(text), label, row.external_id))
    return n_rows, entries, refusals


def signatures(entries: Sequence[Entry], *, progress: Progress) -> Signatures:
    """The bands of the texts that have no firm label yet, before the transaction: on SQLite that stops all writers."""
    labels = KnownTickets.find(entries).labels
    wanted = {entry.digest: entry.text for entry in entries if entry.digest not in labels}
    found: dict[str, NDArray[np.int64]] = {}
    for batch in batches(progress(wanted.items(), len(wanted), "Comparing texts"), BATCH):
        found.update(zip((digest for digest, _ in batch), banded([held for _, held in batch]), strict=True))
    return found


# --- The rows and what is there -------------------------------------------------------------------
@dataclass
class KnownTickets:
    """The tickets that a file's rows may mean: those in the database, then also those that its earlier rows add."""

    by_external_id: dict[str, Known] = field(default_factory=dict)
    by_digest: dict[str, Known] = field(default_factory=dict)  # the first one, or the first with a firm label
    labels: dict[str, dict[int, int]] = field(default_factory=dict)  # firm ones: digest -> category id -> line or 0

    @classmethod
    def find(cls, entries: Sequence[Entry]) -> KnownTickets:
        found = cls()
        rows = (
            Ticket.objects.annotate(current=FilteredRelation("labels", condition=Q(labels__ended_at=None)))
            .order_by("pk")
            .values_list(
                "pk", "text_digest", "external_id", "is_demo", "split", "current__category_id", "current__source"
            )
        )
        for batch in batches({entry.digest for entry in entries}):
            for row in rows.filter(text_digest__in=batch, is_demo=False).iterator():
                found.add(_known(row), line=0)
        for batch in batches({entry.external_id for entry in entries if entry.external_id}):
            found.by_external_id.update({row[2] or "": _known(row) for row in rows.filter(external_id__in=batch)})
        return found

    def add(self, ticket: Known, *, line: int) -> None:
        held = self.by_digest.setdefault(ticket.digest, ticket)
        if ticket.label is not None and ticket.is_firm:
            self.labels.setdefault(ticket.digest, {}).setdefault(ticket.label, line)
            if not held.is_firm:
                self.by_digest[ticket.digest] = ticket
        if ticket.external_id is not None:
            self.by_external_id[ticket.external_id] = ticket

    def meaning(self, entry: Entry, category: Category, *, names: CategoryNames) -> Known | Refusal | str:
        """What an entry is: a known ticket that its label goes to, NEW, UNCHANGED, or a refusal."""
        by_id = entry.external_id is not None
        ticket = self.by_external_id.get(entry.external_id or "") if by_id else self.by_digest.get(entry.digest)
        if ticket is not None and (ticket.is_demo or ticket.digest != entry.digest):
            fact = f"has the external id {entry.external_id!r}, which a ticket with another text has"
            return Refusal(entry.number, "external_id_taken", f"{fact}. Give it another id or that text.")
        labels = self.labels.get(entry.digest, {})
        if ticket is not None and ticket.label is not None and ticket.is_firm:
            labels = {ticket.label: labels.get(ticket.label, 0)}  # what the very ticket says outweighs its likes
        if labels and category.pk not in labels:
            other, line = next(iter(labels.items()))
            where = f"line {line}" if line else "a ticket in the database"
            fact = f"has the text of {where}, whose label is {names.slug(other)!r} and not {category.slug!r}"
            return Refusal(entry.number, "conflict", f"{fact}. Decide which is right and correct the other.")
        if ticket is None:
            return NEW
        return UNCHANGED if ticket.is_firm else ticket


def _known(row: Sequence[Any]) -> Known:
    pk, digest, external_id, is_demo, split, label, source = row
    return Known(pk, digest, external_id, is_demo, split is not None, label, source)


def decide(entries: Sequence[Entry], *, create_categories: bool, most: int = REFUSALS_KEPT) -> Plan:
    """What each entry means for the database as it is now. Categories that are to be created are written at once."""
    plan = Plan(refusals=Refusals(most=most))
    names = CategoryNames(Category.objects.all())
    if create_categories:
        _create_categories(entries, names, plan)
    tickets = KnownTickets.find(entries)
    for entry in entries:
        category = _category(entry, names, create_categories=create_categories)
        if isinstance(category, Refusal):
            plan.refusals.add(category)
            continue
        meaning = tickets.meaning(entry, category, names=names)
        if isinstance(meaning, Refusal):
            plan.refusals.add(meaning)
        elif isinstance(meaning, Known):
            plan.known.append((meaning, entry, category))
            tickets.add(replace(meaning, label=category.pk, source=Label.Source.IMPORT), line=entry.number)
        elif meaning == NEW:
            plan.new.append((entry, category))
            added = Known(0, entry.digest, entry.external_id, False, False, category.pk, Label.Source.IMPORT)
            tickets.add(added, line=entry.number)
        else:
            plan.n_unchanged += 1
    return plan


def _category(entry: Entry, names: CategoryNames, *, create_categories: bool) -> Category | Refusal:
    shown = repr(entry.label[:40])
    category = names.find(entry.label)
    if category is None:
        if create_categories:
            return Refusal(entry.number, "unusable_label", f"has the label {shown}, {UNUSABLE}. Rename it.")
        near = names.nearest(entry.label)
        guess = f"Did you mean {near!r}? " if near else ""
        mend = "Correct it, or make the category (--create-categories)."
        return Refusal(entry.number, "unknown_label", f"has the label {shown}, which no category has. {guess}{mend}")
    if not category.active:
        mend = "Correct the label, or activate the category in the admin."
        return Refusal(entry.number, "category_retired", f"has the label {shown}, a retired category. {mend}")
    return category


def _create_categories(entries: Iterable[Entry], names: CategoryNames, plan: Plan) -> None:
    """Writes a category for each label that has none and can have one."""
    new: list[Category] = []
    for label in dict.fromkeys(entry.label for entry in entries):
        if names.find(label) is not None:
            continue
        try:
            category, is_new = names.make(label)
        except UnusableLabel:
            continue
        if is_new:
            new.append(category)
        else:
            plan.notes.append(f"Label {label!r} was taken for the category {category.slug!r}.")
    Category.objects.bulk_create(new)
    plan.created += [category.slug for category in new]


# --- Into the database ----------------------------------------------------------------------------
def write(
    plan: Plan, *, signatures: Signatures, by: User | None, now: datetime, seed: int, progress: Progress
) -> Counter[str]:
    """Writes tickets and labels and gives places; returns how many tickets went to each split."""
    newcomers = _write_new(plan.new, signatures, by=by, now=now, progress=progress)
    for batch in batches(plan.known, BATCH):
        for part in batches(known.pk for known, _, _ in batch if known.label is not None):
            # Not what a person has said since: then the insert meets the constraint, and all is decided anew.
            weaker = Label.objects.current().filter(ticket_id__in=part, source=Label.Source.API)
            weaker.update(ended_at=Greatest("created_at", Value(now)))  # a clock may have been set back
        _write_labels([(known.pk, category) for known, _, category in batch], by=by, now=now)
        newcomers += [
            newcomer(known.pk, entry, category, signatures) for known, entry, category in batch if not known.is_placed
        ]
    return place(newcomers, seed=seed, progress=progress)


def _write_new(
    new: Sequence[tuple[Entry, Category]],
    signatures: Signatures,
    *,
    by: User | None,
    now: datetime,
    progress: Progress,
) -> list[Newcomer]:
    newcomers: list[Newcomer] = []
    source = Ticket.Source.IMPORT
    for batch in batches(progress(new, len(new), "Storing tickets"), BATCH):
        tickets = Ticket.objects.bulk_create(
            Ticket(text=row.text, text_digest=row.digest, external_id=row.external_id, source=source, created_at=now)
            for row, _ in batch
        )
        written = [(ticket.pk, row, category) for ticket, (row, category) in zip(tickets, batch, strict=True)]
        _write_labels([(pk, category) for pk, _, category in written], by=by, now=now)
        newcomers += [newcomer(pk, row, category, signatures) for pk, row, category in written]
    return newcomers


def _write_labels(pairs: Iterable[tuple[int, Category]], *, by: User | None, now: datetime) -> None:
    source = Label.Source.IMPORT
    Label.objects.bulk_create(
        Label(ticket_id=ticket_id, category_id=category.pk, source=source, by=by, created_at=now)
        for ticket_id, category in pairs
    )


def newcomer(ticket_id: int, entry: Entry, category: Category, known: Signatures) -> Newcomer:
    bands = known.get(entry.digest)
    if bands is None:  # its label went between the look before the transaction and the one in it
        bands = banded([entry.text])[0]
    return Newcomer(ticket_id, entry.text, category.slug, bands)
