"""The logs of real processes: every line parses and says whose it is, and nobody's words are in any."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.mlops.up import Api, Starter, Up, manage, until

pytestmark = pytest.mark.servers
JSON = {"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"}
CANARY = "canary4711"  # in every text below
ADDRESSES = ("203.0.113.77", "2001:db8::4711")
SOON_SECONDS, RUN_SECONDS = 20, 120
# A row that holds a ticket's text is refused: a defect of ours, as far as the program knows.
REFUSE = "CREATE TRIGGER refuse BEFORE INSERT ON classifier_ticket BEGIN SELECT RAISE(ABORT, 'no'); END"


def ask(up: Up, path: str, body: Any = None, *, method: str = "POST", **headers: str) -> int:
    """The status of one request with canaries in all of its headers."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{up.port}{path}", data=data, method=method)
    for name, value in {
        "Content-Type": "application/json",
        "X-Forwarded-For": ADDRESSES[0],
        "X-Real-IP": ADDRESSES[1],
        "User-Agent": CANARY,
        "Referer": f"http://{CANARY}.example.com/",
        "Cookie": f"sessionid={CANARY}",
        **headers,
    }.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (http, above)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def broker_url(var: Path) -> str:
    words = dict(re.findall(r"^(\w+) (.+)$", (var / "valkey" / "valkey.conf").read_text(), re.MULTILINE))
    return f"redis://:{words['requirepass']}@127.0.0.1:{words['port']}/0"


def lines_of(var: Path, name: str) -> list[dict[str, Any]]:
    """Every line of a log, parsed."""
    return [json.loads(line) for line in (var / "logs" / f"{name}.log").read_text().splitlines()]


def written(var: Path) -> str:
    return "".join(file.read_text(errors="replace") for file in sorted((var / "logs").iterdir()))


def test_nobodys_words_are_in_any_log(start: Starter, stocked: str, var: Path, tmp_path: Path) -> None:
    up = start(**JSON)
    text = f"I am {CANARY} and my card is gone"
    key = {"Authorization": f"Api-Key {stocked}"}
    asked = [
        ask(up, f"/api/predict?probabilities=0&note={CANARY}", {"tickets": [text]}, **key),  # 503: no model yet
        ask(up, f"/api/predict?explain={CANARY}", {"tickets": [text]}, **key),
        ask(up, "/api/predict", f'{{"tickets": ["{text}"'.encode(), **key),
        ask(up, "/api/predict", {"tickets": [{"text": text, "external_id": CANARY * 40}]}, **key),
        ask(up, "/api/predict", {"tickets": [text]}, Authorization=f"Api-Key {CANARY[:8]}.{CANARY * 3}ab"),
        ask(up, f"/api/{CANARY}?q={CANARY}", method="GET"),
        ask(up, f"/admin/login/?next=/{CANARY}", f"username={CANARY}".encode(), Origin=f"http://{CANARY}.example.com"),
        ask(up, "/api/health/live", method="GET", Host=f"{CANARY}.example.com"),
        ask(up, "/api/tickets/1/label", {"label": CANARY}, method="PUT", **key),
    ]
    assert asked == [503, 400, 400, 400, 401, 404, 403, 400, 403]

    train_through_the_worker(up, stocked)
    assert ask(up, "/api/predict", {"tickets": [{"text": text, "external_id": CANARY}]}, **key) == 200
    assert ask(up, "/api/predict", {"tickets": [f"{text} again", text]}, Idempotency_Key=CANARY, **key) == 200
    with sqlite3.connect(var / "ticketclf.sqlite3", timeout=20) as database:
        database.execute(REFUSE)
    assert ask(up, "/api/predict", {"tickets": [f"{text} once more"]}, **key) == 500

    client = Celery(broker=broker_url(var))
    client.send_task("mlops.tasks.carry_out", [text], queue="training")  # a ValueError that repeats what it was given
    client.send_task(f"a.task.of.{CANARY}", [text], queue="default")
    client.close()
    until(lambda: "raised unexpected" in written(var), seconds=SOON_SECONDS, what="the worker fails at a task")
    until(lambda: "unregistered" in written(var), seconds=SOON_SECONDS, what="the worker meets a task of nobody")

    found = written(var)
    assert '"Internal Server Error: predict"' in found
    assert "SQLITE_CONSTRAINT_TRIGGER" in found
    unknown = f"a.task.of.{CANARY}"
    leaks = [line for line in found.replace(unknown, "").splitlines() if CANARY.lower() in line.lower()]
    assert leaks == []
    assert [secret for secret in (stocked, stocked.split(".")[1], *ADDRESSES) if secret in found] == []
    assert broker_url(var).split("@")[0].rpartition(":")[2] not in found


def train_through_the_worker(up: Up, key: str) -> dict[str, Any]:
    api = Api(up, key)
    status, run = api.call("POST", "runs", {"reason": f"asked by {CANARY}"})
    assert status == 202, run
    until(
        lambda: api.call("GET", f"runs/{run['id']}")[1]["status"] not in {"queued", "running"},
        seconds=RUN_SECONDS,
        what="the end of the run",
    )
    ended = api.call("GET", f"runs/{run['id']}")[1]
    assert ended["status"] == "succeeded", ended["outcome"]
    return dict(ended)


def test_every_line_of_web_worker_and_beat_is_json_from_the_start_to_the_stop(start: Starter, var: Path) -> None:
    up = start(WEB_PROCESSES="2", **JSON)
    for name in ("granian", " worker ", " beat "):  # what is written at a second start, too
        os.killpg(up.leader_of(name), signal.SIGKILL)
    until(lambda: up.printed().count("ready in") == 7, seconds=60, what="all ready again")
    up.process.send_signal(signal.SIGTERM)
    up.process.wait(30)

    for name in ("web", "worker", "beat"):
        lines = lines_of(var, name)
        assert sum(line["event"].startswith("=== started ") for line in lines) == 2
        assert [line for line in lines if not {"event", "level"} <= set(line) and "===" not in line["event"]] == []
    assert "Warm shutdown" in written(var)


def test_lines_of_a_task_name_it_and_the_request_that_caused_it(start: Starter, stocked: str, var: Path) -> None:
    up = start(**JSON)
    request_id = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"

    assert ask(up, "/api/runs", {}, Authorization=f"Api-Key {stocked}", X_Request_ID=request_id) == 202

    def of_request(name: str) -> list[dict[str, Any]]:
        return [line for line in lines_of(var, name) if line.get("request_id") == request_id]

    until(
        lambda: any("succeeded in" in line["event"] for line in of_request("worker")),
        seconds=RUN_SECONDS,
        what="the task's last line",
    )
    assert [line["event"] for line in of_request("web")] == ["request"]
    of_task = of_request("worker")
    assert {line["task"] for line in of_task} == {"mlops.tasks.carry_out"}
    assert len({line["task_id"] for line in of_task}) == 1
    received = [line for line in lines_of(var, "worker") if line["event"].endswith("] received")]
    assert {of_task[0]["task_id"]} <= {line["task_id"] for line in received}


def test_file_that_is_imported_leaves_no_words_on_standard_error(var: Path, tmp_path: Path) -> None:
    file = tmp_path / "tickets.csv"
    rows = [f"My card {CANARY} is gone,billing", f"{CANARY},{CANARY} label", ",billing"]
    file.write_text("\n".join(["text,label", *rows]))

    done = manage("import_tickets", str(file), "--create-categories", "--json", var=str(var), **JSON)

    lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
    assert [line for line in lines if CANARY in line] == []
