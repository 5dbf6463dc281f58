"""What beat calls to watch: a snapshot when one is due, and the question whether to retrain."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from classifier.models import ApiRequest, ModelVersion, RequestRollup, Waiting
from mlops import drift, tasks
from mlops.models import DriftSnapshot, RetrainDecision, TrainingRun
from tests.factories import make_version
from tests.mlops.making import kitchen
from tests.mlops.paging import make_answer
from tests.mlops.test_drift import answer, few_are_enough, version  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def test_watching_without_a_model_asks_whether_the_labels_suffice_for_one_once_an_hour() -> None:
    first, second = tasks.watch_drift(), tasks.watch_drift()

    decision = RetrainDecision.objects.get()
    assert (decision.decision, decision.words) == ("not_needed", first)
    assert second == "No snapshot is due."


def test_watching_a_version_without_a_reference_asks_and_fails_all_the_same() -> None:
    make_version(status="production")

    for _ in range(2):
        with pytest.raises(drift.NoReference):
            tasks.watch_drift()

    assert RetrainDecision.objects.count() == 1


def test_watching_takes_a_snapshot_and_asks_whether_to_retrain(version: ModelVersion) -> None:  # noqa: F811
    answer(version, kitchen(60, seed=1), at=timezone.now())

    words = tasks.watch_drift()

    snapshot, decision = DriftSnapshot.objects.get(), RetrainDecision.objects.get()
    assert (snapshot.verdict, decision.decision, decision.snapshot) == ("drifted", "not_needed", snapshot)
    assert words.startswith(f"Snapshot {snapshot.pk}: ")
    assert words.endswith(decision.words)


def test_watching_twice_in_a_minute_takes_one_snapshot(version: ModelVersion) -> None:  # noqa: F811
    tasks.watch_drift()

    assert tasks.watch_drift() == "No snapshot is due."
    assert DriftSnapshot.objects.count() == RetrainDecision.objects.count() == 1


def test_nightly_question_rings_for_the_run_that_it_begins(
    version: ModelVersion,  # noqa: F811
    settings: Any,
    rung: list[tuple[str, int]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    settings.RETRAIN_COOL_DOWN_HOURS = 0

    with django_capture_on_commit_callbacks(execute=True):
        words = tasks.consider_retraining()

    run = TrainingRun.objects.queued().get()
    assert (run.trigger, run.decided_by.decision) == ("schedule", "started")
    assert rung == [("mlops.tasks.carry_out", run.pk)]
    assert words == run.decided_by.words


def test_nightly_question_that_is_answered_no_rings_for_nobody(settings: Any, rung: list[tuple[str, int]]) -> None:
    settings.RETRAIN_AUTOMATIC = False

    tasks.consider_retraining()

    assert rung == []
    assert RetrainDecision.objects.get().decision in {"switched_off", "not_needed"}


def test_rolling_up_counts_what_was_asked_and_says_how_many_minutes() -> None:
    an_hour_ago = timezone.now() - timedelta(hours=1)
    ApiRequest.objects.create(route="predict", method="POST", status=200, latency_ms=4.5, created_at=an_hour_ago)

    assert tasks.roll_up().startswith(("Rolled up 60 minutes, until ", "Rolled up 61 minutes, until "))
    assert RequestRollup.objects.get(grain="minute").count == 1


def test_rolling_up_lines_tickets_up_for_the_label_queue() -> None:
    answered = make_answer(make_version(status="production"), "billing", at=timezone.now(), is_review=True)

    tasks.roll_up()

    assert Waiting.objects.get().ticket_id == answered.ticket_id
