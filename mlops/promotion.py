"""Which version answers: the one place that changes a version's status. Judging a candidate is judging.py."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from classifier.inference import load
from classifier.ml.artifact import DamagedModel
from classifier.models import ModelArtifact, ModelVersion, User
from mlops import tracking
from mlops.judging import Verdict, judge
from mlops.models import Promotion

logger = logging.getLogger(__name__)
Status = ModelVersion.Status


class GateSaysNo(RuntimeError):
    """A candidate did not pass; the message says which rules failed, by how much, and what can be done."""

    def __init__(self, version: ModelVersion, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(
            f"{str(version).capitalize()} does not pass the gate: {verdict.in_words()} "
            "Train a better one, or promote it all the same with --force and the reason for it."
        )


class NotPromotable(RuntimeError):
    """The version can never go to production, forced or not: a demo one, a damaged one, or the one that is there."""


class PromotionConflict(RuntimeError):
    """Another promotion came in between: what was judged is no longer what is in production."""


def promote(
    version: ModelVersion,
    *,
    reason: str,
    by: User | None = None,
    force: bool = False,
    verdict: Verdict | None = None,
    now: datetime | None = None,
) -> Promotion:
    """Puts a version into production and writes down since when, by whom, why, and instead of which.

    verdict: what the gate said, if it was asked before; it must be about what is in production now. force: promotes
    although the gate says no, and records that it was forced.
    Raises GateSaysNo, NotPromotable, PromotionConflict, and ValueError for a missing reason.
    """
    if not reason.strip():
        raise ValueError("A promotion needs a reason, for those who ask later; it is empty. Write one sentence.")
    _refuse_unfit(version)
    verdict = verdict or judge(version)
    if not verdict.passed and not force:
        raise GateSaysNo(version, verdict)
    forced = not verdict.passed
    now = now or timezone.now()
    try:
        with transaction.atomic():
            replaced = _swap(version, verdict)
            row = Promotion.objects.create(
                version=version,
                replaced=replaced,
                by=by,
                reason=reason.strip(),
                forced=forced,
                verdict=verdict.as_dict(),
                created_at=now,
            )
            transaction.on_commit(lambda: _mirror(version))
    except IntegrityError:  # nothing was in production, so nothing was locked, and another was first
        raise PromotionConflict(_conflict_words(version)) from None
    version.refresh_from_db()
    return row


def _refuse_unfit(version: ModelVersion) -> None:
    if version.is_demo:
        raise NotPromotable(f"{str(version).capitalize()} is made up for demonstration and never answers tickets.")
    try:
        load(version)
    except (DamagedModel, ModelArtifact.DoesNotExist) as error:
        raise NotPromotable(f"{str(version).capitalize()} cannot answer: {error}") from error
    version.refresh_from_db(fields=["status"])
    if version.status == Status.PRODUCTION:
        raise NotPromotable(f"{str(version).capitalize()} is in production already.")


def _swap(version: ModelVersion, verdict: Verdict) -> ModelVersion | None:
    """Locks both rows, archives the one in production, sets the new one; gives the one replaced."""
    rows = ModelVersion.objects.select_for_update().filter(Q(pk=version.pk) | Q(status=Status.PRODUCTION))
    locked = {row.pk: row for row in rows.order_by("pk")}
    if locked[version.pk].status == Status.PRODUCTION:
        raise PromotionConflict(f"{str(version).capitalize()} was promoted by somebody else a moment ago.")
    replaced = next((row for row in locked.values() if row.status == Status.PRODUCTION), None)
    # On Postgres, who waited for the lock finds its row no longer in production, and so a state that was not judged.
    if (replaced.number if replaced else None) != verdict.production:
        raise PromotionConflict(_conflict_words(version))
    if replaced is not None:
        ModelVersion.objects.filter(pk=replaced.pk).update(status=Status.ARCHIVED)
    ModelVersion.objects.filter(pk=version.pk).update(status=Status.PRODUCTION)
    return replaced


def _conflict_words(version: ModelVersion) -> str:
    now_there = ModelVersion.objects.in_production().values_list("number", flat=True).first()
    return (
        f"{str(version).capitalize()} was judged against another production than there is now"
        f"{f' (version {now_there})' if now_there else ''}: somebody promoted in between. Look again, then decide anew."
    )


def _mirror(version: ModelVersion) -> None:
    """Moves MLflow's alias after ours. Our row has decided; that MLflow does not answer is logged and no more."""
    if version.mlflow_version is None:
        logger.warning("%s is not in MLflow, so its alias stays where it is", version)
        return
    try:
        tracking.set_production_alias(version.mlflow_version)
    except tracking.NotRecorded as error:
        logger.warning("the alias of %s was not moved: %s", version, error)
