"""Trainings through real processes: begun by call, killed at their steps, and asked for while the broker is away."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.mlops.up import Api, Starter, until

pytestmark = pytest.mark.servers
BEGUN_SECONDS = 20  # a bell that is heard
BELL_SECONDS = 130  # one that was lost: rung again after a minute, looked for every 30 s
RUN_SECONDS = 120


@dataclass(frozen=True)
class Runs(Api):
    """The runs of a running service, as a client sees and a killer ends them."""

    def run(self, number: int) -> Any:
        return self.call("GET", f"runs/{number}")[1]

    def start(self, **body: Any) -> Any:
        status, run = self.call("POST", "runs", body)
        assert status == 202, run
        return run

    def ended(self, number: int) -> Any:
        until(
            lambda: self.run(number)["status"] not in {"queued", "running"},
            seconds=BELL_SECONDS + RUN_SECONDS,
            what=f"the end of run {number}",
        )
        return self.run(number)

    def at_step(self, number: int, name: str) -> bool:
        """Whether the run is at that step now. Fails if it has ended."""
        status, run = self.call("GET", f"runs/{number}")
        if status == 404:  # the next attempt of a run that has just been killed
            return False
        assert run["status"] in {"queued", "running"}, run["outcome"]
        return bool(run["steps"]) and run["steps"][-1]["name"] == name

    def killed_at(self, number: int, name: str) -> None:
        """Waits until the run is at the step, and ends the process that is at work on it."""
        until(lambda: self.at_step(number, name), seconds=BELL_SECONDS, what=f"run {number} at {name}")
        os.kill(self.at_work(number), signal.SIGKILL)

    def at_work(self, number: int) -> int:
        """The process that holds the run's lock: the one that trains. The others of the pool do what beat sends."""
        inode = (self.up.var / "runs" / f"run-{number}.lock").stat().st_ino
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return next(int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].endswith(f":{inode}"))


@pytest.fixture
def api(stocked: str, start: Starter) -> Runs:
    return Runs(up=start(GATE_MIN_MACRO_F1="0.1"), key=stocked)


def test_run_asked_for_by_call_goes_to_production_and_a_second_one_is_refused(api: Runs) -> None:
    first = api.start(reason="The first.")
    status, refusal = api.call("POST", "runs")

    assert (status, refusal["errors"][0]["detail"]) == (409, f"run {first['id']}")
    found = api.ended(first["id"])
    assert (found["status"], found["decision"], found["version"]) == ("succeeded", "promoted", 1)
    answer = api.call("POST", "predict", {"tickets": ["I was double charged"]})[1]["results"][0]
    assert (answer["predicted_label"], answer["model_version"]) == ("billing", 1)
    again = api.ended(api.start()["id"])
    assert (again["status"], again["outcome"][:10]) == ("skipped", "Unchanged:")


@pytest.mark.parametrize("step", ["fit", "refit", "record"])
def test_run_whose_process_is_killed_is_failed_and_begun_again(api: Runs, step: str) -> None:
    run = api.start()

    api.killed_at(run["id"], step)

    dead = api.ended(run["id"])
    assert (dead["status"], dead["retried_by"]) == ("failed", run["id"] + 1)
    assert f"ended without a word, at the step '{step}" in dead["outcome"]
    retry = api.ended(dead["retried_by"])
    assert (retry["attempt"], retry["status"], retry["decision"]) == (2, "succeeded", "promoted")


def test_run_that_is_killed_each_time_is_given_up_after_the_third(api: Runs) -> None:
    first = api.start()
    for number in range(3):
        api.killed_at(first["id"] + number, "fit")

    runs = [api.ended(first["id"] + number) for number in range(3)]
    assert [run["status"] for run in runs] == ["failed"] * 3
    assert runs[2]["retried_by"] is None


def test_run_whose_whole_worker_is_killed_is_begun_again(api: Runs) -> None:
    run = api.start()
    until(lambda: api.at_step(run["id"], "fit"), seconds=BEGUN_SECONDS, what="the fit")

    os.killpg(api.up.leader_of(" worker "), signal.SIGKILL)

    retry = api.ended(api.ended(run["id"])["retried_by"])
    assert (retry["attempt"], retry["status"]) == (2, "succeeded")


def test_run_asked_for_while_the_broker_hangs_is_answered_at_once_and_begun_later(api: Runs) -> None:
    valkey = api.up.leader_of("valkey-server")
    os.kill(valkey, signal.SIGSTOP)
    try:
        began = time.monotonic()
        run = api.start()
        seconds = time.monotonic() - began
        waiting = api.run(run["id"])
    finally:
        os.kill(valkey, signal.SIGCONT)

    assert seconds < 2
    assert waiting["status"] == "queued"
    assert api.ended(run["id"])["status"] == "succeeded"
