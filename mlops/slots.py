"""A due moment of a schedule: claimed by one beat, begun by one worker, ended in words. It sends and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from celery.exceptions import SoftTimeLimitExceeded
from django.db import Error, OperationalError
from django_celery_beat.models import PeriodicTask

from mlops.models import Slot

Status = Slot.Status
HEADER = "slot"  # of a task's message: the id of its slot
OPEN = (Status.SENT, Status.NOT_SENT)  # a broker that did not answer in time may have taken it all the same
MARGIN = timedelta(seconds=30)  # a task killed at its limit, or a message that ran out, is gone for certain by then
LONGEST_SECONDS = 3600.0  # of a task that the program does not know any more: above every limit
MOST_WORDS = 1000  # characters; what a list of a dozen things done takes
OURS = ("classifier.", "mlops.", "ticketclf.")


def claim(name: str, *, task: str, due_at: datetime, now: datetime) -> Slot | None:
    """The slot of this moment, for the caller to send; None if another beat has it, or had it before a restart."""
    slot, is_ours = Slot.objects.get_or_create(name=name, due_at=due_at, defaults={"task": task, "sent_at": now})
    return slot if is_ours else None


def note_not_sent(slot: Slot, why: str) -> None:
    """Notes that the broker did not take it; unless it did after all, and a worker has begun it."""
    Slot.objects.filter(pk=slot.pk, status=Status.SENT).update(status=Status.NOT_SENT, words=why)


def note_sent_late(slot: Slot, *, now: datetime) -> None:
    """Notes that the broker took it at last; unless a worker was faster and has begun it."""
    late = f"Sent {(now - slot.due_at).total_seconds():.0f} s late: the broker did not answer before."
    Slot.objects.filter(pk=slot.pk, status=Status.NOT_SENT).update(status=Status.SENT, sent_at=now, words=late)


def begin(slot_id: int, *, now: datetime) -> bool:
    """Whether the caller may do the slot's work: nobody has begun it. A message that comes twice finds it taken."""
    free = Slot.objects.filter(pk=slot_id, status__in=OPEN)
    return bool(free.update(status=Status.RUNNING, started_at=now))


def done(slot_id: int, words: str, *, now: datetime) -> None:
    """Ends a running slot with what came of it."""
    _end(slot_id, Status.DONE, words, now=now)


def fail(slot_id: int, words: str, *, now: datetime) -> None:
    """Ends a running slot with what went wrong."""
    _end(slot_id, Status.FAILED, words, now=now)


def _end(slot_id: int, status: str, words: str, *, now: datetime) -> None:
    running = Slot.objects.filter(pk=slot_id, status=Status.RUNNING)
    running.update(status=status, ended_at=now, words=words[:MOST_WORDS])


def in_words(error: BaseException) -> str:
    """What went wrong, for the row: our own errors whole, of others only what names no file and no ticket's text.

    The text that a library chokes on stands in its message, and a database's holds the whole row; the worker's log has
    the place.

    >>> in_words(FileNotFoundError(2, "No such file or directory", "secret.csv"))
    'FileNotFoundError: No such file or directory.'
    >>> in_words(ValueError("could not convert 'My card 4711' to float"))
    "ValueError; the worker's log shows where."
    """
    name = type(error).__name__
    if isinstance(error, SoftTimeLimitExceeded):
        return "It took longer than it may, and was stopped."
    if type(error).__module__.startswith(OURS):
        return f"{name}: {error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}."
    if isinstance(error, Error):
        return f"{name}: the database {'does not answer' if isinstance(error, OperationalError) else 'refused it'}."
    return f"{name}; the worker's log shows where."


def close_lost(now: datetime, *, limits: Mapping[str, float]) -> int:
    """Fails the slots that nobody will end any more, and gives their number.

    Those that are running for longer than their task may: the process is gone. And those that no worker began before
    their message ran out (the schedule's expire_seconds); without such a limit a message waits for ever.
    limits: seconds by name of the tasks that end their slots; what another one did is not known.
    """
    lost = 0
    for slot in Slot.objects.filter(status=Status.RUNNING, started_at__isnull=False):
        seconds = limits.get(slot.task, LONGEST_SECONDS)
        if slot.started_at and slot.started_at + timedelta(seconds=seconds) + MARGIN < now:
            words = f"Its process is gone: it did not end within the {seconds:,.0f} s that it may take."
            lost += _close(slot, words, now=now)
    waiting = list(Slot.objects.filter(status=Status.SENT, sent_at__lt=now - MARGIN, task__in=limits))
    named = PeriodicTask.objects.filter(name__in={slot.name for slot in waiting}, expire_seconds__isnull=False)
    expiry = dict(named.values_list("name", "expire_seconds"))
    for slot in waiting:
        expires = expiry.get(slot.name)
        if expires is not None and slot.sent_at + timedelta(seconds=expires) + MARGIN < now:
            lost += _close(slot, f"No worker began it within {expires:,} s, after which it runs out.", now=now)
    return lost


def _close(slot: Slot, words: str, *, now: datetime) -> int:
    unchanged = Slot.objects.filter(pk=slot.pk, status=slot.status)
    return unchanged.update(status=Status.FAILED, ended_at=now, words=words)
