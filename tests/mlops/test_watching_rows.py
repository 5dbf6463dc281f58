"""The rules that the database keeps for what watching writes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from mlops.models import DriftSnapshot, RetrainDecision, Slot, TrainingRun
from tests.factories import make_version
from tests.mlops.making import NOW

pytestmark = pytest.mark.django_db


def make_snapshot(**fields: Any) -> DriftSnapshot:
    numbers = {"window_size": 500, "recent_count": 200, "reference_count": 400}
    given = {"verdict": "steady", "words": "Steady.", "method": "resampled", **numbers, **fields}
    version = fields.get("version") or make_version(status="production")
    return DriftSnapshot.objects.create(**{**given, "version": version})


def make_slot(**fields: Any) -> Slot:
    return Slot.objects.create(**{"name": "Heartbeat", "task": "mlops.tasks.heartbeat", "due_at": NOW, **fields})


@pytest.mark.parametrize(("verdict", "severity"), [("steady", "slight"), ("too_few", "strong"), ("drifted", "none")])
def test_snapshot_has_a_severity_if_and_only_if_it_drifted(verdict: str, severity: str) -> None:
    with pytest.raises(IntegrityError, match="drift_snapshot_severity_of_drifted"), transaction.atomic():
        make_snapshot(verdict=verdict, severity=severity)


def test_a_slot_is_claimed_once_per_schedule() -> None:
    make_slot()
    make_slot(name="Another")
    make_slot(due_at=NOW + timedelta(minutes=1))

    with pytest.raises(IntegrityError), transaction.atomic():
        make_slot()

    assert Slot.objects.count() == 3


@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_slot_that_ended_says_when(status: str) -> None:
    with pytest.raises(IntegrityError, match="slot_ended_has_a_time"), transaction.atomic():
        make_slot(status=status)


def test_a_decision_that_started_names_its_run_and_no_other_does() -> None:
    run = TrainingRun.objects.create(status="skipped", trigger="drift", recipe="word_char")

    with pytest.raises(IntegrityError, match="retrain_decision_started_has_run"), transaction.atomic():
        RetrainDecision.objects.create(cause="drift", decision="started", words="Drifted.")
    with pytest.raises(IntegrityError, match="retrain_decision_started_has_run"), transaction.atomic():
        RetrainDecision.objects.create(cause="drift", decision="unchanged", words="Unchanged.", run=run)


def test_a_decision_says_why() -> None:
    with pytest.raises(IntegrityError, match="retrain_decision_has_words"), transaction.atomic():
        RetrainDecision.objects.create(cause="none", decision="not_needed", words="")


def test_snapshots_of_production_leave_out_other_versions_and_demo() -> None:
    kept = make_snapshot()
    make_snapshot(version=kept.version, is_demo=True)
    make_snapshot(version=make_version(status="archived"))

    assert list(DriftSnapshot.objects.of_production()) == [kept]


def test_snapshot_finds_its_signal_by_name() -> None:
    snapshot = make_snapshot(signals=[{"name": "text", "value": 0.7}])

    assert snapshot.signal("text") == {"name": "text", "value": 0.7}
    assert snapshot.signal("confidence") == {}
