"""What /api/health says while real processes are killed and frozen, and that it heals."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops import health
from tests.mlops.up import Api, Up, manage, starting, until

pytestmark = pytest.mark.servers
FIRST_SECONDS = 100  # beat sends a heartbeat each half a minute
HEALING_SECONDS = 100
AN_HOUR_AGO = "strftime('%Y-%m-%d %H:%M:%f', {}, '-1 hour')"


@pytest.fixture(scope="module")
def var(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(migrated, tmp_path_factory.mktemp("health") / "a var"))


@pytest.fixture(scope="module")
def running(var: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service with a model, and a key that reads and predicts."""
    done = manage("quickstart", "--no-serve", var=str(var))
    assert done.returncode == 0, done.stderr
    key = manage("create_api_key", "test", "--scope", "read", "--scope", "predict", var=str(var)).stdout.split()[-1]
    for start in starting(var, tmp_path_factory.mktemp("output")):
        yield Api(start(), key)


@pytest.fixture
def api(running: Api) -> Api:
    """The service, once everything in it is well."""
    until(lambda: status_of(running) == "healthy", seconds=FIRST_SECONDS, what=f"{running.call('GET', 'health')} well")
    return running


def status_of(api: Api) -> str:
    return str(api.call("GET", "health")[1]["status"])


def checks_of(api: Api) -> dict[str, str]:
    """What health says of each dependency, at most two seconds after it was asked."""
    begun = time.monotonic()
    status, body = api.call("GET", "health")
    assert time.monotonic() - begun < health.SECONDS + 0.5
    assert status == 200
    return dict(body["checks"])


def ill(api: Api) -> set[str]:
    return {name for name, words in checks_of(api).items() if words != "ok"}


def answers_tickets(api: Api) -> bool:
    return api.call("POST", "predict", {"tickets": ["I was double charged"]})[0] == 200


@contextlib.contextmanager
def frozen(up: Up, part: str) -> Iterator[None]:
    group = up.leader_of(part)
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def an_hour_passes(var: Path) -> None:
    """Makes all slots an hour older: what nobody wants to wait for."""
    columns = ", ".join(
        f"{name} = {AN_HOUR_AGO.format(name)}" for name in ("due_at", "sent_at", "started_at", "ended_at")
    )
    with sqlite3.connect(var / "ticketclf.sqlite3", timeout=20) as database:
        database.execute(f"UPDATE mlops_slot SET {columns}")  # noqa: S608 -- nothing of it comes from outside


def test_broker_that_is_frozen_is_told_and_heals(api: Api) -> None:
    with frozen(api.up, "valkey-server"):
        words = checks_of(api)["broker"]
        answered = answers_tickets(api)

    assert words.startswith("The broker at 127.0.0.1:")
    assert answered
    until(lambda: "broker" not in ill(api), seconds=5, what="the broker well again")


def test_beat_and_worker_that_are_frozen_are_told_apart_and_heal(api: Api, var: Path) -> None:
    with frozen(api.up, " worker "):
        an_hour_passes(var)
        until(lambda: "beat" not in ill(api), seconds=HEALING_SECONDS, what="beat sends again")
        worker = checks_of(api)["worker"]
    until(lambda: status_of(api) == "healthy", seconds=HEALING_SECONDS, what="the worker well again")

    with frozen(api.up, " beat "):
        an_hour_passes(var)
        both = checks_of(api)
        answered = answers_tickets(api)
    until(lambda: status_of(api) == "healthy", seconds=HEALING_SECONDS, what="beat well again")

    assert "the last was 60 minutes ago. Look into its log" in worker
    assert "the last was 60 minutes ago" in both["beat"]
    assert both["worker"].endswith("Mend beat first, which sends it.")
    assert answered


def test_health_is_well_again_after_everything_in_the_background_was_killed(api: Api, var: Path) -> None:
    for part in (" beat ", " worker ", "valkey-server"):
        os.killpg(api.up.leader_of(part), signal.SIGKILL)
    an_hour_passes(var)

    told: set[str] = set()

    def is_healthy() -> bool:
        told.update(ill(api))
        assert answers_tickets(api)
        return status_of(api) == "healthy"

    until(is_healthy, seconds=HEALING_SECONDS, what="healthy again")

    assert {"beat", "worker"} <= told <= {"beat", "worker", "broker"}


def test_model_that_is_damaged_everywhere_is_told_with_the_one_that_answers(api: Api, var: Path) -> None:
    assert answers_tickets(api)
    new = {"number": "2", "artifact_id": "'none'", "status": "'production'"}
    with sqlite3.connect(var / "ticketclf.sqlite3", timeout=20) as database:
        names = [row[1] for row in database.execute("PRAGMA table_info(classifier_modelversion)") if row[1] != "id"]
        values = ", ".join(new.get(name, name) for name in names)
        artifacts = "classifier_modelartifact"
        database.execute(f"INSERT INTO {artifacts} SELECT 'none', x'00', 1, created_at FROM {artifacts}")  # noqa: S608
        database.execute("UPDATE classifier_modelversion SET status = 'archived'")
        copy = f"INSERT INTO classifier_modelversion ({', '.join(names)}) SELECT {values} FROM classifier_modelversion"  # noqa: S608
        database.execute(copy)

    def is_told() -> bool:
        return "version 1 does instead" in checks_of(api)["model"]

    until(is_told, seconds=5, what="the damaged version told")

    found: Any = api.call("GET", "health")[1]
    assert (found["status"], found["version"]) == ("degraded", 2)
    assert answers_tickets(api)
