"""A promotion while two web processes answer: when the new version takes over, and that no answer is lost or mixed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest

from mlops.serving import web_command
from tests.mlops.up import ROOT, START_SECONDS, Api, Starter, environment, free_port, manage, until

pytestmark = pytest.mark.servers
TAKES_OVER_SECONDS = 1.0
THREADS = 2  # to each web process
TICKETS = ["I was double charged", "App keeps crashing", "Where is my parcel?"] * 5


@dataclass
class Load:
    """Calls without a pause, and what came of each: when it was sent, its status, and the versions that answered."""

    api: Api
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[float, int, set[int]]] = field(default_factory=list)

    def send(self) -> None:
        while not self.stop.is_set():
            sent = time.time()
            status, body = self.api.call("POST", "predict", {"tickets": TICKETS})
            self.answers.append((sent, status, {row["model_version"] for row in body.get("results", [])}))


@contextmanager
def second_web(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """Another web process on the same database, as another machine would run it."""
    port = free_port()
    monkeypatch.setattr("django.conf.settings.API_PORT", port)
    process = subprocess.Popen(
        web_command(),
        env=environment(api.up.var, PYTHONPATH=str(ROOT)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    other = replace(api, up=replace(api.up, port=port))
    try:
        until(other.up.answers, seconds=START_SECONDS, what="the second web process")
        yield other
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def test_promotion_under_load_takes_over_within_a_second_and_loses_no_answer(
    stocked: str, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(up=start(), key=stocked)
    var = str(api.up.var)
    for recipe in ("word_char", "original"):
        done = manage("train", "--recipe", recipe, var=var, GATE_MIN_MACRO_F1="0.1")
        assert done.returncode == 0, done.stderr

    with second_web(api, monkeypatch) as other:
        loads = [Load(each) for each in (api, other) for _ in range(THREADS)]
        threads = [threading.Thread(target=load.send) for load in loads]
        for thread in threads:
            thread.start()
        until(lambda: all(len(load.answers) > 20 for load in loads), seconds=60, what="a load")
        done = manage("promote", "2", "--force", "--reason", "Under load.", var=var)
        assert done.returncode == 0, done.stderr
        since = datetime.fromisoformat(api.call("GET", "versions/history")[1]["results"][0]["since"]).timestamp()
        until(lambda: time.time() > since + 2 * TAKES_OVER_SECONDS, seconds=30, what="the new version alone")
        for load in loads:
            load.stop.set()
        for thread in threads:
            thread.join()

    answers = [answer for load in loads for answer in load.answers]
    late = [answer for answer in answers if answer[0] > since + TAKES_OVER_SECONDS]
    assert {status for _, status, _ in answers} == {200}
    assert {len(versions) for _, _, versions in answers} == {1}, "an answer came from two versions"
    assert {version for sent, _, versions in answers if sent < since for version in versions} == {1}
    assert late
    assert {version for _, _, versions in late for version in versions} == {2}
