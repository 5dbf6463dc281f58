"""Whether a retraining begins by itself now. Each time it is asked, the answer and its reason become a row.

First what speaks for one (causes.py), of several the first; then the limits, in the order in which they are told; last
whether a training would come to anything new, which costs reading all labelled texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from classifier.models import ModelVersion
from mlops import causes, queueing, retraining
from mlops.causes import Cause
from mlops.gathering import gather
from mlops.models import DriftSnapshot, RetrainDecision, TrainingRun
from mlops.runs import Order, RunInProgress

Decision = RetrainDecision.Decision
# A nightly schedule comes some seconds sooner or later than the night before: at 24 hours sharp, each second night
# would be told that the last one was enough.
A_DAY = timedelta(hours=24) - timedelta(minutes=5)
ASKED_AGAIN = "It is asked again, by the schedule and after each drift snapshot."
UNCHANGED_MEND = {
    RetrainDecision.Cause.SCHEDULE: "New labels would change that.",
    RetrainDecision.Cause.LABELS: "Labels that came after that training would change that.",
    RetrainDecision.Cause.DRIFT: "The tickets have changed and what is labelled has not, so a training would come to "
    "the same: new labels are what is needed. Label tickets of the last days, first those that went to review.",
    RetrainDecision.Cause.QUALITY: "New labels are what is needed: label tickets of the last days, above all of the "
    "categories that are answered wrongly.",
}


@dataclass(frozen=True)
class Limit:
    """What forbids a retraining to begin by itself: the decision that it makes, and a sentence that says until when."""

    decision: str
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


class _Overtaken(Exception):
    """Since the limits were looked at, one has come to hold."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        super().__init__(limit.words)


def consider(
    now: datetime, *, cause: str = RetrainDecision.Cause.NONE, snapshot: DriftSnapshot | None = None
) -> RetrainDecision:
    """Decides, and leaves a row; one that is `started` has a queued run, for which the caller rings.

    cause: `schedule` if a schedule asks, else `none`: the causes are found here. snapshot: the one after which it is
    asked, if it is. Raises ValueError for another cause.
    """
    if cause not in {RetrainDecision.Cause.NONE, RetrainDecision.Cause.SCHEDULE}:
        raise ValueError(f"A retraining is considered for `schedule` or `none`, not {cause!r}: the others are found.")
    found = _spoken(now, is_scheduled=cause == RetrainDecision.Cause.SCHEDULE, snapshot=snapshot)
    snapshot = found.snapshot or snapshot
    if not found.holds:
        return _record(found, Limit(Decision.NOT_NEEDED, ASKED_AGAIN), snapshot=snapshot, now=now)
    limit = _limit(now) or _unchanged(found) or _start(found, snapshot=snapshot, now=now)
    if isinstance(limit, RetrainDecision):
        return limit
    return _record(found, limit, snapshot=snapshot, now=now)


def is_due(now: datetime) -> bool:
    """Whether it was not asked for as long as drift snapshots may lie apart, and a minute."""
    last = RetrainDecision.objects.order_by("-pk").values_list("created_at", flat=True).first()
    return last is None or now - last > timedelta(minutes=settings.DRIFT_SNAPSHOT_MINUTES + 1)


def _spoken(now: datetime, *, is_scheduled: bool, snapshot: DriftSnapshot | None) -> Cause:
    """The first cause that holds or, if none does, all of them in one that does not."""
    version = ModelVersion.objects.in_production().light().first()
    if version is None:
        return causes.first_version(is_scheduled=is_scheduled)
    if is_scheduled:
        return causes.scheduled()
    asked: tuple[Callable[[], Cause], ...] = (
        lambda: causes.labels(version),
        lambda: causes.drift(version, given=snapshot),
        lambda: causes.precision(version, now),
    )
    heard = []
    for ask in asked:
        heard.append(ask())
        if heard[-1].holds:
            return heard[-1]
    return Cause(
        name=RetrainDecision.Cause.NONE,
        holds=False,
        words=f"nothing asks for a retraining: {'; '.join(each.words for each in heard)}",
        figures={name: value for each in heard for name, value in each.figures.items()},
    )


# --- What forbids it ------------------------------------------------------------------------------
def _limit(now: datetime, *, besides: TrainingRun | None = None) -> Limit | None:
    """The first limit that forbids one to begin now, if any does. besides: the run that would be begun."""
    if not settings.RETRAIN_AUTOMATIC:
        words = "RETRAIN_AUTOMATIC is off, so it does not begin by itself: manage.py retrain begins one."
        return Limit(Decision.SWITCHED_OFF, words)
    waiting = TrainingRun.objects.queued().exclude(pk=besides.pk) if besides else TrainingRun.objects.queued()
    other = TrainingRun.objects.running().only("status").first() or waiting.only("status").first()
    if other is not None:
        return _in_progress(other)
    return _cooling_down(now) or _enough(now)


def _in_progress(other: TrainingRun | None) -> Limit:
    if other is None:  # it has ended since
        return Limit(Decision.IN_PROGRESS, f"Another training was faster, and one at a time is enough. {ASKED_AGAIN}")
    words = f"{str(other).capitalize()} is {other.status}, and only one training runs at a time. {ASKED_AGAIN}"
    return Limit(Decision.IN_PROGRESS, words, {"other_run": other.pk})


def _cooling_down(now: datetime) -> Limit | None:
    """After each training, whoever began it, that came as far as to freeze its tickets: made a version, or failed."""
    hours = settings.RETRAIN_COOL_DOWN_HOURS
    trained = TrainingRun.objects.filter(dataset__isnull=False, ended_at__isnull=False).only("ended_at")
    last = trained.order_by("-ended_at").first()
    if last is None or last.ended_at is None or now >= last.ended_at + timedelta(hours=hours):
        return None
    until = last.ended_at + timedelta(hours=hours)
    words = (
        f"{str(last).capitalize()} ended on {_when(last.ended_at)}, and for RETRAIN_COOL_DOWN_HOURS, {hours:g}, none "
        f"begins by itself: until {_when(until)}. If the cause still holds then, one begins when it is asked again."
    )
    return Limit(Decision.COOLING_DOWN, words, {"cooling_down_until": until.isoformat()})


def _enough(now: datetime) -> Limit | None:
    """Those that began by themselves in the last 24 hours, left out those that found nothing to do."""
    most = settings.RETRAIN_MAX_PER_DAY
    started = RetrainDecision.objects.filter(decision=Decision.STARTED, created_at__gt=now - A_DAY)
    moments = list(
        started.exclude(run__status=TrainingRun.Status.SKIPPED)
        .order_by("-created_at")
        .values_list("created_at", flat=True)[:most]
    )
    if len(moments) < most:
        return None
    until = moments[-1] + A_DAY
    have = "retraining has" if most == 1 else "retrainings have"
    words = (
        f"In the last 24 hours {most:,} {have} begun without a person, and RETRAIN_MAX_PER_DAY allows no more: the "
        f"next may from {_when(until)} on. manage.py retrain begins one before."
    )
    return Limit(Decision.ENOUGH_FOR_TODAY, words, {"next_from": until.isoformat()})


def _unchanged(found: Cause) -> Limit | None:
    """Why a training would come to nothing new, if it would, and what would change that."""
    material, recipe = gather(), settings.RECIPE
    words = retraining.reason_to_skip(material, recipe=recipe)
    if not words:
        return None
    production = ModelVersion.objects.in_production().light().first()
    kept = retraining.judged_and_kept(material, recipe=recipe, production=production)
    if kept is not None and kept.version is not None and kept.verdict.get("passed"):
        mend = f"Look at that candidate: manage.py promote {kept.version.number} lets it answer."
    else:
        mend = UNCHANGED_MEND[RetrainDecision.Cause(found.name)]
    return Limit(Decision.UNCHANGED, f"{words} {mend}")


# --- What comes of it -----------------------------------------------------------------------------
def _start(found: Cause, *, snapshot: DriftSnapshot | None, now: datetime) -> RetrainDecision | Limit:
    """A queued run and the decision that began it, or the limit that somebody else reached meanwhile."""
    order = Order(
        kind=TrainingRun.Kind.RETRAIN,
        trigger=TrainingRun.Trigger(found.name),
        recipe=settings.RECIPE,
        reason=f"{_capital(found.words)}.",
    )
    try:
        with transaction.atomic():
            run = queueing.enqueue(order, now=now)  # of two at this moment one waits here for the other
            limit = _limit(now, besides=run)  # so it may hold only now
            if limit is not None:
                raise _Overtaken(limit)
            limit = Limit(Decision.STARTED, f"{str(run).capitalize()} waits for the worker. {_next()}")
            return _record(found, limit, snapshot=snapshot, now=now, run=run)
    except RunInProgress as refusal:
        return _in_progress(refusal.other)
    except _Overtaken as overtaken:
        return overtaken.limit


def _next() -> str:
    judged = "It trains on all labels, and its candidate is judged by the gate"
    if settings.AUTO_PROMOTE:
        return f"{judged}: if it passes, it goes to production."
    return f"{judged}, and stays a candidate until somebody promotes it: AUTO_PROMOTE is off."


def _record(
    found: Cause, limit: Limit, *, snapshot: DriftSnapshot | None, now: datetime, run: TrainingRun | None = None
) -> RetrainDecision:
    return RetrainDecision.objects.create(
        cause=found.name,
        decision=limit.decision,
        words=f"{_capital(found.words)}. {limit.words}",
        figures={**found.figures, **limit.figures},
        snapshot=snapshot,
        run=run,
        created_at=now,
    )


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
