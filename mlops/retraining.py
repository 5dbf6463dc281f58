"""The whole way from labels to production: train, judge, promote. `train` alone stops at the candidate."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Value
from django.db.models.functions import Concat
from django.utils import timezone

from classifier.models import ModelVersion, User
from mlops import judging, promotion, training
from mlops.gathering import gather
from mlops.judging import Verdict
from mlops.models import Dataset, Promotion, TrainingRun
from mlops.runs import Clock
from mlops.training import Progress, silent


@dataclass(frozen=True)
class Outcome:
    """What came of a run. decision: promoted, kept (a candidate that stays one), rejected or skipped."""

    run: TrainingRun
    decision: str
    words: str
    verdict: Verdict | None = None
    promotion: Promotion | None = None


def run(
    *,
    trigger: str,
    by: User | None = None,
    recipe: str | None = None,
    clock: Clock = timezone.now,
    progress: Progress = silent,
) -> Outcome:
    """Trains on what is labelled now, judges the candidate, and promotes it if it passed and AUTO_PROMOTE allows.

    Leaves a skipped run if nothing has changed since the version in production. Raises as training.train does.
    """
    recipe = recipe or settings.RECIPE
    unchanged = reason_to_skip(recipe)
    if unchanged:
        now = clock()
        row = TrainingRun.objects.create(
            status=TrainingRun.Status.SKIPPED,
            trigger=trigger,
            by=by,
            recipe=recipe,
            outcome=unchanged,
            created_at=now,
            ended_at=now,
        )
        return Outcome(run=row, decision="skipped", words=unchanged)
    trained = training.train(trigger=trigger, by=by, recipe=recipe, clock=clock, progress=progress)
    return settle(trained, reason=f"Retrained ({trigger}).", by=by, automatic=settings.AUTO_PROMOTE, clock=clock)


def settle_first(run: TrainingRun, *, by: User | None = None, clock: Clock = timezone.now) -> Outcome | None:
    """Settles a trained run if nothing is in production yet: a first version that passes goes there at once."""
    if ModelVersion.objects.in_production().exists() or run.version is None:
        return None
    return settle(run, reason="The first version.", by=by, automatic=True, clock=clock)


def settle(run: TrainingRun, *, reason: str, by: User | None, automatic: bool, clock: Clock = timezone.now) -> Outcome:
    """Judges a run's candidate and promotes it if it passed and automatic is set; the run's outcome says which."""
    if run.version is None:
        return Outcome(run=run, decision="rejected", words=run.outcome)
    verdict = judging.judge(run.version)
    if not verdict.passed:
        return _kept(run, verdict, f"Kept as a candidate: {verdict.in_words()}")
    if not automatic:
        return _kept(run, verdict, "Kept as a candidate: it passed the gate, and AUTO_PROMOTE is off.")
    words = " ".join(rule.words for rule in verdict.reasons if rule.found is not None)
    row = promotion.promote(run.version, reason=f"{reason} {words}", by=by, verdict=verdict, now=clock())
    words = f"Promoted to production: {words}"
    _append_outcome(run, words)
    return Outcome(run=run, decision="promoted", words=words, verdict=verdict, promotion=row)


def reason_to_skip(recipe: str) -> str:
    """Why a training would only make the version in production again; empty if it would not."""
    production = ModelVersion.objects.in_production().first()
    if production is None:
        return ""
    dataset = Dataset.objects.filter(runs__version=production).first()
    wanted = training.settings_that_shape(recipe)
    same_settings = {name: production.parameters.get(name) for name in wanted} == wanted
    if dataset is None or not same_settings or dataset.fingerprint != gather().fingerprint:
        return ""
    return f"Unchanged: labelled tickets, recipe and settings are those of {production}, which is in production."


def _kept(run: TrainingRun, verdict: Verdict, words: str) -> Outcome:
    _append_outcome(run, words)
    return Outcome(run=run, decision="kept", words=words, verdict=verdict)


def _append_outcome(run: TrainingRun, words: str) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(outcome=Concat("outcome", Value(f" {words}")))
    run.refresh_from_db(fields=["outcome"])
