"""Which tickets wait for a person, the least certain first, near-duplicates folded, and who has which before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet

from classifier.lining_up import catch_up
from classifier.ml.text import groups, near
from classifier.models import Category, Claim, Label, ModelVersion, Prediction, Ticket, User, Waiting

CANDIDATES = 300  # tickets that are looked at for the next one: enough to fold, and read in milliseconds
COUNTED = 1000  # beyond it nobody needs to know how many wait, and counting a hundred thousand takes a second
MOST_ALIKE = 50  # near-duplicates that are shown and labelled with a ticket; further ones come after them
# Characters. Longer texts are folded only with equal ones: shingling 300 letters of 10,000 takes seconds.
LONGEST_COMPARED = 2000
CLAIM_LASTS = timedelta(minutes=5)  # who has looked at a ticket for longer has gone for coffee


@dataclass(frozen=True)
class Wanted:
    """What a person wants to look at; nothing given: all that waits."""

    category: Category | None = None  # as the model guessed
    version: ModelVersion | None = None  # that guessed
    reason: str = ""  # why a person should look


@dataclass(frozen=True)
class Fold:
    """A ticket that waits, with what was guessed of it, and the tickets that say the same."""

    guess: Prediction
    alike: list[Ticket]

    @property
    def ticket(self) -> Ticket:
        return self.guess.ticket


@dataclass(frozen=True)
class Next:
    """What a person is shown. n_waiting: at most COUNTED + 1; is_again: it was skipped before, and the rest is done."""

    fold: Fold | None
    n_waiting: int
    is_again: bool = False


@dataclass(frozen=True)
class Reader:
    """Who looks. skipped: ids of tickets that should wait for the rest, the one that was skipped first in front."""

    by: User
    skipped: Sequence[int] = field(default=())


def waiting(wanted: Wanted) -> QuerySet[Waiting]:
    """The tickets that are lined up: those that were sent to review first, then the least certain."""
    rows = Waiting.objects.all()
    if wanted.category is not None:
        rows = rows.filter(category=wanted.category)
    if wanted.version is not None:
        rows = rows.filter(version=wanted.version)
    if wanted.reason:
        rows = rows.filter(decision=Prediction.Decision.REVIEW, reason=wanted.reason)
    return rows


def first_of(rows: QuerySet[Waiting], *, limit: int) -> list[tuple[int, int]]:
    """The first rows that do wait, as (ticket, prediction).

    Whatever was labelled since, or lost its text, is met here and taken out of the line, so that each is met once.
    """
    has_label = Exists(Label.objects.current().filter(ticket=OuterRef("ticket")))
    while True:
        found = list(rows.values_list("ticket", "prediction", has_label, "ticket__text_removed_at")[:limit])
        done = [ticket for ticket, _, is_labelled, removed_at in found if is_labelled or removed_at]
        if not done:
            return [(ticket, prediction) for ticket, prediction, *_ in found]
        Waiting.objects.filter(ticket__in=done).delete()


def look(wanted: Wanted, reader: Reader, *, now: datetime, ticket_id: int | None = None) -> Next:
    """The next ticket for a person, and claims it: what others look at now is left to them while there is more.

    ticket_id: of one that is shown before all others, if it waits.
    """
    catch_up(now)
    rows = waiting(wanted)
    pairs = first_of(rows.exclude(ticket__in=reader.skipped), limit=COUNTED + 1)
    is_again = not pairs and bool(reader.skipped)
    if is_again:
        pairs = first_of(rows.filter(ticket__in=reader.skipped), limit=COUNTED + 1)
        pairs.sort(key=lambda pair: reader.skipped.index(pair[0]))
    n_waiting = len(pairs)
    if ticket_id is not None:
        asked = first_of(Waiting.objects.filter(ticket=ticket_id), limit=1)
        pairs = [*asked, *(pair for pair in pairs if pair[0] != ticket_id)]
    folds = folded(_read([prediction for _, prediction in pairs[:CANDIDATES]]))
    if not folds:
        return Next(None, n_waiting=0)
    fold = _free(folds, reader.by, now=now, ticket_id=ticket_id)
    claim = Claim(by=reader.by, ticket=fold.ticket, at=now)
    Claim.objects.bulk_create([claim], update_conflicts=True, unique_fields=["by"], update_fields=["ticket", "at"])
    return Next(fold, n_waiting=n_waiting, is_again=is_again)


def _read(pks: Sequence[int]) -> list[Prediction]:
    """The predictions with what a page tells of them, in this order."""
    rows = Prediction.objects.select_related("ticket", "category", "version").defer(*ModelVersion.heavy("version"))
    found = rows.in_bulk(pks)
    return [found[pk] for pk in pks if pk in found]


def folded(guesses: Sequence[Prediction]) -> list[Fold]:
    """The tickets with those that are near each one behind it, in the order of the first of each."""
    short = [guess for guess in guesses if len(guess.ticket.text) <= LONGEST_COMPARED]
    names = dict(zip((guess.pk for guess in short), groups([guess.ticket.text for guess in short]), strict=True))
    folds: dict[int | str, Fold] = {}
    for guess in guesses:
        fold = folds.setdefault(names.get(guess.pk, guess.ticket.text_digest), Fold(guess, []))
        if fold.guess is not guess:
            fold.alike.append(guess.ticket)
    return list(folds.values())


def _free(folds: Sequence[Fold], by: User, *, now: datetime, ticket_id: int | None) -> Fold:
    """The first fold that nobody else looks at now, or the first of all; behind it what is near it and not only near
    a near one.
    """
    others = Claim.objects.exclude(by=by).filter(at__gt=now - CLAIM_LASTS).values_list("ticket", flat=True)
    claimed = set(others) - {ticket_id}
    free = (fold for fold in folds if claimed.isdisjoint([fold.ticket.pk, *(ticket.pk for ticket in fold.alike)]))
    fold = next(free, folds[0])
    return Fold(fold.guess, near_to(fold.ticket, fold.alike)[:MOST_ALIKE])


def near_to(ticket: Ticket, others: Iterable[Ticket]) -> list[Ticket]:
    """Those of the others that say the same as the ticket: equal but for case and spaces, or near-duplicates."""
    return [other for other in others if _says_the_same(ticket, other)]


def _says_the_same(one: Ticket, other: Ticket) -> bool:
    if one.text_digest == other.text_digest:
        return True
    return max(len(one.text), len(other.text)) <= LONGEST_COMPARED and near(one.text, other.text)
