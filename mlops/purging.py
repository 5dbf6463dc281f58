"""Retention: takes away texts and rows that are older than the settings allow, a few at a time.

What was answered stays, with its figures: a prediction only forgets which call asked for it. A text that was labelled
stays, too, as it trains. Calls and answers stay counted by hour and day; their minutes go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from classifier import rollups
from classifier.models import ApiRequest, IdempotentAnswer, Label, Prediction, RefusalMinute, Ticket
from mlops.models import FILES_KEPT, ImportJob, Slot

REPEATABLE = timedelta(hours=24)  # how long a call may be sent again with its Idempotency-Key; the answers hold texts
SLOTS_KEPT = timedelta(days=7)  # 10,000 rows a day, and what failed a week ago helps nobody
MOST_SECONDS = 600.0  # of a night's job; what is left then waits for the next
BATCH = 1000  # rows a transaction
LEAST_REST = 0.05  # seconds; SQLite's writers ask again after so long
NAMES = {
    "answers": "answers that can be asked for again",
    "slots": "lines of the schedule log",
    "refusals": "minutes of refused calls",
    "request_minutes": "minutes of counted calls",
    "answer_minutes": "minutes of counted answers",
    "texts": "texts of tickets",
    "imports": "uploaded files",
    "requests": "API requests",
}


@dataclass(frozen=True)
class Purged:
    """What was taken away, counted by what it was (see NAMES). is_finished: nothing is left; else time ran out."""

    counts: Mapping[str, int]
    is_finished: bool = True

    def as_dict(self) -> dict[str, Any]:
        return {**self.counts, "is_finished": self.is_finished}

    def in_words(self, verb: str = "Removed") -> str:
        """One line, for the schedule log and for people.

        >>> Purged({"texts": 1200, "requests": 0}).in_words()
        'Removed: 1,200 texts of tickets.'
        """
        found = ", ".join(f"{count:,} {NAMES[name]}" for name, count in self.counts.items() if count)
        said = f"{verb}: {found}." if found else "Nothing is old enough to be removed."
        return said if self.is_finished else f"{said} Time ran out; the rest is removed next time."


def purge(
    now: datetime,
    *,
    seconds: float | None = MOST_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    rest: Callable[[float], None] = time.sleep,
) -> Purged:
    """Removes what is old enough, the oldest first, and gives the counts.

    Each batch is a transaction of its own: killed half-way, the next one goes on where this one ended. After each it
    rests for as long as that took, so that answers are stored meanwhile.
    seconds: after which it begins no other batch; None: it goes on to the end.
    """
    counts = dict.fromkeys(NAMES, 0)
    began = before = clock()
    for name, rows in _old(now).items():
        for ids in _batches(rows):
            if seconds is not None and clock() - began > seconds:
                return Purged(counts, is_finished=False)
            counts[name] += _remove(rows, ids, now=now)
            rest(max(LEAST_REST, clock() - before))
            before = clock()
    return Purged(counts)


def foresee(now: datetime) -> Purged:
    """What purge would remove now. Writes nothing."""
    return Purged({name: rows.count() for name, rows in _old(now).items()})


# --- What is old enough ---------------------------------------------------------------------------
def _old(now: datetime) -> dict[str, QuerySet[Any]]:
    """The rows that are old enough, in the order of their time."""
    requests_before = _cutoff(now, settings.REQUEST_RETENTION_DAYS)
    request_minutes, answer_minutes = rollups.spent_minutes(now)
    return {
        "answers": IdempotentAnswer.objects.filter(created_at__lt=now - REPEATABLE).order_by("created_at", "pk"),
        "slots": Slot.objects.before(now - SLOTS_KEPT).order_by("due_at", "pk"),
        "refusals": RefusalMinute.objects.filter(minute__lt=requests_before).order_by("minute", "pk"),
        "request_minutes": request_minutes.order_by("starts_at", "pk"),
        "answer_minutes": answer_minutes.order_by("starts_at", "pk"),
        "texts": _removable(_cutoff(now, settings.TEXT_RETENTION_DAYS)).order_by("created_at", "pk"),
        "imports": ImportJob.objects.with_old_files(now).order_by("created_at", "pk"),
        "requests": ApiRequest.objects.filter(created_at__lt=requests_before).order_by("created_at", "pk"),
    }


def _cutoff(now: datetime, days: int) -> datetime:
    """Before when something is too old; 0 days: nothing ever is."""
    return now - timedelta(days=days) if days else datetime.min.replace(tzinfo=UTC)


def _removable(before: datetime) -> QuerySet[Ticket]:
    """The tickets with a text that nobody labelled, and that nobody has asked about since."""
    asked_since = Prediction.objects.filter(ticket=OuterRef("pk"), created_at__gte=before)
    labels = Label.objects.filter(ticket=OuterRef("pk"))
    # A label gives a split; that the row itself says so makes Postgres look again, if it waits for one who labels.
    old = Ticket.objects.filter(text_removed_at=None, created_at__lt=before, split=None)
    return old.filter(~Exists(asked_since), ~Exists(labels))


def _batches(rows: QuerySet[Any]) -> Iterator[list[int]]:
    """The ids of the rows, in their order, a batch at a time; each row is looked at once, whatever becomes of it."""
    time_field = rows.query.order_by[0]
    page = rows.values_list(time_field, "pk")
    while found := list(page[:BATCH]):
        yield [pk for _, pk in found]
        moment, pk = found[-1]
        # The first condition is for the index, as many may be of one moment: those of a file are.
        later = Q(**{f"{time_field}__gt": moment}) | Q(pk__gt=pk)
        page = rows.filter(later, **{f"{time_field}__gte": moment}).values_list(time_field, "pk")


# --- Removing -------------------------------------------------------------------------------------
def _remove(rows: QuerySet[Any], ids: list[int], *, now: datetime) -> int:
    """Removes these of the rows, as far as they still are to be removed, in one transaction; their number."""
    chosen = rows.order_by().filter(pk__in=ids)
    with transaction.atomic():
        if rows.model is Ticket:
            return chosen.update(text=placeholder(now), text_removed_at=now)
        if rows.model is ImportJob:
            return _remove_files(chosen, now=now)
        if rows.model is ApiRequest:
            Prediction.objects.filter(request__in=ids).update(request=None)
        # Nothing else points at any of them. Django's own way would load them first, and look for that, by hundreds.
        return int(chosen._raw_delete(chosen.db))


def _remove_files(jobs: QuerySet[ImportJob], *, now: datetime) -> int:
    """Takes the files of imports away, and what quotes them; one that nobody started ends so, as it has none then."""
    emptied: dict[str, Any] = {"content": None, "refused": None, "preview": {}, "refusals": [], "files_removed_at": now}
    left = jobs.filter(status=ImportJob.Status.UPLOADED)
    words = f"Nobody started it within {FILES_KEPT.days} days, so its file was removed. Nothing was imported."
    n_left = left.update(status=ImportJob.Status.CANCELLED, ended_at=now, outcome=words, **emptied)
    return n_left + jobs.update(**emptied)


def placeholder(now: datetime) -> str:
    """What stands where a text was."""
    return (
        f"The text was removed on {now.astimezone(UTC):%Y-%m-%d}: it was older than "
        f"{settings.TEXT_RETENTION_DAYS} days, and nobody had labelled it."
    )
