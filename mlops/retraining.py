"""The whole way from labels to production: train, judge, promote. `train` alone stops at the candidate."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Value
from django.db.models.functions import Concat
from django.utils import timezone

from classifier.inference import load
from classifier.ml.artifact import DamagedModel
from classifier.models import ModelVersion, User
from mlops import judging, promotion, runs, training
from mlops.gathering import Material, gather
from mlops.judging import Verdict
from mlops.models import Dataset, Promotion, TrainingRun
from mlops.promotion import PromotionConflict
from mlops.runs import Clock, Order
from mlops.training import Progress, Steps, silent

Status = TrainingRun.Status
DECIDING = ("least_macro_f1", "gain", "likely_loss")  # the rules that say how good it is; the verdict has all of them


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    decision: promoted, kept (a candidate that stays one), rejected, skipped, or nothing for a `train` that succeeded.
    """

    run: TrainingRun
    decision: str
    words: str
    verdict: Verdict | None = None
    promotion: Promotion | None = None


def run(
    *,
    trigger: str,
    by: User | None = None,
    reason: str = "",
    recipe: str | None = None,
    clock: Clock = timezone.now,
    progress: Progress = silent,
) -> Outcome:
    """Trains on what is labelled now, judges the candidate, and promotes it if it passed and AUTO_PROMOTE allows.

    Leaves a skipped run if nothing has changed (see reason_to_skip). Raises as training.train does.
    """
    kind = TrainingRun.Kind.RETRAIN
    order = Order(kind=kind, trigger=trigger, recipe=recipe or settings.RECIPE, by=by, reason=reason)
    return carry_out(order, clock=clock, progress=progress)


def carry_out(wanted: Order | TrainingRun, *, clock: Clock = timezone.now, progress: Progress = silent) -> Outcome:
    """Carries out an order, or a queued run, of either kind.

    Raises RunInProgress, NotQueued, and whatever else goes wrong, after the run was marked failed.
    """
    with runs.running(wanted, clock=clock) as row:
        steps = Steps(run=row, clock=clock, progress=progress)
        if row.kind == TrainingRun.Kind.TRAIN:
            training.make_candidate(steps)
            decision = "" if row.version else "rejected"
            return settle_first(row, clock=clock) or Outcome(run=row, decision=decision, words=row.outcome)
        material = gather()
        unchanged = reason_to_skip(material, recipe=row.recipe)
        if unchanged:
            runs.end(row, Status.SKIPPED, outcome=unchanged, now=clock())
            return Outcome(run=row, decision="skipped", words=unchanged)
        training.make_candidate(steps, material=material)
        if row.version is None:
            return Outcome(run=row, decision="rejected", words=row.outcome)
        steps(f"judge {row.version}")
        outcome = settle(row, reason=_why(row), automatic=settings.AUTO_PROMOTE, clock=clock)
        runs.end(row, Status.SUCCEEDED, outcome=row.outcome, now=clock())
    return outcome


def settle_first(run: TrainingRun, *, clock: Clock = timezone.now) -> Outcome | None:
    """Settles a trained run if nothing is in production yet: a first version that passes goes there at once."""
    if ModelVersion.objects.in_production().exists() or run.version is None:
        return None
    return settle(run, reason="The first version.", automatic=True, clock=clock)


def settle(run: TrainingRun, *, reason: str, automatic: bool, clock: Clock = timezone.now) -> Outcome:
    """Judges a run's candidate and promotes it if it passed and automatic is set; the run's row says which."""
    assert run.version is not None  # noqa: S101 (callers have looked; this tells mypy)
    verdict = judging.judge(run.version)
    if not verdict.passed:
        return _settled(run, verdict, f"Kept as a candidate: {verdict.in_words()}")
    if not automatic:
        return _settled(run, verdict, "Kept as a candidate: it passed the gate, and AUTO_PROMOTE is off.")
    taken_back = rolled_back(run.version)
    if taken_back is not None:
        words = (
            f"Kept as a candidate: it is the very model of {taken_back.replaced}, which was rolled back on "
            f"{taken_back.created_at:%Y-%m-%d %H:%M} UTC: {taken_back.reason} "
            "manage.py promote puts it there all the same."
        )
        return _settled(run, verdict, words)
    words = " ".join(rule.words for rule in verdict.reasons if rule.name in DECIDING)
    try:
        with transaction.atomic():  # a run must not be found dead whose candidate answers
            row = promotion.promote(
                run.version, reason=f"{reason} {words}", by=run.by, key=run.key, verdict=verdict, now=clock()
            )
            return _settled(run, verdict, f"Promoted to production: {words}", promoted=row)
    except PromotionConflict as conflict:  # what was judged is no longer what it would replace
        return _settled(run, verdict, f"Kept as a candidate: {conflict}")


def rolled_back(version: ModelVersion) -> Promotion | None:
    """The last roll-back that took these very bytes out of production, if nobody has put them back since."""
    rows = Promotion.objects.with_names().filter(
        Q(version__artifact=version.artifact_id) | Q(replaced__artifact=version.artifact_id)
    )
    newest = rows.order_by("-pk").first()
    if newest is None or newest.kind != Promotion.Kind.ROLL_BACK or newest.version.artifact_id == version.artifact_id:
        return None
    return newest


def changes(material: Material, *, recipe: str, since: ModelVersion) -> list[str]:
    """What a training on the material would be given and a version was not, in words; empty: it would make it again."""
    found = [
        f"{name} is {value} and was {since.parameters.get(name)}"
        for name, value in training.settings_that_shape(recipe).items()
        if since.parameters.get(name) != value
    ]
    dataset = Dataset.objects.filter(runs__version=since).first()
    if dataset is None:
        found.append("its labelled tickets are not known")
    elif dataset.fingerprint != material.fingerprint:
        found.append("the labelled tickets are others")
    return found


def reason_to_skip(material: Material, *, recipe: str) -> str:
    """Why a retraining would come to nothing new; empty if it might.

    It would make the version in production again, or a candidate that the gate has judged against that very version.
    """
    production = ModelVersion.objects.in_production().first()
    if production is not None and not _is_whole(production):
        return ""  # a training makes its bytes again
    if production is not None and not changes(material, recipe=recipe, since=production):
        compared = ", ".join(["labelled tickets", *training.settings_that_shape(recipe)])
        return f"Unchanged: {compared} are those of {production}, which is in production."
    kept = judged_and_kept(material, recipe=recipe, production=production)
    if kept is None:
        return ""
    words = f"Unchanged since {kept}, whose {kept.version} was judged and kept: {_in_short(kept)}"
    if judging.asks_otherwise(kept.verdict):
        words += f" The gate asks otherwise since: promote judges {kept.version} anew."
    return words


def _is_whole(version: ModelVersion) -> bool:
    try:
        load(version)
    except DamagedModel:
        return False
    return True


def judged_and_kept(material: Material, *, recipe: str, production: ModelVersion | None) -> TrainingRun | None:
    """The newest retraining on the same material, if its candidate was kept and would be kept again.

    After a promotion the gate may say otherwise of the same candidate, and one that passed is promoted once
    AUTO_PROMOTE is on: then it is worth a training.
    """
    runs_of_it = TrainingRun.objects.filter(kind=TrainingRun.Kind.RETRAIN, status=Status.SUCCEEDED, recipe=recipe)
    run = runs_of_it.filter(dataset__fingerprint=material.fingerprint).select_related("version").first()
    if run is None or run.version is None or run.decision != TrainingRun.Decision.KEPT:
        return None
    if run.verdict.get("production") != (production.number if production else None):
        return None
    if run.verdict.get("passed") and settings.AUTO_PROMOTE and rolled_back(run.version) is None:
        return None
    return None if changes(material, recipe=recipe, since=run.version) else run


def _in_short(kept: TrainingRun) -> str:
    """Why a candidate was kept: the first rule that is not met, and how many more, or what else stood in its way."""
    failed = [rule["words"] for rule in kept.verdict["reasons"] if not rule["passed"]]
    if not failed:
        is_back = kept.version is not None and rolled_back(kept.version) is not None
        return "it passed the gate, and " + ("its model was rolled back." if is_back else "AUTO_PROMOTE is off.")
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"{failed[0]}{more}"


def _why(run: TrainingRun) -> str:
    """The beginning of a promotion's reason: what started the run."""
    return f"Retrained ({run.trigger}): {run.reason}" if run.reason else f"Retrained ({run.trigger})."


def _settled(run: TrainingRun, verdict: Verdict, words: str, *, promoted: Promotion | None = None) -> Outcome:
    """Writes what came of the candidate to the run's row, which may have ended already."""
    decision = TrainingRun.Decision.KEPT if promoted is None else TrainingRun.Decision.PROMOTED
    rows = TrainingRun.objects.filter(pk=run.pk)
    rows.update(decision=decision, verdict=verdict.as_dict(), outcome=Concat("outcome", Value(f" {words}")))
    run.refresh_from_db(fields=["decision", "verdict", "outcome"])
    return Outcome(run=run, decision=decision.value, words=words, verdict=verdict, promotion=promoted)
