"""Celery tasks: doors of a few lines. Their queue, `training`, is set in CELERY_TASK_ROUTES."""

from __future__ import annotations

import logging

from celery import shared_task

from mlops import retraining, training
from mlops.models import TrainingRun
from mlops.runs import RunInProgress

logger = logging.getLogger(__name__)


@shared_task(name="mlops.tasks.train")
def train(trigger: str = TrainingRun.Trigger.SCHEDULE) -> None:
    """Trains a candidate and stops there."""
    try:
        training.train(trigger=trigger)
    except RunInProgress as refusal:  # its row says so, and another try would find the same
        logger.info("left out: %s", refusal)


@shared_task(name="mlops.tasks.retrain")
def retrain(trigger: str = TrainingRun.Trigger.SCHEDULE) -> None:
    """Trains, judges, and promotes what passed."""
    try:
        retraining.run(trigger=trigger)
    except RunInProgress as refusal:
        logger.info("left out: %s", refusal)
