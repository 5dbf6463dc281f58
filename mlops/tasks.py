"""Celery tasks: doors of a few lines, and the bell that calls a worker to one. Their queues: CELERY_TASK_ROUTES."""

from __future__ import annotations

import logging
import threading
from contextvars import copy_context
from functools import partial
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from mlops import queueing, reconciling, retraining
from mlops.models import TrainingRun
from mlops.runs import NotQueued, Order, RunInProgress
from mlops.tracking import NotRecorded

logger = logging.getLogger(__name__)
CALL_SECONDS = 1.0  # a broker that is well answers in 5 ms


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


@shared_task(name="mlops.tasks.look_after_runs")
def look_after_runs() -> None:
    """Fails and queues again what died, and rings for what waits: what beat calls twice a minute."""
    for run in queueing.look_after(timezone.now()):
        ring(run)


@shared_task(name="mlops.tasks.retrain")
def retrain(trigger: str = TrainingRun.Trigger.SCHEDULE, reason: str = "") -> None:
    """Puts a retraining on record and rings for it, or says on record why not: what beat calls."""
    _start(TrainingRun.Kind.RETRAIN, trigger=trigger, reason=reason)


@shared_task(name="mlops.tasks.train")
def train(trigger: str = TrainingRun.Trigger.SCHEDULE, reason: str = "") -> None:
    """The same for a training that stops at the candidate."""
    _start(TrainingRun.Kind.TRAIN, trigger=trigger, reason=reason)


def _start(kind: str, *, trigger: str, reason: str) -> None:
    order = Order(kind=kind, trigger=trigger, recipe=settings.RECIPE, reason=reason)
    run = queueing.enqueue_or_leave_out(order, now=timezone.now())
    if run.status == TrainingRun.Status.QUEUED:
        ring(run)


def ring(run: TrainingRun) -> None:
    """Calls a worker to a queued run, once the row is committed. That nobody hears is no failure: it is rung again."""
    transaction.on_commit(partial(call, carry_out, run.pk))


@shared_task(name="mlops.tasks.reconcile")
def reconcile() -> None:
    """Brings MLflow and our rows together: what beat calls each minute, and a page after a promotion."""
    try:
        for done in reconciling.reconcile():
            logger.info("reconciled: %s", done.words)
    except (NotRecorded, reconciling.Busy) as error:  # the next minute asks again
        logger.warning("not reconciled: %s", error)


def let_alias_follow() -> None:
    """Has a worker move MLflow's alias after a promotion: a web process must neither load mlflow nor wait for it."""
    transaction.on_commit(partial(call, reconcile))


def call(task: Any, *arguments: Any) -> None:
    """Sends a task, and gives a broker that does not take it CALL_SECONDS; it is logged then, and nothing else.

    In a thread: the timeouts of the client's layers add up to 6 s, which no page and no caller should wait for.
    """

    def send() -> None:
        try:
            task.apply_async(arguments, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            logger.warning("%s was not sent, the broker does not answer: %s", task.name, error)

    # In a copy of the caller's context: the task's log lines name the request that caused it.
    sending = threading.Thread(target=copy_context().run, args=(send,), name=task.name, daemon=True)
    sending.start()
    sending.join(CALL_SECONDS)
