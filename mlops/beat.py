"""Beat's scheduler: it claims the slot of each due moment before it sends, so that two beats send it once.

celery beat is started with it by CELERY_BEAT_SCHEDULER. A database or a broker that is away costs no schedule its
place: beat goes on, and sends the newest moment of each when they are back.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import schedules
from celery.beat import SchedulingError
from django.db import Error
from django.utils import timezone
from django_celery_beat.clockedschedule import clocked
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from mlops import slots
from mlops.models import Slot

logger = logging.getLogger(__name__)
TRY_AGAIN_SECONDS = 5.0  # as often as beat looks for changed schedules
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BROKER_AWAY = (OperationalError, RedisError, OSError)
# They name no address: that stands in beat's log.
AWAY = "Not sent: the broker does not answer. It is sent when that is back, if it is still worth it then."
NO_MESSAGE = "Not sent: no message can be made of it. Look at the schedule's arguments; beat's log says more."


def floored(moment: datetime, every: timedelta, *, anchor: datetime = EPOCH) -> datetime:
    """The last moment up to this one that lies whole intervals from the anchor.

    >>> floored(datetime(2026, 11, 23, 9, 30, 17, tzinfo=UTC), timedelta(seconds=30)).isoformat()
    '2026-11-23T09:30:00+00:00'
    """
    return anchor + (moment - anchor) // every * every


def due_minute(crontab: Any, *, since: datetime, now: datetime) -> datetime:
    """The newest minute of a crontab from since to now: 02:30 for one that beat, away till 02:47, makes up for then.

    This minute, if there is none: where a clock is put forward, Celery runs what its zone skips.
    """
    minute = now.astimezone(crontab.tz).replace(second=0, microsecond=0)
    while minute + MINUTE > since:
        weekday = minute.isoweekday() % 7  # Sunday is 0
        if (
            minute.day not in crontab.day_of_month
            or minute.month not in crontab.month_of_year
            or weekday not in crontab.day_of_week
        ):
            minute = minute.replace(hour=0, minute=0) - MINUTE  # the day before
        elif minute.hour in crontab.hour and minute.minute in crontab.minute:
            return minute.astimezone(UTC)
        else:
            minute -= MINUTE
    return now.astimezone(UTC).replace(second=0, microsecond=0)


class SlotEntry(ModelEntry):  # type: ignore[misc]
    """A schedule whose moments are the same for every beat, whenever it was started.

    Those of an interval are a grid: whole intervals from the schedule's start time or, without one, from midnight UTC.
    """

    def __init__(self, model: Any, app: Any = None) -> None:
        super().__init__(model, app=app)
        if self.every is not None:  # so that the next one is due on the grid
            self.last_run_at: datetime = self._floored(self.last_run_at)

    @property
    def every(self) -> timedelta | None:
        """The interval, of one that follows an interval."""
        return self.schedule.run_every if isinstance(self.schedule, schedules.schedule) else None

    def is_due(self) -> Any:
        is_due, seconds = super().is_due()
        if is_due and self.every is not None:  # not a whole interval from now, when this one is late
            now = timezone.now()
            seconds = (self._floored(now) + self.every - now).total_seconds()
        return schedules.schedstate(is_due, seconds)

    def due_at(self, now: datetime) -> datetime:
        """The moment that it is due for, of those up to now."""
        if self.every is not None:
            return self._floored(now)
        if isinstance(self.schedule, clocked):
            return self.schedule.clocked_time.astimezone(UTC)  # type: ignore[no-any-return]
        return due_minute(self.schedule, since=self.last_run_at, now=now)

    def _floored(self, moment: datetime) -> datetime:
        assert self.every is not None  # noqa: S101 (its callers have looked; this tells mypy)
        return floored(moment, self.every, anchor=self.model.start_time or EPOCH)


@dataclass(frozen=True)
class Owed:
    """What could not be sent: a schedule's newest moment, and its slot, if that could be claimed at least."""

    entry: SlotEntry
    slot: Slot | None

    def is_worth_it(self, now: datetime) -> bool:
        """Whether it may still be sent: within the seconds after which its message would run out."""
        expires = self.entry.options.get("expires")
        if self.slot is None or not isinstance(expires, int):
            return True
        return now < self.slot.due_at + timedelta(seconds=expires)


class SlotScheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler, with a row for each moment of each schedule."""

    Entry = SlotEntry
    # None: each task goes out over Celery's pool of connections, which gives up after seconds. Beat's own connection
    # waits for the broker, and meanwhile nobody would note what is not sent.
    producer = None

    def __init__(self, *given: Any, **named: Any) -> None:
        self._owed: dict[str, Owed] = {}
        self._try_again_at = 0.0
        super().__init__(*given, **named)

    def enabled_models_qs(self) -> Any:
        """All of them. Theirs leaves out crontabs that are hours away, and those that were missed hours ago."""
        return self.Model.objects.enabled()

    def tick(self, *given: Any, **named: Any) -> float:
        """Sends what is due, one at a time, and gives the seconds to wait. Survives a database that is away."""
        try:
            pause: float = super().tick(*given, **named)
        except Error as error:
            logger.warning("the schedules cannot be read, the database does not answer: %s", error)
            self._last_full_sync = datetime.min  # noqa: DTZ901 (theirs have no zone): read them all again
            return TRY_AGAIN_SECONDS
        self._send_owed()
        return pause

    def apply_entry(self, entry: SlotEntry, producer: Any = None) -> None:
        """Claims and sends the due moment; whatever goes wrong, the schedule keeps its place."""
        self._owed.pop(entry.name, None)  # an older moment
        self._claim_and_send(entry)

    def _claim_and_send(self, entry: SlotEntry) -> bool:
        """Whether database and broker answered."""
        now = timezone.now()
        try:
            slot = slots.claim(entry.name, task=entry.task, due_at=entry.due_at(now), now=now)
        except Error as error:
            logger.warning("%s waits, the database does not answer: %s", entry.name, error)
            self._owe(entry, None)
            return False
        if slot is None:
            logger.info("%s was sent by another beat", entry.name)
            return True
        return self._send(entry, slot)

    def _send(self, entry: SlotEntry, slot: Slot, *, is_late: bool = False) -> bool:
        entry.options["headers"][slots.HEADER] = slot.pk
        try:
            self.apply_async(entry, advance=False)
        except SchedulingError as error:
            is_away = isinstance(error.__cause__ or error.__context__, BROKER_AWAY)
            if is_away:
                logger.warning("%s was not sent, the broker does not answer: %s", slot, error)
                self._owe(entry, slot)
            else:
                logger.exception("%s was not sent, no message can be made of it", slot)
            self._note(slots.note_not_sent, slot, AWAY if is_away else NO_MESSAGE)
            return not is_away
        logger.info("%s was sent", slot)
        if is_late:
            self._note(slots.note_sent_late, slot, now=timezone.now())
        return True

    def _owe(self, entry: SlotEntry, slot: Slot | None) -> None:
        self._owed[entry.name] = Owed(entry, slot)
        self._try_again_at = time.monotonic() + TRY_AGAIN_SECONDS  # a server that hangs takes seconds of each try

    def _send_owed(self) -> None:
        """Tries again what could not be sent, up to the first that cannot be sent now either."""
        if not self._owed or time.monotonic() < self._try_again_at:
            return
        for name, owed in list(self._owed.items()):
            del self._owed[name]
            is_wanted = name in self._schedule or owed.entry.model.one_off  # that one is taken out once it was due
            if not is_wanted or not owed.is_worth_it(timezone.now()):
                continue
            if owed.slot is None:
                answered = self._claim_and_send(owed.entry)
            else:
                answered = self._send(owed.entry, owed.slot, is_late=True)
            if not answered:
                return

    def _note(self, write: Any, slot: Slot, *given: Any, **named: Any) -> None:
        try:
            write(slot, *given, **named)
        except Error as error:
            logger.warning("what came of sending %s was not noted, the database does not answer: %s", slot, error)
