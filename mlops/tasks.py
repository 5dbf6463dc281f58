"""Celery tasks: doors of a few lines, and the bell that calls a worker to one. Their queues: CELERY_TASK_ROUTES."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from datetime import datetime
from functools import partial
from typing import Any

from celery import Task, current_app, shared_task
from django.conf import settings
from django.db import Error, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from classifier import lining_up, rollups
from mlops import considering, drift, imports, purging, queueing, reconciling, retraining, samples, slots
from mlops.models import ImportJob, RetrainDecision, TrainingRun
from mlops.runs import NotQueued, Order, RunInProgress
from mlops.tracking import NotRecorded

logger = logging.getLogger(__name__)
CALL_SECONDS = 1.0  # a broker that is well answers in 5 ms
SOFT_SECONDS, HARD_SECONDS = 240, 300  # of a scheduled task: each ends in seconds, and one that hangs is found out
LONG_SOFT_SECONDS, LONG_HARD_SECONDS = 840, 900  # of one that waits for MLflow, or goes through millions of rows


class Scheduled(Task):  # type: ignore[misc]
    """A task that beat sends. What came of it is written into its slot: the words that it gives, or its error.

    A message that comes a second time (its worker died, or a slow broker took it twice) finds the slot taken and does
    nothing: the next moment does the work. Called by anybody else it has no slot, and is a task like any other.
    """

    soft_time_limit, time_limit = SOFT_SECONDS, HARD_SECONDS

    def __call__(self, *given: Any, **named: Any) -> Any:
        slot_id = self.request.get(slots.HEADER)
        if slot_id is None:
            return super().__call__(*given, **named)
        if not slots.begin(slot_id, now=timezone.now()):
            return "Left alone: it was begun before."
        try:
            words = super().__call__(*given, **named)
        except Exception as error:
            self._note_failure(slot_id, error)
            raise
        slots.done(slot_id, words, now=timezone.now())
        return None  # Celery logs what a task gives, and words may name a term of somebody's ticket

    def _note_failure(self, slot_id: int, error: Exception) -> None:
        try:
            slots.fail(slot_id, slots.in_words(error), now=timezone.now())
        except Error as away:  # the database may be what failed; then the heartbeat closes the slot
            logger.warning("slot %s was not ended, the database does not answer: %s", slot_id, away)


@shared_task(name="mlops.tasks.carry_out")
def carry_out(run_id: int) -> None:
    """Begins a queued run, and carries it out. A bell that rings twice, or late, finds nothing to do."""
    try:
        outcome = retraining.carry_out(TrainingRun.objects.get(pk=run_id))
    except (NotQueued, RunInProgress) as refusal:
        logger.info("left alone: %s", refusal)
        look_after_runs()  # Celery sends a task again whose process was killed: its run may wait for another attempt
        return
    if outcome.promotion is not None:
        reconcile()


@shared_task(name="mlops.tasks.look_after_runs", base=Scheduled)
def look_after_runs() -> str:
    """Fails and queues again what died, and rings for what waits, runs and imports: what beat calls twice a minute."""
    runs, jobs = queueing.look_after(timezone.now()), imports.look_after(timezone.now())
    for run in runs:
        ring(run)
    for job in jobs:
        ring_import(job)
    waiting = [*runs, *jobs]
    return f"Rang for {', '.join(map(str, waiting))}." if waiting else "Nobody to ring for."


@shared_task(name="mlops.tasks.work_on_import")
def work_on_import(job_id: int) -> None:
    """Looks at an uploaded file, or imports it. A bell that rings twice, or late, finds nothing to do."""
    try:
        imports.work(job_id)
    except imports.NothingToDo as refusal:
        logger.info("left alone: %s", refusal)
        look_after_runs()  # as in carry_out: its process may have been killed
    except imports.LostImport as refusal:
        logger.warning("undone: %s", refusal)


def ring_import(job: ImportJob) -> None:
    """Calls a worker to an import that waits, once the row is committed; if nobody hears, it is rung again."""
    transaction.on_commit(partial(call, work_on_import, job.pk))


@shared_task(name="mlops.tasks.heartbeat", base=Scheduled)
def heartbeat() -> str:
    """Shows that beat sends and a worker works, and fails the slots that nobody will end any more."""
    limits = {name: task.time_limit for name, task in current_app.tasks.items() if isinstance(task, Scheduled)}
    lost = slots.close_lost(timezone.now(), limits=limits)
    return f"Alive; failed {lost} {'slot' if lost == 1 else 'slots'} that nobody ended." if lost else "Alive."


@shared_task(name="mlops.tasks.watch_drift", base=Scheduled)
def watch_drift() -> str:
    """Takes a drift snapshot if one is due, and asks then whether to retrain: what beat calls each minute.

    Where no snapshot can be taken, for want of a version or of its reference, it asks all the same, as often as a
    snapshot would be due: labels and live quality speak for themselves.
    """
    now = timezone.now()
    try:
        snapshot = drift.watch(now)
    except drift.NoReference:
        if considering.is_due(now):
            _consider(now)
        raise
    if snapshot is not None:
        return f"{str(snapshot).capitalize()}: {snapshot.words} {_consider(now, snapshot=snapshot)}"
    return _consider(now) if considering.is_due(now) else "No snapshot is due."


@shared_task(name="mlops.tasks.consider_retraining", base=Scheduled)
def consider_retraining() -> str:
    """Asks whether to retrain, because it is time to: what beat calls each night."""
    return _consider(timezone.now(), cause=RetrainDecision.Cause.SCHEDULE)


def _consider(now: datetime, **asked: Any) -> str:
    decision = considering.consider(now, **asked)
    if decision.run is not None:
        ring(decision.run)
    return decision.words


@shared_task(name="mlops.tasks.retrain", base=Scheduled)
def retrain(trigger: str = TrainingRun.Trigger.SCHEDULE, reason: str = "") -> str:
    """Puts a retraining on record and rings for it, or says on record why not: what beat calls."""
    return _start(TrainingRun.Kind.RETRAIN, trigger=trigger, reason=reason)


@shared_task(name="mlops.tasks.train", base=Scheduled)
def train(trigger: str = TrainingRun.Trigger.SCHEDULE, reason: str = "") -> str:
    """The same for a training that stops at the candidate."""
    return _start(TrainingRun.Kind.TRAIN, trigger=trigger, reason=reason)


def _start(kind: str, *, trigger: str, reason: str) -> str:
    order = Order(kind=kind, trigger=trigger, recipe=settings.RECIPE, reason=reason)
    run = queueing.enqueue_or_leave_out(order, now=timezone.now())
    if run.status != TrainingRun.Status.QUEUED:
        return f"Left out, as {run}: {run.outcome}"
    ring(run)
    return f"Queued {run}, and rang for it."


def ring(run: TrainingRun) -> None:
    """Calls a worker to a queued run, once the row is committed. That nobody hears is no failure: it is rung again."""
    transaction.on_commit(partial(call, carry_out, run.pk))


@shared_task(
    name="mlops.tasks.reconcile", base=Scheduled, soft_time_limit=LONG_SOFT_SECONDS, time_limit=LONG_HARD_SECONDS
)
def reconcile() -> str:
    """Brings MLflow and our rows together: what beat calls each minute, and a page after a promotion."""
    try:
        done = reconciling.reconcile()
    except (NotRecorded, reconciling.Busy) as error:  # the next minute asks again
        logger.warning("not reconciled: %s", error)
        return f"Not reconciled: {error}"
    for one in done:
        logger.info("reconciled: %s", one.words)
    return " ".join(one.words for one in done) or "Nothing to reconcile."


@shared_task(name="mlops.tasks.make_samples")
def make_samples() -> None:
    """Makes sample data, if there are none: what a click of staff asks for."""
    _quietly(samples.make_whole, timezone.now())


@shared_task(name="mlops.tasks.remove_samples")
def remove_samples() -> None:
    """Removes all sample data."""
    _quietly(samples.remove_whole)


def _quietly(verb: Callable[..., object], *arguments: object) -> None:
    """Calls it; that this is not the place, or that another one is at it, is logged."""
    try:
        logger.info("sample data: %s gave %s", verb.__name__, verb(*arguments))
    except (samples.NotThePlace, samples.BeingMade) as refusal:
        logger.warning("left alone: %s", refusal)


@shared_task(
    name="mlops.tasks.clean_up", base=Scheduled, soft_time_limit=LONG_SOFT_SECONDS, time_limit=LONG_HARD_SECONDS
)
def clean_up() -> str:
    """Removes what is older than the settings allow: what beat calls each night."""
    return purging.purge(timezone.now()).in_words()


@shared_task(
    name="mlops.tasks.roll_up", base=Scheduled, soft_time_limit=LONG_SOFT_SECONDS, time_limit=LONG_HARD_SECONDS
)
def roll_up() -> str:
    """Counts the calls and answers of each minute that is over, and lines new tickets up for the label queue.

    What beat calls each minute, so that no page has to make up for more than that.
    """
    now = timezone.now()
    lining_up.catch_up(now)
    return rollups.roll_up(now)


def let_alias_follow() -> None:
    """Has a worker move MLflow's alias after a promotion: a web process must neither load mlflow nor wait for it."""
    transaction.on_commit(partial(call, reconcile))


def call(task: Any, *arguments: Any) -> bool:
    """Sends a task, and gives a broker that does not take it CALL_SECONDS; whether it was taken. If not, it is logged.

    In a thread: the timeouts of the client's layers add up to 6 s, which no page and no caller should wait for.
    """
    taken = threading.Event()

    def send() -> None:
        try:
            task.apply_async(arguments, retry=False)
            taken.set()
        except (OperationalError, RedisError, OSError) as error:
            logger.warning("%s was not sent, the broker does not answer: %s", task.name, error)

    # In a copy of the caller's context: the task's log lines name the request that caused it.
    sending = threading.Thread(target=copy_context().run, args=(send,), name=task.name, daemon=True)
    sending.start()
    sending.join(CALL_SECONDS)
    return taken.is_set()
