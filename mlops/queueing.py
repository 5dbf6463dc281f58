"""Runs that wait for the worker: put on record before anybody is told, and told again.

The row is the truth and the queue a doorbell: who rings (tasks.py) may find nobody, and the row is rung for later.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from mlops import runs
from mlops.models import TrainingRun
from mlops.runs import Order, RunInProgress

Status = TrainingRun.Status
RING_AGAIN = timedelta(seconds=60)  # a bell that was heard is answered in a second; a lost one costs a minute


def enqueue(order: Order, *, now: datetime) -> TrainingRun:
    """A queued row of the order, for a worker to begin. Raises RunInProgress, and makes none, if one runs or waits."""
    try:
        with transaction.atomic():
            run = order.row(now=now, status=Status.QUEUED)
            run.save()  # first: the constraint makes a second one wait here until the first is decided
            other = TrainingRun.objects.running().first()
            if other is not None:
                raise RunInProgress(other)
    except IntegrityError:
        raise RunInProgress(TrainingRun.objects.queued().first() or TrainingRun.objects.running().first()) from None
    return run


def enqueue_or_leave_out(order: Order, *, now: datetime) -> TrainingRun:
    """A queued row of the order or, if a run is at work or waits, a skipped one that says so."""
    try:
        return enqueue(order, now=now)
    except RunInProgress as refusal:
        return runs.leave_out(order, why=str(refusal), now=now)


def look_after(now: datetime) -> list[TrainingRun]:
    """Fails runs whose process is gone, queues each of them again (twice at most), and gives the runs to ring for."""
    runs.fail_the_dead(now)
    if TrainingRun.objects.running().exists():
        return []  # whoever came would find it at work
    waiting = TrainingRun.objects.queued().filter(Q(rung_at=None) | Q(rung_at__lt=now - RING_AGAIN))
    found = list(waiting)
    waiting.update(rung_at=now)
    return found
