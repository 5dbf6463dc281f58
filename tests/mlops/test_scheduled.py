"""Tasks that beat sends: what came of them stands in their slot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from mlops import queueing, reconciling, tasks
from mlops.models import LEASE, Slot, TrainingRun
from mlops.runs import Order
from mlops.tracking import NotRecorded
from tests.mlops.making import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
ORDER = Order(kind="retrain", trigger="api", recipe="word_char")


@pytest.fixture
def slot() -> Slot:
    return Slot.objects.create(name="Probe", task="mlops.tasks.heartbeat", due_at=NOW, sent_at=NOW)


@contextmanager
def sent_with(task: Any, slot: Slot) -> Iterator[None]:
    """As in a worker that has got the task's message."""
    task.push_request(slot=slot.pk)
    try:
        yield
    finally:
        task.pop_request()


def run(task: Any, slot: Slot) -> Slot:
    with sent_with(task, slot):
        task()
    slot.refresh_from_db()
    return slot


# --- What is written ------------------------------------------------------------------------------
def test_task_with_a_slot_ends_it_with_the_words_that_it_gives(slot):
    ended = run(tasks.heartbeat, slot)

    assert (ended.status, ended.words) == ("done", "Alive.")
    assert ended.started_at is not None
    assert ended.started_at <= ended.ended_at


def test_task_with_a_slot_gives_celery_nothing_to_log(slot):
    with sent_with(tasks.heartbeat, slot):
        assert tasks.heartbeat() is None


def test_task_without_a_slot_is_a_task_like_any_other():
    assert tasks.heartbeat() == "Alive."

    assert not Slot.objects.exists()


def test_task_that_is_sent_twice_is_begun_once(slot, monkeypatch):
    begun = []
    monkeypatch.setattr(queueing, "look_after", lambda now: begun.append(now) or [])

    first = run(tasks.look_after_runs, slot)
    with sent_with(tasks.look_after_runs, slot):
        answer = tasks.look_after_runs()

    assert (first.words, answer, len(begun)) == ("Nobody to ring for.", "Left alone: it was begun before.", 1)


def test_task_that_fails_says_so_in_its_slot_and_fails_all_the_same(slot, monkeypatch):
    def fail(_now: Any) -> None:
        raise ValueError("could not convert 'My card 4711' to float")

    monkeypatch.setattr(queueing, "look_after", fail)

    with sent_with(tasks.look_after_runs, slot), pytest.raises(ValueError, match="could not convert"):
        tasks.look_after_runs()

    slot.refresh_from_db()
    assert (slot.status, slot.words) == ("failed", "ValueError; the worker's log shows where.")


@pytest.mark.django_db(transaction=True)
def test_task_whose_database_goes_away_raises_what_it_met(slot, monkeypatch, caplog):
    def refuse(*_: Any) -> None:
        raise OperationalError("the connection was refused")

    away = connection.execute_wrapper(refuse)

    def go_away(_now: Any) -> None:
        away.__enter__()
        TrainingRun.objects.first()

    monkeypatch.setattr(queueing, "look_after", go_away)
    with sent_with(tasks.look_after_runs, slot), pytest.raises(OperationalError, match="refused"):
        tasks.look_after_runs()
    away.__exit__(None, None, None)

    slot.refresh_from_db()
    assert slot.status == "running"
    assert f"slot {slot.pk} was not ended, the database does not answer" in caplog.text


def test_slot_costs_a_task_two_statements(slot, django_assert_num_queries):
    # The heartbeat itself looks for running slots and for waiting ones.
    with sent_with(tasks.heartbeat, slot), django_assert_num_queries(2 + 2):
        tasks.heartbeat()


def test_every_task_that_a_schedule_names_keeps_its_slot():
    """One that does not would be said to be waiting for ever."""
    from ticketclf.celery import app

    app.finalize()
    named = {row.task for row in PeriodicTask.objects.all()} & set(app.tasks)

    assert [name for name in named if not isinstance(app.tasks[name], tasks.Scheduled)] == []


# --- What each says -------------------------------------------------------------------------------
def test_bell_says_for_whom_it_rang(slot, rung):
    waiting = queueing.enqueue(ORDER, now=NOW)

    assert run(tasks.look_after_runs, slot).words == f"Rang for run {waiting.pk}."


@pytest.mark.parametrize("kind", ["train", "retrain"])
def test_start_says_which_run_it_queued(slot, rung, kind):
    ended = run(getattr(tasks, kind), slot)

    assert ended.words == f"Queued run {TrainingRun.objects.get().pk}, and rang for it."


def test_start_that_finds_another_at_work_says_so(slot, rung):
    now = timezone.now()
    TrainingRun.objects.create(
        status="running", trigger="api", recipe="word_char", started_at=now, lease_until=now + LEASE, step="fit"
    )

    words = run(tasks.retrain, slot).words

    skipped = TrainingRun.objects.get(status="skipped")
    assert words == f"Left out, as run {skipped.pk}: {skipped.outcome}"


def test_reconciling_says_what_it_did(slot, monkeypatch):
    done = [reconciling.Done("recorded", 1, "Version 1 is in MLflow."), reconciling.Done("followed", 1, "It follows.")]
    monkeypatch.setattr(reconciling, "reconcile", lambda: done)

    assert run(tasks.reconcile, slot).words == "Version 1 is in MLflow. It follows."


@pytest.mark.usefixtures("mlflow_home")
def test_reconciling_with_nothing_to_do_says_so(slot):
    assert run(tasks.reconcile, slot).words == "Nothing to reconcile."


def test_reconciling_without_mlflow_says_so(slot):
    ended = run(tasks.reconcile, slot)

    assert ended.status == "done"
    assert ended.words.startswith("Not reconciled: ")
    assert "/proc" not in ended.words


def test_reconciling_that_is_not_recorded_raises_nothing(slot, monkeypatch):
    def away() -> None:
        raise NotRecorded("MLflow does not answer.")

    monkeypatch.setattr(reconciling, "reconcile", away)

    assert run(tasks.reconcile, slot).words == "Not reconciled: MLflow does not answer."


def test_heartbeat_fails_a_slot_whose_process_is_gone(slot):
    long_ago = timezone.now() - timedelta(hours=1)
    lost = Slot.objects.create(
        name="Reconcile", task="mlops.tasks.reconcile", due_at=NOW, sent_at=long_ago, started_at=long_ago,
        status="running",
    )  # fmt: skip

    words = run(tasks.heartbeat, slot).words

    lost.refresh_from_db()
    assert (words, lost.status) == ("Alive; failed 1 slot that nobody ended.", "failed")
    assert lost.words == "Its process is gone: it did not end within the 900 s that it may take."
