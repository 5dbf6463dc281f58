"""Runs that wait for a worker: one at a time, rung for again, begun anew when theirs died; and the tasks that do it."""

from __future__ import annotations

import importlib
import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from mlops import queueing, runs, tasks
from mlops.models import LEASE, TrainingRun
from mlops.queueing import RING_AGAIN
from mlops.runs import NotQueued, Order, RunInProgress
from tests.mlops.making import NOW, noon

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
Status = TrainingRun.Status
ORDER = Order(kind="retrain", trigger="api", recipe="word_char", reason="New labels.")


def make_running(**fields) -> TrainingRun:
    return TrainingRun.objects.create(
        **{
            "status": Status.RUNNING,
            "kind": "retrain",
            "trigger": "schedule",
            "recipe": "word_char",
            "step": "fit word_char on 30 tickets",
            "started_at": NOW,
            "lease_until": NOW + LEASE,
            **fields,
        }
    )


# --- One at a time --------------------------------------------------------------------------------
def test_enqueue_leaves_a_queued_row_of_the_order():
    run = queueing.enqueue(ORDER, now=NOW)

    found = TrainingRun.objects.get()
    assert found == run
    assert (found.status, found.kind, found.reason, found.created_at) == (Status.QUEUED, "retrain", "New labels.", NOW)


def test_enqueue_while_one_runs_names_it_and_makes_no_row():
    other = make_running()

    with pytest.raises(RunInProgress, match=rf"run {other.pk} is at it since 09:30 UTC \(fit word_char") as caught:
        queueing.enqueue(ORDER, now=NOW)

    assert caught.value.other == other
    assert TrainingRun.objects.count() == 1


def test_enqueue_while_one_waits_names_it_and_makes_no_row():
    other = queueing.enqueue(ORDER, now=NOW)

    with pytest.raises(RunInProgress, match=f"run {other.pk} waits for the worker since 09:30 UTC"):
        queueing.enqueue(ORDER, now=NOW)

    assert TrainingRun.objects.count() == 1


def test_enqueue_or_leave_out_says_on_record_why_not():
    other = make_running()

    run = queueing.enqueue_or_leave_out(ORDER, now=NOW)

    assert (run.status, run.ended_at) == (Status.SKIPPED, NOW)
    assert f"run {other.pk} is at it" in run.outcome


@pytest.mark.django_db(transaction=True)
def test_of_orders_at_the_same_moment_one_is_queued():
    barrier, queued, refused = threading.Barrier(4), [], []

    def order() -> None:
        barrier.wait()
        try:
            queued.append(queueing.enqueue(ORDER, now=NOW))
        except RunInProgress as refusal:
            refused.append(refusal.other)
        finally:
            connection.close()

    threads = [threading.Thread(target=order) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(queued), refused) == (1, queued * 3)
    assert TrainingRun.objects.count() == 1


# --- Begun by a worker ----------------------------------------------------------------------------
def test_a_queued_run_is_begun_once():
    run = queueing.enqueue(ORDER, now=NOW)
    with runs.running(run, clock=noon) as begun:
        assert (begun.status, begun.started_at, begun.lease_until) == (Status.RUNNING, NOW, NOW + LEASE)
        runs.end(begun, Status.REJECTED, outcome="Done.", now=NOW)

    with pytest.raises(NotQueued, match=f"run {run.pk} is rejected"), runs.running(run, clock=noon):
        pass


def test_a_queued_run_that_finds_another_at_work_goes_on_waiting():
    run = queueing.enqueue(ORDER, now=NOW)
    other = make_running()

    with pytest.raises(RunInProgress, match=f"run {other.pk} is at it"), runs.running(run, clock=noon):
        pass

    run.refresh_from_db()
    assert (run.status, TrainingRun.objects.count()) == (Status.QUEUED, 2)


# --- Looked after ---------------------------------------------------------------------------------
def test_look_after_rings_for_a_waiting_run_and_again_after_a_minute():
    run = queueing.enqueue(ORDER, now=NOW)

    at_once = queueing.look_after(NOW)
    soon = queueing.look_after(NOW + RING_AGAIN)
    later = queueing.look_after(NOW + RING_AGAIN + timedelta(seconds=1))

    assert (at_once, soon, later) == ([run], [], [run])


def test_look_after_rings_for_nobody_while_a_run_is_at_work():
    queueing.enqueue(ORDER, now=NOW)
    make_running()

    assert queueing.look_after(NOW) == []


def test_look_after_fails_a_dead_run_and_queues_it_again():
    dead = make_running(reason="It is night.")

    rung = queueing.look_after(NOW + LEASE + timedelta(seconds=1))

    dead.refresh_from_db()
    retry = TrainingRun.objects.get(retry_of=dead)
    assert (dead.status, rung) == (Status.FAILED, [retry])
    assert "ended without a word, at the step 'fit word_char" in dead.outcome
    assert (retry.status, retry.kind, retry.trigger, retry.reason) == (
        Status.QUEUED, "retrain", "schedule", "It is night.",
    )  # fmt: skip
    assert retry.attempt == 2


def test_a_run_that_dies_each_time_is_begun_again_twice_at_most():
    run, now = make_running(), NOW
    for _ in range(5):
        now += LEASE + timedelta(seconds=1)
        for rung in queueing.look_after(now):
            TrainingRun.objects.filter(pk=rung.pk).update(
                status=Status.RUNNING, started_at=now, lease_until=now + LEASE
            )

    chain = list(TrainingRun.objects.order_by("pk").values_list("attempt", "retry_of", "status"))
    assert chain == [(1, None, "failed"), (2, run.pk, "failed"), (3, run.pk + 1, "failed")]


def test_a_dead_run_is_not_begun_again_while_another_waits():
    dead = make_running()
    waiting = queueing.enqueue_or_leave_out(ORDER, now=NOW)
    TrainingRun.objects.filter(pk=waiting.pk).update(status=Status.QUEUED)

    rung = queueing.look_after(NOW + LEASE + timedelta(seconds=1))

    assert [run.pk for run in rung] == [waiting.pk]
    assert not TrainingRun.objects.filter(retry_of=dead).exists()


def test_a_run_that_died_while_it_imported_its_file_is_not_begun_again_without_it():
    dead = make_running(kind="train", step="import 3,000 rows")

    assert queueing.look_after(NOW + LEASE + timedelta(seconds=1)) == []

    dead.refresh_from_db()
    assert dead.outcome.endswith(
        "Nothing of its file was imported, so it is not begun again by itself: start it again."
    )
    assert TrainingRun.objects.count() == 1


@pytest.mark.parametrize("fields", [{"attempt": 2}, {"attempt": 4}, {"attempt": 0}])
def test_the_database_refuses_a_retry_of_nothing_and_a_fourth_attempt(fields):
    with pytest.raises(IntegrityError, match=r"(?i)retries_are_few|check"), transaction.atomic():
        TrainingRun.objects.create(trigger="api", recipe="x", **fields)


# --- The lease ------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_the_lease_is_renewed_while_one_step_takes_long(monkeypatch):
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.01)
    later, asked = NOW + timedelta(minutes=1), threading.Event()

    def clock():
        if threading.current_thread() is not threading.main_thread():
            asked.set()
        return later if asked.is_set() else NOW

    with runs.running(ORDER, clock=clock) as run:
        asked.wait(timeout=30)
        for _ in range(1000):
            if TrainingRun.objects.get().lease_until != NOW + LEASE:
                break
        renewed = TrainingRun.objects.get().lease_until
        runs.end(run, Status.REJECTED, outcome="Done.", now=NOW)

    assert renewed == later + LEASE


# --- Tasks ----------------------------------------------------------------------------------------
class Bell:
    """Notes what is sent instead of sending it, or fails as a broker that is away."""

    name = "bell"

    def __init__(self, error: Exception | None = None) -> None:
        self.sent, self.error = [], error

    def apply_async(self, arguments, **_options) -> None:
        self.sent.append(arguments)
        if self.error:
            raise self.error


@pytest.fixture
def bell(monkeypatch):
    found = Bell()
    monkeypatch.setattr(tasks.carry_out, "apply_async", found.apply_async)
    return found


@pytest.mark.parametrize("kind", ["train", "retrain"])
def test_the_task_of_a_schedule_leaves_a_queued_row_and_rings(kind, bell, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        getattr(tasks, kind)(reason="It is night.")

    run = TrainingRun.objects.get()
    assert (run.kind, run.status, run.trigger, run.reason) == (kind, Status.QUEUED, "schedule", "It is night.")
    assert bell.sent == [(run.pk,)]


def test_the_task_of_a_schedule_that_finds_a_training_says_so_on_record(bell, django_capture_on_commit_callbacks):
    make_running(started_at=timezone.now(), lease_until=timezone.now() + LEASE)

    with django_capture_on_commit_callbacks(execute=True):
        tasks.retrain()

    assert (bell.sent, TrainingRun.objects.filter(status=Status.SKIPPED).count()) == ([], 1)


def test_the_task_that_looks_after_runs_rings_for_each(bell, django_capture_on_commit_callbacks):
    run = queueing.enqueue(ORDER, now=NOW)

    with django_capture_on_commit_callbacks(execute=True):
        tasks.look_after_runs()

    assert bell.sent == [(run.pk,)]


def test_a_bell_for_a_run_that_has_begun_changes_nothing():
    run = make_running(started_at=timezone.now(), lease_until=timezone.now() + LEASE)

    tasks.carry_out(run.pk)

    run.refresh_from_db()
    assert (run.status, TrainingRun.objects.count()) == (Status.RUNNING, 1)


def test_a_bell_rung_again_for_a_run_that_died_calls_for_its_next_attempt(bell, django_capture_on_commit_callbacks):
    dead = make_running()  # its lease ran out long ago

    with django_capture_on_commit_callbacks(execute=True):
        tasks.carry_out(dead.pk)

    dead.refresh_from_db()
    assert dead.status == Status.FAILED
    assert bell.sent == [(dead.retry.pk,)]


@pytest.mark.parametrize(
    ("died", "new", "begun_again"),
    [("retrain", "retrain", 0), ("train", "retrain", 0), ("train", "train", 0), ("retrain", "train", 1)],
)
def test_a_new_run_does_the_work_of_one_that_died_if_it_does_all_of_it(died, new, begun_again):
    dead = make_running(kind=died)

    with runs.running(Order(kind=new, trigger="command", recipe="word_char"), clock=timezone.now) as run:
        runs.end(run, Status.REJECTED, outcome="Done.", now=NOW)

    dead.refresh_from_db()
    assert (dead.status, TrainingRun.objects.queued().count()) == (Status.FAILED, begun_again)


@pytest.mark.parametrize("error", [OperationalError("no broker"), ConnectionRefusedError()])
def test_a_broker_that_is_away_fails_nobody(error, caplog):
    tasks.call(Bell(error), 1)

    assert "bell was not sent, the broker does not answer" in caplog.text


def test_a_broker_that_hangs_is_given_a_moment_only(monkeypatch):
    monkeypatch.setattr(tasks, "CALL_SECONDS", 0.01)
    released = threading.Event()

    class Hanging(Bell):
        def apply_async(self, arguments, **_options) -> None:
            released.wait(timeout=30)
            super().apply_async(arguments)

    hanging = Hanging()
    tasks.call(hanging, 1)
    sent_when_it_returned = list(hanging.sent)
    released.set()

    assert sent_when_it_returned == []


def test_trainings_have_a_queue_of_their_own():
    from ticketclf.celery import app

    queues = [app.amqp.router.route({}, task.name)["queue"].name for task in (tasks.carry_out, tasks.look_after_runs)]

    assert queues == ["training", "default"]


def test_beat_looks_after_runs_twice_a_minute():
    from django.apps import apps
    from django_celery_beat.models import PeriodicTask

    bell = importlib.import_module("mlops.migrations.0005_bell")
    for _ in range(2):  # a second time adds nothing
        bell.ring(apps, None)

    task = PeriodicTask.objects.get(task="mlops.tasks.look_after_runs")
    assert (task.enabled, task.interval.every, task.interval.period) == (True, 30, "seconds")

    own = PeriodicTask.objects.create(
        name="Look at something", task="mlops.tasks.look_after_runs", interval=task.interval
    )
    bell.fall_silent(apps, None)
    assert list(PeriodicTask.objects.filter(task="mlops.tasks.look_after_runs")) == [own]


def test_beat_gets_the_bell_also_where_two_such_intervals_are():
    from django.apps import apps
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    bell = importlib.import_module("mlops.migrations.0005_bell")
    PeriodicTask.objects.all().delete()
    for _ in range(2):
        IntervalSchedule.objects.create(every=30, period="seconds")

    bell.ring(apps, None)

    assert PeriodicTask.objects.filter(task="mlops.tasks.look_after_runs").exists()


def test_beat_without_its_bell_is_left_alone():
    from django.apps import apps
    from django_celery_beat.models import PeriodicTask

    bell = importlib.import_module("mlops.migrations.0005_bell")
    PeriodicTask.objects.all().delete()

    bell.fall_silent(apps, None)

    assert not PeriodicTask.objects.filter(task="mlops.tasks.look_after_runs").exists()


def test_every_thread_sends_by_our_celery_application():
    from celery import current_app

    from ticketclf.celery import app

    found = []
    thread = threading.Thread(target=lambda: found.append(current_app.main))
    thread.start()
    thread.join()

    assert found == [app.main]
