"""Brings MLflow and our rows together: what it does not have is recorded, and its alias stands where ours does.

Our rows decide. Only one thing is taken from MLflow: an alias that somebody moved there by hand is a wish to promote.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Value, When
from django.db.models.functions import Concat
from django.utils import timezone

from classifier.ml.artifact import DamagedModel
from classifier.models import ModelVersion
from mlops import judging, promotion, recording, tracking
from mlops.models import AliasMove, Promotion, TrainingRun
from mlops.tracking import Registry

MOST_RECORDED = 3  # versions a pass; one of 92,000 terms takes 10 s, and the next pass comes within a minute
MOST_LOOKED_AT = 20  # runs a pass of which MLflow is asked whether they are there: each is a request
TURN_SECONDS = 10.0  # how long a reconciling waits for another one that is at it
NOWHERE = 0  # as AliasMove.left: the alias stands nowhere, as registered versions count from 1
RECORDED, NOT_RECORDED, WAITING = "recorded", "not_recorded", "waiting"
Decision = AliasMove.Decision


class Busy(RuntimeError):
    """Another reconciling is at it."""

    def __init__(self) -> None:
        super().__init__(
            f"Another reconciling is at it for more than {TURN_SECONDS:.0f} s. Try again when it has ended."
        )


@dataclass(frozen=True)
class Done:
    """One thing that a reconciling did or found, in words.

    what: recorded, not_recorded, waiting, or a decision of AliasMove. version: the number of ours it is about, if any.
    """

    what: str
    version: int | None
    words: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def reconcile(*, now: datetime | None = None) -> list[Done]:
    """Records what MLflow does not have, production first, then the newest; then looks after its alias.

    A version is missing if it was never recorded, or its registered version is gone; of the newest ones (and the one in
    production) also if its run alone is. Raises NotRecorded if MLflow is not reached, and Busy.
    """
    with _turn():
        done = _record_missing()
        return done + _look_and_settle(now or timezone.now())


def follow(*, now: datetime | None = None) -> list[Done]:
    """Looks after the alias alone, as after a promotion; asks nothing of MLflow if production is not recorded there.

    Raises NotRecorded and Busy, over which no promotion may fail: it has been made.
    """
    if not ModelVersion.objects.in_production().filter(mlflow_version__isnull=False).exists():
        return []
    with _turn():
        return _look_and_settle(now or timezone.now())


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """One reconciling at a time on this machine. Raises Busy.

    Two on two machines do no harm: what one has done meanwhile is no hand's move to the other (see _look_and_settle),
    and at worst a version stands in MLflow twice, of which our row names one.
    """
    path = Path(settings.VAR) / "reconciling.lock"
    deadline = time.monotonic() + TURN_SECONDS
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back when the file is closed, or we are killed
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy from None
                time.sleep(0.1)
        yield


# --- What MLflow does not have --------------------------------------------------------------------
def _record_missing() -> list[Done]:
    ours = _recordable()  # before MLflow is asked: what a training records meanwhile is then no loss
    registry = tracking.registry()
    lost = [row for row in ours if not registry.holds(run_id=row.mlflow_run_id, version=row.mlflow_version)]
    there = [row for row in ours if row not in lost][:MOST_LOOKED_AT]
    gone = tracking.gone(row.mlflow_run_id for row in there)
    missing = [row for row in ours if row in lost or row.mlflow_run_id in gone]
    for row in missing:  # at once, also what waits for a later pass: a row must not name what is not there
        if row.mlflow_run_id:
            _note(row, run_id="", version=None)
    done = [_record(row) for row in missing[:MOST_RECORDED]]
    if len(missing) > MOST_RECORDED:
        done.append(Done(WAITING, None, f"More that MLflow lacks wait for the next pass: {len(missing) - len(done)}."))
    return done


def _recordable() -> list[ModelVersion]:
    """Every version that was trained, the one in production first, then the newest."""
    rows = ModelVersion.objects.filter(is_demo=False, run__isnull=False)
    first = Case(When(status=ModelVersion.Status.PRODUCTION, then=Value(0)), default=Value(1))
    return list(rows.only("number", "status", "mlflow_run_id", "mlflow_version").order_by(first, "-number"))


def _record(row: ModelVersion) -> Done:
    run = TrainingRun.objects.select_related("version", "dataset").get(version=row)
    version = run.version
    assert version is not None  # noqa: S101 (it was looked up by it; this tells mypy)
    try:
        recorded = recording.record_again(version, run)
    except (DamagedModel, tracking.NotRecorded) as error:  # the others can be recorded all the same
        return Done(NOT_RECORDED, row.number, f"{str(row).capitalize()} was not recorded: {error}")
    _note(row, run_id=recorded.run_id, version=recorded.version)
    since = f" Recorded since, as registered version {recorded.version}."
    TrainingRun.objects.filter(pk=run.pk, outcome__contains="Not recorded").update(
        outcome=Concat("outcome", Value(since))
    )
    words = f"{str(row).capitalize()} is in MLflow as registered version {recorded.version}, run {recorded.run_id}."
    return Done(RECORDED, row.number, words)


def _note(row: ModelVersion, *, run_id: str, version: int | None) -> None:
    with transaction.atomic():
        ModelVersion.objects.filter(pk=row.pk).update(mlflow_run_id=run_id, mlflow_version=version)
        TrainingRun.objects.filter(version=row.pk).update(mlflow_run_id=run_id)
    row.mlflow_run_id, row.mlflow_version = run_id, version


# --- The alias ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Memory:
    """What our records know of the alias: where we last left it, and the newest promotion that it followed."""

    left: int
    promotion_id: int

    @classmethod
    def now(cls) -> Memory:
        moves = AliasMove.objects.all()
        followed = moves.exclude(promotion=None).values_list("promotion_id", flat=True).first()
        return cls(left=moves.values_list("left", flat=True).first() or NOWHERE, promotion_id=followed or 0)


@dataclass(frozen=True)
class Standing:
    """Where the alias stands, what we know of it, and where it should be, as numbers of registered versions.

    ours: our versions by their registered number.
    """

    found: int
    memory: Memory
    home: int
    ours: Mapping[int, ModelVersion]

    def name(self, number: int) -> str:
        """The registered version, with the name that it has here."""
        return f"registered version {number} ({self.ours.get(number, 'none of ours')})"


def _look_and_settle(now: datetime) -> list[Done]:
    memory = Memory.now()  # before MLflow is asked: a move that another process makes now must not look like a hand's
    return _settle(memory, tracking.registry(), now=now)


def _settle(memory: Memory, registry: Registry, *, now: datetime) -> list[Done]:
    """Lets the alias follow, or answers whoever moved it in MLflow; what was done, if anything was to do."""
    standing = _standing(memory, registry)
    found, left, home = standing.found, memory.left, standing.home
    if found == home:
        if left == home:
            return []
        words = f"The alias stands on {standing.name(home)} already."
        return [_move(standing, Decision.FOLLOWED, words, now=now)]
    if found == NOWHERE and left == NOWHERE:
        return [_move(standing, Decision.FOLLOWED, f"The alias was set to {standing.name(home)}.", now=now)]
    if found == NOWHERE:
        words = f"The alias was gone from MLflow, and was set to {standing.name(home)} again."
        return [_move(standing, Decision.PUT_BACK, words, now=now)]
    if found == left or _is_late(standing):
        words = f"The alias went from {standing.name(found)} to {standing.name(home)}, after production."
        return [_move(standing, Decision.FOLLOWED, words, now=now)]
    return _answer(registry, standing, now=now)


def _standing(memory: Memory, registry: Registry) -> Standing:
    rows = ModelVersion.objects.light().filter(is_demo=False, mlflow_version__isnull=False)
    ours = {
        row.mlflow_version: row
        for row in rows
        if row.mlflow_version and registry.holds(run_id=row.mlflow_run_id, version=row.mlflow_version)
    }
    production = ModelVersion.objects.in_production().values_list("pk", flat=True).first()
    home = next((number for number, row in ours.items() if row.pk == production), None)
    if home is None:  # nothing is in production, or MLflow does not have it yet: the alias waits where it is
        home = memory.left if production and memory.left in registry.runs else NOWHERE
    return Standing(found=registry.alias or NOWHERE, memory=memory, home=home, ours=ours)


def _is_late(standing: Standing) -> bool:
    """Whether the alias is where a promotion of ours wanted it, and nobody came to write that down.

    A request that a frozen MLflow did not answer may be carried out when it wakes; and before there were these records,
    promotions moved the alias themselves.
    """
    version = standing.ours.get(standing.found)
    newer = Promotion.objects.filter(pk__gt=standing.memory.promotion_id)
    return version is not None and newer.filter(version=version).exists()


def _move(standing: Standing, decision: Decision, words: str, *, now: datetime) -> Done:
    """Moves the alias home and writes down why. Raises NotRecorded, and writes nothing then."""
    if standing.found != standing.home:
        tracking.set_production_alias(standing.home or None)
    followed = Promotion.objects.first() if decision == Decision.FOLLOWED else None
    _write_down(decision, standing, left=standing.home, promotion=followed, words=words, now=now)
    version = standing.ours.get(standing.home)
    return Done(decision.value, version.number if version else None, words)


def _answer(registry: Registry, standing: Standing, *, now: datetime) -> list[Done]:
    """Answers a wish: somebody moved the alias in MLflow, and the gate decides whether production follows."""
    wish = f"The alias was moved to {standing.name(standing.found)} in MLflow"
    version = standing.ours.get(standing.found)
    if version is None:
        return [_put_back(standing, f"{wish}, which was not trained here", now=now)]
    try:
        return [_take_over(standing, version)]
    except promotion.GateSaysNo as error:
        why = f"and the gate says no. {error.verdict.in_words().removesuffix('.')}"
    except (promotion.NotPromotable, promotion.PromotionConflict) as error:
        why = f"which is not possible. {str(error).removesuffix('.')}"
    anew = _standing(standing.memory, registry)  # somebody may have promoted while the gate judged
    if anew.found == anew.home:
        return []
    return [_put_back(anew, f"{wish}, {why}", now=now)]


def _take_over(standing: Standing, version: ModelVersion) -> Done:
    verdict = judging.judge(version)  # before the transaction: scoring would keep SQLite locked
    words = f"The alias was moved to {standing.name(standing.found)} in MLflow, and the gate let it through."
    with transaction.atomic():
        promoted = promotion.promote(version, reason=words, verdict=verdict)  # now, and not when the judging began
        decision, now = Decision.TAKEN_OVER, promoted.created_at
        _write_down(decision, standing, left=standing.found, promotion=promoted, words=words, now=now)
    return Done(decision.value, version.number, words)


def _put_back(standing: Standing, why: str, *, now: datetime) -> Done:
    where = (
        f"put back on {standing.name(standing.home)}" if standing.home else "taken away, as nothing is in production"
    )
    return _move(standing, Decision.PUT_BACK, f"{why}. It was {where}.", now=now)


def _write_down(
    decision: Decision, standing: Standing, *, left: int, promotion: Promotion | None, words: str, now: datetime
) -> None:
    AliasMove.objects.create(
        decision=decision,
        found=standing.found or None,
        left=left,
        promotion=promotion,
        words=words,
        created_at=now,
    )
