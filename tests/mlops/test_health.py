"""What the health of each dependency is said to be, with the real thing well, away and hanging."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from classifier import inference
from classifier.models import Category, ModelArtifact
from mlops import health
from mlops.models import Slot, TrainingRun
from tests.factories import make_version, small_model
from tests.mlops.dependencies import database_at, frozen, silent_server, valkey, web_server
from tests.mlops.making import NOW, label_tickets, make_trained

pytestmark = pytest.mark.django_db
CLOSED = 1  # a port where nobody listens
MEND = re.compile(
    r"(Start|Look|Train|Mend|Correct|Remove|See that|make start|The server's log|manage\.py|Activate|train a version)"
)


@pytest.fixture(autouse=True)
def _alone(home: Path, settings: Any) -> Iterator[None]:
    """A var folder of its own, no broker, an MLflow whose file is not made yet, and caches that start empty."""
    settings.REDIS_URL, settings.CELERY_BROKER_URL = None, f"redis://127.0.0.1:{CLOSED}/0"
    settings.MLFLOW_TRACKING_URI = f"sqlite:///{home}/mlflow/mlflow.sqlite3"
    inference.forget_serving()
    yield
    inference.forget_serving()


def make_slot(name: str, *, seconds_ago: float, status: str = "done") -> None:
    moment = NOW - timedelta(seconds=seconds_ago)
    Slot.objects.create(
        name=name,
        task="a task",
        due_at=moment,
        sent_at=moment,
        status=status,
        ended_at=moment if status == "done" else None,
    )


def a_sentence(words: str) -> str:
    """The words, once it is sure that they say what to do."""
    assert words.endswith(".")
    assert MEND.search(words), words
    return words


# --- Beat and worker ------------------------------------------------------------------------------
def test_beat_that_sent_lately_is_ok() -> None:
    make_slot("Bell", seconds_ago=30, status="sent")

    assert health.beat(NOW) == "ok"


def test_beat_that_never_sent_is_told() -> None:
    assert "it never has" in a_sentence(health.beat(NOW))


def test_beat_that_is_silent_is_told_since_when() -> None:
    make_slot("Bell", seconds_ago=400)

    assert "the last was 6 minutes ago" in a_sentence(health.beat(NOW))


def test_worker_that_finished_a_heartbeat_lately_is_ok() -> None:
    make_slot("Heartbeat", seconds_ago=100)
    make_slot("Heartbeat", seconds_ago=10, status="sent")

    assert health.worker(NOW) == "ok"


def test_worker_that_finishes_nothing_while_beat_sends_is_told_since_when() -> None:
    make_slot("Heartbeat", seconds_ago=7300)
    make_slot("Heartbeat", seconds_ago=10, status="sent")

    assert a_sentence(health.worker(NOW)).startswith(
        "A worker must finish a heartbeat each half a minute; the last was 2 hours ago."
    )
    assert "log" in health.worker(NOW)


def test_worker_without_a_beat_that_sends_to_it_is_not_blamed() -> None:
    assert "Mend beat first" in a_sentence(health.worker(NOW))


# --- The model and its age ------------------------------------------------------------------------
def test_model_in_production_that_loads_is_ok() -> None:
    version = make_version(number=4, status="production")

    assert health.model() == health.Model("ok", version=version.number)


def test_without_a_model_it_is_said_how_to_get_one() -> None:
    found = health.model()

    assert (found.code, found.version) == ("no_model_in_production", None)
    assert "manage.py train" in found.words


def test_model_that_is_damaged_everywhere_cannot_answer() -> None:
    version = make_version(number=4, status="production")
    ModelArtifact.objects.filter(pk=version.artifact_id).update(content=b"no model")

    found = health.model()

    assert (found.code, found.version) == ("model_damaged", 4)
    assert found.words.startswith("Version 4 must answer; it cannot.")


def test_damaged_model_is_told_with_the_older_one_that_answers_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_version(number=1, status="production")
    inference.serving()
    type(old).objects.update(status="archived")
    new = make_version(number=2, status="production", model=small_model(("billing", "account")))
    ModelArtifact.objects.filter(pk=new.artifact_id).update(content=b"no model")
    clock = time.monotonic() + 1
    monkeypatch.setattr(inference.time, "monotonic", lambda: clock)

    found = health.model()

    assert (found.code, found.version) == ("", 2)
    assert found.words.startswith("Version 2 must answer; it cannot, and version 1 does instead.")


def test_model_of_retired_categories_cannot_answer() -> None:
    make_version(number=4, status="production")
    Category.objects.update(active=False)

    assert health.model().code == "no_active_category"


def test_training_of_the_last_month_is_ok() -> None:
    label_tickets()
    make_trained()

    assert health.training_age(NOW + timedelta(days=29)) == "ok"


def test_training_that_is_older_is_told_in_days() -> None:
    label_tickets()
    make_trained()
    TrainingRun.objects.create(status="skipped", trigger="schedule", recipe="word_char", ended_at=NOW)

    words = a_sentence(health.training_age(NOW + timedelta(days=41)))

    assert "the last was 41 days ago" in words


def test_without_a_training_it_is_said_how_to_begin_one() -> None:
    assert "manage.py train" in health.training_age(NOW)


# --- The broker -----------------------------------------------------------------------------------
def test_broker_is_ok_frozen_told_and_ok_again(settings: Any, tmp_path: Path) -> None:
    with valkey(tmp_path / "valkey") as (broker, pid):
        settings.REDIS_URL = settings.CELERY_BROKER_URL = broker.url
        well = health.broker()
        with frozen(pid):
            ill = health.broker()

        assert [well, health.broker()] == ["ok", "ok"]
        assert f"The broker at {broker.shown} must answer; it does not." in a_sentence(ill)
        assert broker.url not in ill


def test_without_a_broker_it_is_said_how_to_start_one() -> None:
    assert "manage.py up" in a_sentence(health.broker())


# --- MLflow ---------------------------------------------------------------------------------------
def test_mlflow_server_that_says_it_is_well_is_ok(settings: Any) -> None:
    with web_server(200) as settings.MLFLOW_TRACKING_URI:
        assert health.mlflow() == "ok"


def test_mlflow_server_that_fails_is_told_with_its_status(settings: Any) -> None:
    with web_server(500) as settings.MLFLOW_TRACKING_URI:
        assert "it does not: It answers with status 500." in a_sentence(health.mlflow())


@pytest.mark.parametrize("form", ["http://name:secret@127.0.0.1:1", "postgresql+psycopg://name:secret@127.0.0.1:1/m"])
def test_mlflow_that_is_away_is_told_without_its_password(settings: Any, form: str) -> None:
    settings.MLFLOW_TRACKING_URI = form

    words = a_sentence(health.mlflow())

    assert re.search("refused", words)
    assert "secret" not in words


def test_mlflow_file_is_ok_before_it_is_made_and_after(mlflow_home: Path) -> None:
    made = health.mlflow()
    (mlflow_home / "mlflow" / "mlflow.sqlite3").unlink()

    assert [made, health.mlflow()] == ["ok", "ok"]


def test_mlflow_file_that_is_no_database_is_told(home: Path) -> None:
    (home / "mlflow").mkdir()
    (home / "mlflow" / "mlflow.sqlite3").write_text("no database, and longer than its header of a hundred bytes" * 4)

    words = a_sentence(health.mlflow())

    assert "file is not a database" in words
    assert str(home) not in words


# --- The disk -------------------------------------------------------------------------------------
def test_disk_with_room_is_ok() -> None:
    assert health.disk() == "ok"


def test_disk_that_is_nearly_full_is_told_with_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 2**60)

    assert re.search(r"must have \d+ MB free; it has \d+\.", a_sentence(health.disk()))


def test_var_folder_that_is_gone_is_told(settings: Any, tmp_path: Path) -> None:
    settings.VAR = tmp_path / "gone"

    assert "TICKETCLF_VAR" in a_sentence(health.disk())


# --- All of them, side by side --------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_health_is_healthy_when_everything_is(settings: Any, tmp_path: Path) -> None:
    label_tickets()
    make_trained(status="production", number=3)
    make_slot("Heartbeat", seconds_ago=5)
    with valkey(tmp_path / "valkey") as (broker, _pid):
        settings.REDIS_URL = settings.CELERY_BROKER_URL = broker.url

        found = health.check(NOW)

    assert found.as_dict() == {"status": "healthy", "checks": dict.fromkeys(health.NAMES, "ok"), "version": 3}


@pytest.mark.django_db(transaction=True)
def test_health_is_degraded_when_a_dependency_is_away() -> None:
    make_version(status="production", number=3)

    found = health.check(NOW)

    assert (found.status, found.version) == ("degraded", 3)
    assert {name for name, words in found.checks.items() if words != "ok"} == {
        "broker", "beat", "worker", "training_age",
    }  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_health_is_no_model_without_one() -> None:
    assert health.check(NOW).status == "no_model"


@pytest.mark.django_db(transaction=True)
def test_health_takes_two_seconds_while_broker_and_mlflow_hang(settings: Any) -> None:
    make_version(status="production")
    with silent_server() as broker, silent_server() as mlflow:
        settings.REDIS_URL = settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{broker}/0"
        settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{mlflow}"
        found, seconds = timed(NOW)

    assert seconds < health.SECONDS + 3  # without a bound it hangs for ever
    assert found.status == "degraded"
    assert found.checks["database"] == found.checks["model"] == "ok"
    assert "must answer" in a_sentence(found.checks["broker"])
    assert "must answer" in found.checks["mlflow"]


def test_health_takes_two_seconds_while_the_database_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_server() as port:
        database_at(port, monkeypatch)

        found, seconds = timed(NOW)

    assert seconds < health.SECONDS + 3  # without a bound it hangs for ever
    assert (found.status, found.checks["database"]) == ("database_down", health.DATABASE_LATE)
    assert found.checks["worker"] == found.checks["model"] == health.UNKNOWN
    assert found.checks["mlflow"] == "ok"


def test_health_without_a_database_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    database_at(CLOSED, monkeypatch)

    found, seconds = timed(NOW)

    assert seconds < 1
    assert (found.status, found.checks["database"]) == ("database_down", health.DATABASE_AWAY)
    assert health.database() == health.DATABASE_AWAY
    assert health.readiness().code == "database_unavailable"


def timed(now: datetime) -> tuple[health.Health, float]:
    begun = time.monotonic()
    found = health.check(now)
    return found, time.monotonic() - begun
