"""Writes the counts of each minute that is over, and of the hours and days that it completes.

The open hour and day have no rows yet: reading.py reads them from their minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from classifier.models import AnswerRollup, ApiRequest, Grain, Prediction, RequestRollup, RolledUp
from classifier.rollups.counting import (
    ANSWER_KEY,
    REQUEST_KEY,
    SPANS,
    as_columns,
    ceil,
    floor,
    raw_answers,
    raw_requests,
    rolled_answers,
    rolled_requests,
)

LATE = timedelta(minutes=3)  # a call's row has the time when it was answered, and is seen when its transaction commits
MINUTES_KEPT = timedelta(days=8)  # pages show minutes of at most a week
BATCH = 1000  # rows an INSERT
FINER = {Grain.HOUR: Grain.MINUTE, Grain.DAY: Grain.HOUR}


def roll_up(now: datetime) -> str:
    """Rolls up every minute that is over, from where the last one ended; what came of it, in words.

    A transaction is a day at most, so that a first run over a long past goes on where it was cut off. The newest
    minutes are counted again, for rows that came late, unless retention has been at their raw rows. Of two at once,
    the second leaves it to the first.
    """
    upto = floor(now, Grain.MINUTE)
    begin = _first_moment()
    if begin is None or (began := _begin(begin)) >= upto:
        return "No minute to roll up."
    while (until := _roll_up_a_day(upto, now=now)) is not None:
        if until >= upto:
            minutes = round((until - began) / SPANS[Grain.MINUTE])
            return f"Rolled up {minutes:,} {'minute' if minutes == 1 else 'minutes'}, until {until:%Y-%m-%d %H:%M} UTC."
    return "Left alone: another one is rolling up."


def rebuild(since: datetime, until: datetime, *, is_demo: bool) -> None:
    """Counts again what is rolled up of this time, made-up rows or real ones, after some were made in it or removed.

    What retention may have removed the raw rows of keeps its counts.
    """
    begin = floor(since, Grain.HOUR)  # an hour is counted from all of its minutes, and those may be gone
    while begin < until:
        with transaction.atomic():
            row = RolledUp.objects.select_for_update().first()
            if row is None or begin >= row.until:
                return
            end = min(floor(begin, Grain.DAY) + SPANS[Grain.DAY], ceil(until, Grain.HOUR), row.until)
            kept = min(end, max(begin, ceil(_retained_since(timezone.now()), Grain.HOUR)))
            _write(REQUESTS, kept, end, where={"is_demo": is_demo})
            _write(ANSWERS, begin, end, where={"is_demo": is_demo})
        begin = end


def spent_minutes(now: datetime) -> tuple[QuerySet[RequestRollup], QuerySet[AnswerRollup]]:
    """The minutes that no page shows any more and that no hour is still to be counted from."""
    row = RolledUp.objects.first()
    before = now - MINUTES_KEPT
    if row is not None:
        before = min(before, floor(row.until - LATE, Grain.HOUR))
    old = {"grain": Grain.MINUTE, "starts_at__lt": before}
    return RequestRollup.objects.filter(**old), AnswerRollup.objects.filter(**old)


def _first_moment(since: datetime | None = None) -> datetime | None:
    """When the first call or answer was (from since on), taken down to its minute; None if there is none."""
    where = {} if since is None else {"created_at__gte": since}
    firsts = [
        table.filter(**where).aggregate(first=Min("created_at"))["first"]
        for table in (ApiRequest.objects.all(), Prediction.objects.all())
    ]
    found = [first for first in firsts if first is not None]
    return floor(min(found), Grain.MINUTE) if found else None


def _begin(first: datetime) -> datetime:
    """Until when it is rolled up; the first moment, noted as such, if it never was."""
    return RolledUp.objects.get_or_create(id=1, defaults={"until": first})[0].until


def _roll_up_a_day(upto: datetime, *, now: datetime) -> datetime | None:
    """Rolls up to the end of a day or upto; until when it is rolled up then, or None if another one is at it."""
    with transaction.atomic():
        row = RolledUp.objects.select_for_update(skip_locked=True).first()
        if row is None or row.until >= upto:  # on SQLite the other one has ended, as the transaction waited for it
            return None if row is None else row.until
        since = row.until - LATE if row.until - LATE >= _retained_since(now) else row.until
        end = min(floor(row.until, Grain.DAY) + SPANS[Grain.DAY], upto)
        _write(REQUESTS, since, end, where={})
        _write(ANSWERS, since, end, where={})
        row.until = end if end == upto else min(upto, max(end, _first_moment(end) or upto))  # over days without a row
        row.save(update_fields=["until"])
    return row.until


def _retained_since(now: datetime) -> datetime:
    """From when on no call's row can have been removed as too old; see mlops/purging.py."""
    days = settings.REQUEST_RETENTION_DAYS
    return now - timedelta(days=days) if days else datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Table:
    """How one of the two tables is counted: from raw rows, from finer rollups, and a key's counts as columns."""

    model: type[Any]  # RequestRollup or AnswerRollup
    key: tuple[str, ...]
    raw: Callable[..., Any]
    rolled: Callable[..., Any]
    columns: Callable[[Any], dict[str, Any]]


REQUESTS = Table(
    RequestRollup,
    REQUEST_KEY,
    raw_requests,
    rolled_requests,
    lambda latencies: {"count": sum(latencies.values()), "latencies": as_columns(latencies)},
)
ANSWERS = Table(
    AnswerRollup,
    ANSWER_KEY,
    raw_answers,
    rolled_answers,
    lambda counted: {"count": counted[0], "confidence_sum": counted[1]},
)


def _write(table: Table, since: datetime, until: datetime, *, where: dict[str, Any]) -> None:
    """Replaces the minutes from since to before until, and the hours and days that they complete."""
    rollups = table.model._default_manager
    counted = table.raw(since, until, grain=Grain.MINUTE, where=where)
    for grain, begin, end in _spans(since, until):
        if grain in FINER:
            finer = rollups.filter(grain=FINER[grain], starts_at__gte=begin, starts_at__lt=end, **where)
            counted = table.rolled(finer, grain=grain)
        rollups.filter(grain=grain, starts_at__gte=begin, starts_at__lt=end, **where).delete()
        rows = (
            table.model(grain=grain, starts_at=at, **dict(zip(table.key, key, strict=True)), **table.columns(counts))
            for (at, *key), counts in counted.items()
        )
        rollups.bulk_create(rows, batch_size=BATCH)


def _spans(since: datetime, until: datetime) -> Iterator[tuple[Grain, datetime, datetime]]:
    """For each grain, the finest first, from when to before when its whole spans are to be written."""
    for grain in Grain:
        begin, end = floor(since, grain), floor(until, grain)
        if begin < end:
            yield grain, begin, end
