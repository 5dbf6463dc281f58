"""Slots: claimed once, begun once, ended in words, and closed when nobody will end them."""

from __future__ import annotations

import importlib
import threading
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.apps import apps
from django.db import IntegrityError, OperationalError, connection
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from mlops import slots
from mlops.models import Slot
from mlops.runs import RunInProgress
from tests.mlops.making import NOW

pytestmark = pytest.mark.django_db
TASK = "mlops.tasks.heartbeat"
LIMITS = {TASK: 300.0}
SECOND = timedelta(seconds=1)


def claim(**fields: Any) -> Slot | None:
    return slots.claim("Probe", **{"task": TASK, "due_at": NOW, "now": NOW, **fields})


def make_slot(**fields: Any) -> Slot:
    return Slot.objects.create(**{"name": "Probe", "task": TASK, "due_at": NOW, "sent_at": NOW, **fields})


def make_schedule(**fields: Any) -> PeriodicTask:
    minute = IntervalSchedule.objects.create(every=1, period="minutes")
    return PeriodicTask.objects.create(**{"name": "Probe", "task": TASK, "interval": minute, **fields})


# --- Claimed --------------------------------------------------------------------------------------
def test_claim_gives_the_slot_once():
    first, second = claim(), claim(now=NOW + SECOND)

    assert (first, second) == (Slot.objects.get(), None)
    assert (first.status, first.task, first.sent_at) == ("sent", TASK, NOW)


@pytest.mark.django_db(transaction=True)
def test_claim_of_four_beats_at_the_same_moment_gives_it_to_one():
    barrier, found = threading.Barrier(4), []

    def beat() -> None:
        barrier.wait()
        try:
            found.append(claim())
        finally:
            connection.close()

    threads = [threading.Thread(target=beat) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(slot is None for slot in found) == [False, True, True, True]


def test_slot_that_was_not_sent_says_why_and_then_how_late_it_was():
    slot = claim()

    slots.note_not_sent(slot, "The broker does not answer.")
    not_sent = Slot.objects.get()
    slots.note_sent_late(slot, now=NOW + 90 * SECOND)

    assert (not_sent.status, not_sent.words) == ("not_sent", "The broker does not answer.")
    late = Slot.objects.get()
    assert (late.status, late.sent_at) == ("sent", NOW + 90 * SECOND)
    assert late.words == "Sent 90 s late: the broker did not answer before."


def test_slot_that_a_worker_has_begun_is_not_said_to_be_unsent():
    slot = claim()
    slots.begin(slot.pk, now=NOW)

    slots.note_not_sent(slot, "The broker does not answer.")
    slots.note_sent_late(slot, now=NOW)

    assert Slot.objects.get().status == "running"


# --- Begun and ended ------------------------------------------------------------------------------
@pytest.mark.parametrize("status", ["sent", "not_sent"])
def test_begin_gives_a_slot_to_the_first_who_asks(status):
    slot = make_slot(status=status)

    asked = [slots.begin(slot.pk, now=NOW), slots.begin(slot.pk, now=NOW + SECOND)]

    slot.refresh_from_db()
    assert (asked, slot.status, slot.started_at) == ([True, False], "running", NOW)


def test_begin_of_a_slot_that_was_removed_is_refused():
    assert not slots.begin(4711, now=NOW)


def test_done_and_fail_end_a_slot_in_words():
    first, second = make_slot(), make_slot(due_at=NOW + SECOND)
    for slot in (first, second):
        slots.begin(slot.pk, now=NOW)

    slots.done(first.pk, "Rang for run 12.", now=NOW + SECOND)
    slots.fail(second.pk, "x" * 2000, now=NOW + SECOND)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.words, first.ended_at) == ("done", "Rang for run 12.", NOW + SECOND)
    assert (second.status, second.words) == ("failed", "x" * 1000)


def test_slot_that_was_closed_stays_failed():
    slot = make_slot(status="failed", words="Its process is gone.", ended_at=NOW)

    slots.done(slot.pk, "Done after all.", now=NOW + SECOND)

    slot.refresh_from_db()
    assert (slot.status, slot.words) == ("failed", "Its process is gone.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RunInProgress(None), "RunInProgress: Only one training runs at a time; one was at it. Wait for it and start"),
        (OSError(28, "No space left on device", "/srv/secret"), "OSError: No space left on device."),
        (KeyError("My card 4711"), "KeyError; the worker's log shows where."),
        (OperationalError("host db.internal refused"), "OperationalError: the database does not answer."),
        (IntegrityError("Failing row contains (My card 4711)"), "IntegrityError: the database refused it."),
        (SoftTimeLimitExceeded(), "It took longer than it may, and was stopped."),
    ],
)
def test_error_in_words_names_no_file_no_address_and_no_text_of_a_ticket(error, words):
    assert slots.in_words(error).startswith(words)


# --- Closed ---------------------------------------------------------------------------------------
def test_slot_that_runs_longer_than_its_task_may_is_failed():
    slot = make_slot(status="running", started_at=NOW)
    limit = NOW + 300 * SECOND + slots.MARGIN

    in_time = slots.close_lost(limit, limits=LIMITS)
    late = slots.close_lost(limit + SECOND, limits=LIMITS)

    slot.refresh_from_db()
    assert (in_time, late) == (0, 1)
    assert (slot.status, slot.ended_at) == ("failed", limit + SECOND)
    assert slot.words == "Its process is gone: it did not end within the 300 s that it may take."


def test_running_slot_of_a_task_that_is_gone_is_failed_after_an_hour():
    make_slot(status="running", started_at=NOW, task="mlops.tasks.of_old")

    found = [slots.close_lost(NOW + timedelta(minutes=minutes), limits=LIMITS) for minutes in (60, 61)]

    assert found == [0, 1]


def test_slot_whose_message_ran_out_before_a_worker_came_is_failed():
    make_schedule(expire_seconds=50)
    slot = make_slot()

    found = [slots.close_lost(NOW + seconds * SECOND, limits=LIMITS) for seconds in (80, 81)]

    slot.refresh_from_db()
    assert (found, slot.status) == ([0, 1], "failed")
    assert slot.words == "No worker began it within 50 s, after which it runs out."


@pytest.mark.parametrize(
    ("expire_seconds", "fields"),
    [(None, {}), (50, {"task": "somebody.elses"}), (50, {"name": "Of a schedule that was removed"})],
)
def test_slot_that_may_still_be_begun_or_of_which_nothing_is_known_is_left(expire_seconds, fields):
    make_schedule(expire_seconds=expire_seconds)
    make_slot(**fields)

    assert slots.close_lost(NOW + timedelta(days=1), limits=LIMITS) == 0


def test_closing_asks_three_times_however_many_slots_there_are(django_assert_num_queries):
    make_schedule(expire_seconds=50)
    for number in range(20):
        make_slot(due_at=NOW + number * SECOND)
        make_slot(due_at=NOW - (number + 1) * SECOND, status="running", started_at=NOW)

    with django_assert_num_queries(3):
        slots.close_lost(NOW + 60 * SECOND, limits=LIMITS)


# --- The schedules that there are -----------------------------------------------------------------
schedules = importlib.import_module("mlops.migrations.0007_schedules")
NEW = {
    "Heartbeat": ("mlops.tasks.heartbeat", "every 30 seconds"),
    "Watch for drift": ("mlops.tasks.watch_drift", "every minute"),
    "Retrain nightly": ("mlops.tasks.consider_retraining", "30 2 * * *"),
    "Clean up": ("mlops.tasks.clean_up", "40 3 * * *"),
}


@pytest.fixture
def none_yet() -> None:
    """As a flush leaves it, or as before the migration."""
    PeriodicTask.objects.all().delete()


@pytest.mark.usefixtures("none_yet")
def test_migration_makes_each_schedule_once_and_in_utc():
    for _ in range(2):
        schedules.add(apps, None)

    found = {task.name: (task.task, str(task.scheduler).split(" (")[0]) for task in PeriodicTask.objects.all()}
    assert found == NEW
    assert {str(row.timezone) for row in CrontabSchedule.objects.all()} == {"UTC"}
    assert all(task.enabled and task.expire_seconds for task in PeriodicTask.objects.all())


@pytest.mark.usefixtures("none_yet")
def test_migration_leaves_what_a_person_has_made():
    hour = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name="My own", task="mlops.tasks.clean_up", interval=hour)
    PeriodicTask.objects.create(name="Heartbeat", task="mine", interval=hour)
    PeriodicTask.objects.create(name="celery.backend_cleanup", task="celery.backend_cleanup", interval=hour)

    schedules.add(apps, None)
    made = sorted(PeriodicTask.objects.values_list("name", flat=True))
    schedules.remove(apps, None)

    assert made == ["Heartbeat", "My own", "Retrain nightly", "Watch for drift"]
    assert sorted(PeriodicTask.objects.values_list("name", flat=True)) == ["Heartbeat", "My own"]


@pytest.mark.usefixtures("none_yet")
def test_migration_makes_the_schedule_that_rolls_up_once_and_takes_it_away():
    rolling = importlib.import_module("mlops.migrations.0009_rollup_schedule")
    for _ in range(2):
        rolling.add(apps, None)

    (made,) = PeriodicTask.objects.all()
    assert (made.name, made.task, str(made.scheduler)) == ("Roll up", "mlops.tasks.roll_up", "every minute")
    assert (made.enabled, made.expire_seconds) == (True, 50)
    rolling.remove(apps, None)
    assert not PeriodicTask.objects.exists()
