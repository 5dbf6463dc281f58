"""What Prometheus reads at each scrape: every fact, one row or one count each, and each failing by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import OperationalError
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from prometheus_client import CollectorRegistry

from classifier import inference
from mlops import metrics
from mlops.models import DriftSnapshot, Slot, TrainingRun
from tests.factories import make_version
from tests.mlops.dependencies import database_at, valkey
from tests.mlops.making import NOW, label_tickets, make_trained

pytestmark = pytest.mark.django_db
# Two of them by serving(), which a process that answers asks twice a second anyway; and one more a schedule.
QUERIES = 10
SIGNALS = ("word_count_psi", "word_count_ks", "unknown_words", "confidence", "category_shares", "text")


@pytest.fixture(autouse=True)
def _empty_caches(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.MODELS_DIR = tmp_path / "models"
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    inference.forget_serving()
    yield
    inference.forget_serving()


def read() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """{(name, labels): value} of what the database tells."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in metrics.of_database()
        for sample in family.samples
    }


def value(name: str, /, **labels: str) -> float | None:
    return read().get((name, tuple(sorted(labels.items()))))


def make_snapshot(**fields: Any) -> DriftSnapshot:
    signals = [
        {"name": name, "value": 0.25, "threshold": 0.2, "drifted": True, "since": None, "words": ""} for name in SIGNALS
    ]
    return DriftSnapshot.objects.create(
        **{
            "verdict": "drifted",
            "severity": "clear",
            "words": "It drifted.",
            "method": "resampling",
            "window_size": 500,
            "recent_count": 500,
            "reference_count": 300,
            "drift_score": 1.5,
            "signals": signals,
            "estimated_accuracy": 0.875,
            "created_at": NOW,
            **fields,
        }
    )


def make_slot(name: str = "Heartbeat", *, minute: int = 0, status: str = "done", **fields: Any) -> Slot:
    due = NOW + timedelta(minutes=minute)
    ended = due + timedelta(seconds=2) if status in {"done", "failed"} else None
    return Slot.objects.create(
        **{"name": name, "task": "a task", "due_at": due, "sent_at": due, "status": status, "ended_at": ended, **fields}
    )


def make_schedule(name: str, **fields: Any) -> None:
    every, _ = IntervalSchedule.objects.get_or_create(every=1, period="minutes")
    PeriodicTask.objects.create(name=name, task="a task", interval=every, **fields)


# --- The facts ------------------------------------------------------------------------------------
def test_without_any_row_there_are_counts_and_no_moments() -> None:
    names = {name for name, _ in read()}

    assert names == {"ticketclf_database_up", "ticketclf_model_production_version", "ticketclf_runs"}
    assert value("ticketclf_database_up") == 1
    assert value("ticketclf_model_production_version") == 0


def test_version_in_production_is_told_by_its_number() -> None:
    make_version(number=1, status="archived")
    make_version(number=7, status="production")

    assert value("ticketclf_model_production_version") == 7


def test_process_looks_which_version_answers_although_nobody_asks_it() -> None:
    make_version(number=7, status="production")

    read()

    assert metrics.REGISTRY.get_sample_value("ticket_model_loaded_version", {"pid": str(os.getpid())}) == 7


def test_runs_are_counted_by_every_status_there_is() -> None:
    for status in ("failed", "failed", "skipped"):
        TrainingRun.objects.create(status=status, trigger="command", recipe="word_char")

    found = {dict(labels)["status"]: count for (name, labels), count in read().items() if name == "ticketclf_runs"}

    assert found == {"failed": 2, "skipped": 1, "queued": 0, "running": 0, "succeeded": 0, "rejected": 0}


def test_last_training_is_the_end_of_the_last_that_succeeded() -> None:
    label_tickets()
    make_trained()
    TrainingRun.objects.create(status="failed", trigger="command", recipe="word_char", ended_at=NOW + timedelta(days=1))

    assert value("ticketclf_last_training_timestamp_seconds") == NOW.timestamp()


def test_heartbeat_is_the_last_that_a_worker_finished_and_beat_the_last_that_was_sent() -> None:
    make_slot(minute=0)
    make_slot(minute=1, status="failed")
    make_slot("Something else", minute=2)
    make_slot(minute=3, status="sent")

    found = read()

    assert found["ticketclf_last_heartbeat_timestamp_seconds", ()] == NOW.timestamp() + 2
    assert found["ticketclf_last_beat_timestamp_seconds", ()] == NOW.timestamp() + 180


def test_schedule_of_which_nothing_ended_lately_is_not_told_of() -> None:
    make_schedule("Watch")
    make_slot("Watch", status="failed")
    for minute in range(1, metrics.RECENT_SLOTS + 1):
        make_slot("Watch", minute=minute, status="sent")

    assert value("ticketclf_schedule_failures", name="Watch") is None


@pytest.mark.parametrize(
    ("statuses", "failure"),
    [
        (["failed", "done"], 0),
        (["done", "failed"], 1),
        (["done", "not_sent"], 1),
        (["failed", "sent"], 1),
        (["done", "running"], 0),
    ],
)
def test_schedule_fails_when_its_last_ended_slot_did(statuses: list[str], failure: int) -> None:
    make_schedule("Watch")
    for minute, status in enumerate(statuses):
        make_slot("Watch", minute=minute, status=status)

    assert value("ticketclf_schedule_failures", name="Watch") == failure


def test_schedule_that_is_switched_off_or_gone_is_not_told_of() -> None:
    make_schedule("Watch", enabled=False)
    for name in ("Watch", "Gone"):
        make_slot(name, status="failed")

    assert [name for name, _ in read() if name == "ticketclf_schedule_failures"] == []


def test_snapshot_of_production_is_told_signal_by_signal() -> None:
    version = make_version(number=3, status="production")
    make_snapshot(version=version)

    found = read()

    of = {"model_version": "3"}
    assert value("support_ticket_drift_score", signal="length_z", **of) == 1.5
    for signal in SIGNALS:
        labels = (("model_version", "3"), ("signal", signal))
        assert [
            found[f"support_ticket_drift_{what}", labels] for what in ("score", "threshold", "drifted")
        ] == [0.25, 0.2, 1]  # fmt: skip
    assert [value("support_ticket_drift_verdict", verdict=word, **of) for word in ("drifted", "steady", "too_few")] == [
        1, 0, 0,
    ]  # fmt: skip
    assert value("ticket_estimated_accuracy", **of) == 0.875
    assert value("ticketclf_last_snapshot_timestamp_seconds") == NOW.timestamp()


def test_snapshot_of_too_few_has_no_thresholds() -> None:
    signals = [{"name": "text", "value": None, "threshold": None, "drifted": False, "words": ""}]
    version = make_version(status="production")
    make_snapshot(version=version, verdict="too_few", severity="none", signals=signals, drift_score=None)

    names = {name for name, _ in read()}

    assert "support_ticket_drift_drifted" in names
    assert not names & {"support_ticket_drift_threshold", "support_ticket_drift_score"}


def test_snapshots_of_another_version_and_of_the_demo_are_left_out() -> None:
    make_snapshot(version=make_version(status="archived"))
    make_snapshot(version=make_version(status="production"), is_demo=True, created_at=NOW + timedelta(days=1))

    found = read()

    assert [name for name, _ in found if name.startswith("support_ticket_drift")] == []
    assert found["ticketclf_last_snapshot_timestamp_seconds", ()] == NOW.timestamp()


@pytest.mark.parametrize(
    ("quality", "precision", "labelled"),
    [
        ({}, None, None),
        ({"n_automatic_labelled": 0, "n_labelled": 3, "precision": None}, None, None),
        ({"n_automatic_labelled": 40, "n_labelled": 60, "precision": 0.95}, 0.95, 40),
    ],
)
def test_live_precision_is_told_once_something_is_labelled(
    quality: dict[str, Any], precision: float | None, labelled: int | None
) -> None:
    make_snapshot(version=make_version(number=1, status="production"), quality=quality)

    assert value("ticket_live_precision", model_version="1") == precision
    assert value("ticket_live_labelled", model_version="1") == labelled


# --- What it costs, and what fails ------------------------------------------------------------------
def test_facts_take_the_same_few_queries_however_much_there_is(django_assert_num_queries: Any) -> None:
    version = make_version(status="production")
    make_snapshot(version=version)
    PeriodicTask.objects.all().delete()
    schedules = ("Watch", "Heartbeat", "Bell")
    for name in schedules:
        make_schedule(name)
        for minute in range(5):
            make_slot(name, minute=minute)
    inference.serving()
    inference._current = None  # known and old: serving() looks again, and loads nothing

    with django_assert_num_queries(QUERIES + len(schedules)):
        read()


def test_fact_that_cannot_be_read_is_left_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise OperationalError("no such table")

    make_slot()
    monkeypatch.setattr(metrics, "_runs", fail)

    names = {name for name, _ in read()}

    assert "ticketclf_runs" not in names
    assert {"ticketclf_database_up", "ticketclf_last_beat_timestamp_seconds"} <= names


def test_without_a_database_only_that_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    database_at(1, monkeypatch)

    found = {family.name: family.samples[0].value for family in metrics.FactsCollector().collect()}

    assert found == {"ticketclf_database_up": 0, "ticketclf_broker_up": 0}


def test_registering_asks_nobody(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        CollectorRegistry(auto_describe=True).register(metrics.FactsCollector())


def test_without_a_broker_only_that_is_told() -> None:
    (family,) = metrics.of_broker()

    assert [(sample.name, sample.value) for sample in family.samples] == [("ticketclf_broker_up", 0)]


def test_broker_tells_how_many_tasks_wait_in_each_queue(settings: Any, tmp_path: Path) -> None:
    with valkey(tmp_path / "valkey") as (broker, _pid):
        settings.CELERY_BROKER_URL = broker.url
        with redis.Redis.from_url(broker.url) as client:
            client.lpush("training", "one", "two")

        up, depth = metrics.of_broker()

    assert up.samples[0].value == 1
    assert {sample.labels["queue"]: sample.value for sample in depth.samples} == {"default": 0, "training": 2}


# --- Several processes ----------------------------------------------------------------------------
COUNT = """
import os, sys
from prometheus_client import Counter, Gauge
Counter("answered", "Answered.").inc(float(sys.argv[1]))
Gauge("loaded", "Loaded.", ["pid"], multiprocess_mode="liveall").labels(str(os.getpid())).set(3)
print(os.getpid(), flush=True)
sys.stdin.readline()
"""


def counting(folder: Path, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", COUNT, str(count)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(metrics.FactsCollector, "collect", lambda self: iter(()))
    return tmp_path


def test_counts_of_processes_add_up_and_outlive_them_and_their_gauges_do_not(folder: Path) -> None:
    with counting(folder, 120) as one, counting(folder, 80) as other:
        both = metrics.registry()
        assert both.get_sample_value("answered_total") == 200
        assert both.get_sample_value("loaded", {"pid": str(one.pid)}) == 3
        other.communicate("")

        left = metrics.registry()

        assert left.get_sample_value("answered_total") == 200
        assert left.get_sample_value("loaded", {"pid": str(one.pid)}) == 3
        assert left.get_sample_value("loaded", {"pid": str(other.pid)}) is None
        one.communicate("")


def test_number_of_a_dead_process_that_another_program_has_now_is_not_taken_for_it(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, process_group=0) as another:
        file = folder / f"gauge_liveall_{another.pid}.db"
        file.touch()

        metrics.forget_the_dead(folder)

        assert not file.exists()
        another.communicate(b"\n")


def test_scrapes_at_the_same_moment_forget_the_dead_together(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    files = [folder / f"gauge_{mode}_{dead.pid}.db" for mode in ("liveall", "livemax", "livemin", "livesum")]
    errors: list[Exception] = []

    def forget() -> None:
        try:
            metrics.forget_the_dead(folder)
        except Exception as error:  # noqa: BLE001 -- a thread's error must reach the test
            errors.append(error)

    for _ in range(20):
        for file in files:
            file.touch()
        threads = [threading.Thread(target=forget) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert errors == []
    assert [file for file in files if file.exists()] == []


def test_moment_is_utc_seconds() -> None:
    (family,) = metrics._moment("a_moment", "A moment.", datetime(1970, 1, 2, tzinfo=UTC))

    assert family.samples[0].value == 86400
