"""Schedules through real processes: two beats at once, and beat, worker and broker killed or frozen meanwhile."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mlops.up import ROOT, Starter, Up, environment, manage, until

pytestmark = pytest.mark.servers
SECONDS = 30  # most that anything here takes; it takes a few
PROBE = """
from datetime import datetime, UTC
from django_celery_beat.models import IntervalSchedule, PeriodicTask
PeriodicTask.objects.all().delete()
second = IntervalSchedule.objects.create(every=1, period="seconds")
PeriodicTask.objects.create(name="Probe", task="mlops.tasks.heartbeat", interval=second, expire_seconds=5)
"""
# Due at once, and then for a thousand days not again.
RECONCILE = """
once = IntervalSchedule.objects.create(every=1000, period="days")
long_ago = datetime(2000, 1, 1, tzinfo=UTC)
PeriodicTask.objects.create(
    name="Slow", task="mlops.tasks.reconcile", interval=once, last_run_at=long_ago, expire_seconds=60
)
"""


class Log:
    """The rows of the schedule log, in the database of a running service."""

    def __init__(self, var: Path) -> None:
        self.file = var / "ticketclf.sqlite3"

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.file, timeout=20) as database:
            return database.execute(query, values).fetchall()

    def done(self) -> int:
        return int(self.ask("SELECT count(*) FROM mlops_slot WHERE name = 'Probe' AND status = 'done'")[0][0])

    def status(self, name: str) -> str:
        return "".join(row[0] for row in self.ask("SELECT status FROM mlops_slot WHERE name = ?", name))

    def until_more(self, count: int) -> None:
        """Waits until so many more moments are done."""
        wanted = self.done() + count
        until(lambda: self.done() >= wanted, seconds=SECONDS, what=f"{wanted} moments are done")


@pytest.fixture
def log(var: Path) -> Log:
    return Log(var)


@pytest.fixture
def scheduled(var: Path) -> Callable[[str], None]:
    """Makes schedules, and takes away all others."""

    def schedule(code: str) -> None:
        made = manage("shell", "-c", code, var=str(var))
        assert made.returncode == 0, made.stderr

    return schedule


def sent(*logs: Path) -> list[str]:
    """The moments that these beats have sent."""
    return [moment for log in logs for moment in re.findall(r"\] +Probe of (\S+ \S+) was sent ", log.read_text())]


def broker_of(up: Up) -> str:
    settings = dict(
        line.split(" ", 1) for line in (up.var / "valkey" / "valkey.conf").read_text().splitlines() if " " in line
    )
    return f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"


@pytest.fixture
def second_beat(tmp_path: Path) -> Iterator[Callable[[Up], Path]]:
    """Starts a beat beside the one of `up` and gives its log."""
    started: list[subprocess.Popen[bytes]] = []

    def start(up: Up) -> Path:
        output = tmp_path / "second beat.log"
        with output.open("wb") as file:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "celery", "-A", "ticketclf.celery", "beat", "--loglevel", "INFO"],
                    env=environment(up.var, REDIS_URL=broker_of(up), PYTHONUNBUFFERED="1"),
                    cwd=ROOT,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            )
        return output

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_two_beats_send_each_moment_once(scheduled, start: Starter, second_beat, log: Log) -> None:
    scheduled(PROBE)
    up = start()
    first = up.var / "logs" / "beat.log"

    second = second_beat(up)
    until(lambda: "Probe of" in second.read_text() or "another beat" in second.read_text(), seconds=SECONDS, what="two")
    log.until_more(5)

    both = first.read_text() + second.read_text()
    assert [moment for moment, times in Counter(sent(first, second)).items() if times > 1] == []
    assert both.count("Probe was sent by another beat") >= 3
    (rows,) = log.ask("SELECT count(*), count(DISTINCT due_at) FROM mlops_slot WHERE name = 'Probe'")
    assert rows[0] == rows[1]


def test_beat_that_is_killed_goes_on_and_sends_no_moment_twice(scheduled, start: Starter, log: Log) -> None:
    scheduled(PROBE)
    up = start()
    log.until_more(2)

    os.kill(up.leader_of(" beat "), signal.SIGKILL)
    log.until_more(3)

    moments = sent(up.var / "logs" / "beat.log")
    assert "beat     ended (killed by SIGKILL)" in up.printed()
    assert len(moments) == len(set(moments)) >= 5


@pytest.fixture
def silent_mlflow() -> Iterator[str]:
    """An MLflow that takes calls and never answers: whoever asks it waits for seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_slot_whose_worker_was_killed_is_failed(scheduled, start: Starter, silent_mlflow, log: Log) -> None:
    scheduled(PROBE + RECONCILE)
    up = start(MLFLOW_TRACKING_URI=silent_mlflow)
    until(lambda: log.status("Slow") == "running", seconds=SECONDS, what="the slot runs")

    os.killpg(up.leader_of(" worker "), signal.SIGKILL)
    log.until_more(2)
    left = log.status("Slow")
    log.ask("UPDATE mlops_slot SET started_at = '2026-01-01 00:00:00' WHERE name = 'Slow'")  # its time passes
    until(lambda: log.status("Slow") == "failed", seconds=SECONDS, what="the slot is failed")

    assert left == "running"
    ((words,),) = log.ask("SELECT words FROM mlops_slot WHERE name = 'Slow'")
    assert words == "Its process is gone: it did not end within the 900 s that it may take."
    assert log.ask("SELECT words FROM mlops_slot WHERE words LIKE 'Alive; failed 1 slot that nobody ended.'")


def test_moments_while_the_broker_hangs_are_not_sent_and_those_after_it_are(
    scheduled, start: Starter, log: Log
) -> None:
    scheduled(PROBE)
    up = start()
    log.until_more(1)
    valkey = up.leader_of("valkey-server")

    os.kill(valkey, signal.SIGSTOP)
    try:
        until(lambda: "not_sent" in log.status("Probe"), seconds=SECONDS, what="a moment is not sent")
        words = log.ask("SELECT DISTINCT words FROM mlops_slot WHERE status = 'not_sent'")
    finally:
        os.kill(valkey, signal.SIGCONT)
    log.until_more(3)

    assert [found[:41] for (found,) in words] == ["Not sent: the broker does not answer. It "]
    assert log.ask("SELECT 1 FROM mlops_slot GROUP BY due_at HAVING count(*) > 1") == []
