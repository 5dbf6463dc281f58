"""Whether a retraining begins by itself: each answer a row in words; what forbids it; one run of two that are asked."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from classifier.models import ModelVersion
from mlops import considering, tasks, training
from mlops.considering import consider
from mlops.models import RetrainDecision, TrainingRun
from tests.mlops.answering import AN_HOUR, answers
from tests.mlops.making import NOW, good_fit, label_tickets, make_trained, poor_fit
from tests.mlops.watching import make_snapshot, newly_labelled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
Status = TrainingRun.Status
A_DAY = timedelta(days=1)
LATER = NOW + A_DAY  # no training cools down any more


@pytest.fixture
def version() -> ModelVersion:
    """In production, of 42 labelled tickets, with the settings of today; its run ended at NOW."""
    label_tickets()
    return make_trained(status="production", parameters=training.settings_that_shape("word_char"))


def scheduled(now=LATER) -> RetrainDecision:
    return consider(now, cause="schedule")


def make_run(**fields: Any) -> TrainingRun:
    given = {"kind": "retrain", "trigger": "command", "recipe": "word_char"}
    if fields["status"] == Status.RUNNING:
        given |= {"started_at": LATER, "lease_until": LATER + A_DAY}
    return TrainingRun.objects.create(**given, **fields)


def kept_verdict(*, production: int | None, passed: bool = False) -> dict[str, Any]:
    rule = {
        "name": "least_macro_f1",
        "passed": passed,
        "wanted": settings.GATE_MIN_MACRO_F1,
        "found": 0.5,
        "words": "The macro-F1 is too low.",
    }
    return {"passed": passed, "production": production, "reasons": [rule]}


# --- What speaks for it -----------------------------------------------------------------------------
def test_nothing_speaks_for_it_and_a_row_says_what_was_looked_at(version):
    snapshot = make_snapshot(version)

    found = consider(LATER, snapshot=snapshot)

    assert (found.cause, found.decision, found.run, found.snapshot) == ("none", "not_needed", None, snapshot)
    assert found.words == (
        "Nothing asks for a retraining: 0 confirmed labels are new since version 1 was trained (200 begin a "
        f"retraining); its newest drift snapshot {snapshot.pk} is steady; 0 automatic answers of the last 7 days have "
        "a later label, too few to tell their precision (50 are needed). It is asked again, by the schedule and after "
        "each drift snapshot."
    )
    assert found.figures == {
        "new_labels": 0,
        "new_labels_wanted": 200,
        "snapshots": [snapshot.pk],
        "verdicts": ["steady"],
        "n_automatic_labelled": 0,
        "precision": None,
    }
    assert RetrainDecision.objects.get() == found
    assert found.created_at == LATER


def test_schedule_starts_a_run_that_says_why(version):
    newly_labelled(1)

    found = scheduled()

    run = TrainingRun.objects.queued().get()
    assert (found.cause, found.decision, found.run) == ("schedule", "started", run)
    assert found.words == (
        f"The schedule asks for a retraining. Run {run.pk} waits for the worker. It trains on all labels, and its "
        "candidate is judged by the gate: if it passes, it goes to production."
    )
    assert (run.kind, run.trigger, run.recipe, run.created_at) == ("retrain", "schedule", "word_char", LATER)
    assert run.reason == "The schedule asks for a retraining."


def test_new_labels_start_a_run(version, settings):
    settings.RETRAIN_NEW_LABELS = 3
    newly_labelled(3)

    found = consider(LATER)

    assert (found.cause, found.decision, found.run.trigger) == ("labels", "started", "labels")
    assert found.words.startswith("3 confirmed labels are new since version 1 was trained (3 begin a retraining). Run ")
    assert found.figures == {"new_labels": 3, "new_labels_wanted": 3}


def test_drift_twice_in_a_row_starts_a_run(version):
    newly_labelled(1)
    make_snapshot(version, verdict="drifted")
    newest = make_snapshot(version, verdict="drifted")

    found = consider(LATER, snapshot=newest)

    assert (found.cause, found.decision, found.run.trigger) == ("drift", "started", "drift")
    assert found.snapshot == newest


def test_precision_below_its_target_starts_a_run(version):
    newly_labelled(1)
    answers(60, right=40, wrong=20, at=LATER - AN_HOUR)

    found = consider(LATER)

    assert (found.cause, found.decision, found.run.trigger) == ("quality", "started", "quality")
    assert "66.7 % of them were right" in found.words


def test_of_several_causes_the_first_is_named(version, settings):
    settings.RETRAIN_NEW_LABELS = 1
    newly_labelled(1)
    for _ in range(2):
        make_snapshot(version, verdict="drifted")

    assert consider(LATER).cause == "labels"


def test_words_of_a_start_say_so_when_a_person_promotes(version, settings):
    settings.AUTO_PROMOTE = False
    newly_labelled(1)

    assert scheduled().words.endswith("stays a candidate until somebody promotes it: AUTO_PROMOTE is off.")


@pytest.mark.parametrize("cause", ["labels", "drift", "quality", "nonsense"])
def test_a_cause_that_is_found_here_cannot_be_given(cause):
    with pytest.raises(ValueError, match=f"not '{cause}'"):
        consider(LATER, cause=cause)

    assert not RetrainDecision.objects.exists()


# --- Before anything is in production ---------------------------------------------------------------
def test_without_version_and_labels_there_is_nothing_to_retrain():
    found = scheduled()

    assert (found.cause, found.decision) == ("schedule", "not_needed")
    assert found.words.startswith("No version is in production, so there is nothing to retrain")


def test_without_version_the_schedule_starts_a_first_one_when_labels_suffice():
    label_tickets()

    found = scheduled()

    assert (found.cause, found.decision) == ("schedule", "started")
    assert "42 labelled tickets of 3 categories suffice for a first one. Run " in found.words


def test_a_first_version_that_was_judged_and_kept_is_not_trained_again():
    label_tickets()
    make_trained(poor_fit().model, parameters=training.settings_that_shape("word_char"))
    TrainingRun.objects.update(kind="retrain", decision="kept", verdict=kept_verdict(production=None))

    found = scheduled()

    assert found.decision == "unchanged"
    assert "was judged and kept: The macro-F1 is too low. New labels would change that." in found.words


# --- What forbids it --------------------------------------------------------------------------------
def test_switched_off_starts_nothing(version, settings):
    settings.RETRAIN_AUTOMATIC = False
    newly_labelled(1)

    found = scheduled()

    assert (found.cause, found.decision, found.run) == ("schedule", "switched_off", None)
    assert "RETRAIN_AUTOMATIC is off, so it does not begin by itself: manage.py retrain begins one." in found.words
    assert not TrainingRun.objects.queued().exists()


@pytest.mark.parametrize("status", ["running", "queued"])
def test_a_run_at_work_or_waiting_is_named(version, status):
    newly_labelled(1)
    other = make_run(status=status)

    found = scheduled()

    assert (found.decision, found.figures["other_run"]) == ("in_progress", other.pk)
    assert f"Run {other.pk} is {status}, and only one training runs at a time." in found.words


def test_after_a_training_it_cools_down(version):
    newly_labelled(1)
    end = NOW + timedelta(hours=6)

    before, after = scheduled(end - timedelta(seconds=1)), scheduled(end)

    assert (before.decision, after.decision) == ("cooling_down", "started")
    assert (
        f"Run {version.run.pk} ended on 2026-11-23 09:30 UTC, and for RETRAIN_COOL_DOWN_HOURS, 6, none begins by "
        "itself: until 2026-11-23 15:30 UTC." in before.words
    )
    assert before.figures == {"cooling_down_until": "2026-11-23T15:30:00+00:00"}


def test_a_run_that_trained_nothing_needs_no_cooling_down(version):
    newly_labelled(1)
    for status in (Status.SKIPPED, Status.REJECTED, Status.FAILED):
        make_run(status=status, ended_at=LATER)

    assert scheduled().decision == "started"


def test_a_run_that_failed_in_its_training_cools_down_too(version):
    newly_labelled(1)
    make_run(status=Status.FAILED, dataset=version.run.dataset, ended_at=LATER)

    assert scheduled().decision == "cooling_down"


def started_before(moment, *, status=Status.FAILED, **fields: Any) -> RetrainDecision:
    """A retraining that began by itself, and came to nothing."""
    run = make_run(status=status, ended_at=moment)
    return RetrainDecision.objects.create(
        cause="labels", decision="started", words="Labels.", run=run, created_at=moment, **fields
    )


def test_one_a_day_is_enough_and_words_say_from_when_on_again(version):
    newly_labelled(1)
    started_before(LATER - timedelta(hours=23))

    found = scheduled()

    assert (found.decision, found.figures) == ("enough_for_today", {"next_from": "2026-11-24T10:25:00+00:00"})
    assert (
        "In the last 24 hours 1 retraining has begun without a person, and RETRAIN_MAX_PER_DAY allows no more: the "
        "next may from 2026-11-24 10:25 UTC on." in found.words
    )


def test_a_schedule_that_comes_some_seconds_early_is_not_too_early(version):
    newly_labelled(1)
    started_before(LATER - A_DAY + timedelta(seconds=20))

    assert scheduled().decision == "started"


def test_more_a_day_begin_where_the_setting_allows(version, settings):
    settings.RETRAIN_MAX_PER_DAY = 2
    newly_labelled(1)
    started_before(LATER - timedelta(hours=2))
    first = scheduled()
    TrainingRun.objects.filter(pk=first.run.pk).update(status=Status.FAILED, ended_at=LATER)

    second = scheduled(LATER + AN_HOUR)

    assert (first.decision, second.decision) == ("started", "enough_for_today")
    assert "2 retrainings have begun without a person" in second.words
    assert second.figures["next_from"] == (LATER - timedelta(hours=2) + considering.A_DAY).isoformat()


def test_what_was_skipped_or_begun_by_a_person_does_not_count(version):
    newly_labelled(1)
    started_before(LATER - AN_HOUR, status=Status.SKIPPED)
    make_run(status=Status.FAILED, ended_at=LATER - AN_HOUR)

    assert scheduled().decision == "started"


# --- Nothing new to train on ------------------------------------------------------------------------
def test_unchanged_says_so_in_the_words_of_a_skipped_run(version):
    found = scheduled()

    assert (found.cause, found.decision, found.run) == ("schedule", "unchanged", None)
    assert found.words.startswith("The schedule asks for a retraining. Unchanged: labelled tickets, recipe, ")
    assert found.words.endswith("are those of version 1, which is in production. New labels would change that.")


def test_drift_without_new_labels_says_that_labels_are_what_is_needed(version):
    for _ in range(2):
        make_snapshot(version, verdict="drifted")

    found = consider(LATER)

    assert (found.cause, found.decision) == ("drift", "unchanged")
    assert "new labels are what is needed. Label tickets of the last days" in found.words


def test_drift_after_a_candidate_was_judged_and_kept_says_the_same(version):
    for _ in range(2):
        make_snapshot(version, verdict="drifted")
    newly_labelled(1)
    kept = make_trained(poor_fit().model, parameters=training.settings_that_shape("word_char"))
    TrainingRun.objects.filter(version=kept).update(
        kind="retrain", decision="kept", verdict=kept_verdict(production=version.number)
    )

    found = consider(LATER)

    assert (found.cause, found.decision) == ("drift", "unchanged")
    assert f"whose {kept} was judged and kept: The macro-F1 is too low." in found.words
    assert "new labels are what is needed" in found.words


def test_a_candidate_that_passed_and_waits_for_a_person_is_what_words_point_at(version, settings):
    settings.AUTO_PROMOTE = False
    newly_labelled(1)
    kept = make_trained(good_fit().model, parameters=training.settings_that_shape("word_char"))
    TrainingRun.objects.filter(version=kept).update(
        kind="retrain", decision="kept", verdict=kept_verdict(production=version.number, passed=True)
    )

    found = scheduled()

    assert found.decision == "unchanged"
    assert f"Look at that candidate: manage.py promote {kept.number} lets it answer." in found.words


# --- What it costs, and one of two ------------------------------------------------------------------
def test_asking_in_vain_costs_few_queries(version, django_assert_num_queries):
    make_snapshot(version)
    newly_labelled(2)

    # The version; run, labels and dataset; snapshots; answers twice; the row, and a savepoint's two ends.
    with django_assert_num_queries(8):
        consider(LATER)


def test_no_text_is_read_while_a_limit_forbids_it(version, settings, django_assert_num_queries):
    settings.RETRAIN_AUTOMATIC = False

    with django_assert_num_queries(2):  # the version, the row
        scheduled()


def test_a_limit_that_comes_to_hold_meanwhile_forbids_it(version, monkeypatch):
    newly_labelled(1)
    real = considering.gather

    def gather_slowly():
        started_before(LATER)  # somebody else's, begun and over while the texts were read
        return real()

    monkeypatch.setattr(considering, "gather", gather_slowly)

    found = scheduled()

    assert (found.decision, found.run) == ("enough_for_today", None)
    assert not TrainingRun.objects.queued().exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_that_are_asked_at_the_same_moment_one_starts_a_run(settings, home):
    label_tickets()
    make_trained(status="production", parameters=training.settings_that_shape("word_char"))
    newly_labelled(1)
    barrier, found = threading.Barrier(3), []

    def ask() -> None:
        barrier.wait()
        try:
            found.append(scheduled())
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(each.decision for each in found) == ["in_progress", "in_progress", "started"]
    assert TrainingRun.objects.queued().count() == 1
    assert RetrainDecision.objects.count() == 3
    run = TrainingRun.objects.queued().get()
    assert all(f"Run {run.pk} is queued" in each.words for each in found if each.run is None)


def test_a_started_run_is_carried_out_by_the_worker(version, rung):
    newly_labelled(1)
    found = scheduled()

    tasks.carry_out(found.run.pk)

    run = TrainingRun.objects.get(pk=found.run.pk)
    assert (run.status, run.decided_by) == (Status.SUCCEEDED, found)
    assert run.version is not None
