"""The whole life of a model through real processes: load, train, track, deploy, monitor, drift, retrain."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.factories import shipped
from tests.mlops.making import kitchen
from tests.mlops.up import Api, Starter, manage, until

pytestmark = pytest.mark.servers
QUICKLY = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every=2, period="seconds")
for name in ("watch_drift", "look_after_runs", "heartbeat", "reconcile", "roll_up"):
    task = PeriodicTask.objects.get(task=f"mlops.tasks.{name}")
    task.interval = every
    task.save()
"""
# Tables that no part of this life writes to.
UNTOUCHED = {
    "classifier_claim": "nobody opens the label queue",
    "mlops_importjob": "nobody uploads a file",
    "classifier_user_groups": "nobody shares permissions",
    "classifier_user_user_permissions": "the one person is a superuser",
}
PER_CALL = 50
SCOPES = ("run", "read", "predict", "label")
RUN_SECONDS, WATCH_SECONDS = 120, 60


def ask(api: Api, texts: Sequence[str], **headers: str) -> list[dict[str, Any]]:
    """The answers to texts, asked for in calls of fifty."""
    answers: list[dict[str, Any]] = []
    for start in range(0, len(texts), PER_CALL):
        status, body = api.call("POST", "predict", {"tickets": texts[start : start + PER_CALL]}, **headers)
        assert status == 200, body
        answers += body["results"]
    return answers


def newest(api: Api, path: str) -> dict[str, Any]:
    status, body = api.call("GET", path)
    assert status == 200, body
    return body["results"][0] if body["results"] else {}


def verdict(api: Api) -> str:
    return str(newest(api, "drift/snapshots").get("verdict"))


def rows(api: Api, table: str) -> int:
    with closing(sqlite3.connect(api.up.var / "ticketclf.sqlite3")) as database:
        return int(database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608 (our own names)


def tables_of_ours(api: Api) -> list[str]:
    with closing(sqlite3.connect(api.up.var / "ticketclf.sqlite3")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [name for name in names if name.startswith(("classifier_", "mlops_"))]


@pytest.fixture
def api(stocked: str, var: Path, start: Starter) -> Api:
    """A service that looks every two seconds, and may retrain at once; 600 labelled tickets are loaded."""
    done = manage("shell", "-c", QUICKLY, var=str(var))
    assert done.returncode == 0, done.stderr
    boss = {"DJANGO_SUPERUSER_PASSWORD": "long enough for one"}
    named = ("--noinput", "--username", "ada", "--email", "ada@example.com")
    assert manage("createsuperuser", *named, var=str(var), **boss).returncode == 0
    made = manage("create_api_key", "desk", *(f"--scope={scope}" for scope in SCOPES), var=str(var))
    settings = {
        "GATE_MIN_MACRO_F1": "0.1",
        "TRAIN_ON_API_LABELS": "true",
        "DRIFT_MIN_PREDICTIONS": "100",
        "DRIFT_WINDOW": "200",
        "DRIFT_SNAPSHOT_PREDICTIONS": "100",
        "RETRAIN_COOL_DOWN_HOURS": "0",
    }
    return Api(up=start(**settings), key=made.stdout.split()[-1])


def test_a_model_is_loaded_trained_deployed_watched_and_replaced_without_a_person(api: Api) -> None:
    # Train, track, deploy.
    status, run = api.call("POST", "runs", {"reason": "The first."})
    assert status == 202, run
    until(lambda: newest(api, "runs")["status"] == "succeeded", seconds=RUN_SECONDS, what="the first run")
    first = newest(api, "versions")
    assert (first["status"], bool(first["mlflow_run_id"]), first["mlflow_version"]) == ("production", True, 1)

    # Monitor: what it is asked is what it knows.
    ask(api, [text for text, _ in shipped()[400:450]], **{"Idempotency-Key": "the first fifty"})
    ask(api, [text for text, _ in shipped()[450:500]])
    assert replace(api, key="not.a-key").call("GET", "runs")[0] == 401
    until(lambda: verdict(api) == "steady", seconds=WATCH_SECONDS, what=f"steady, not {newest(api, 'drift/snapshots')}")

    # Drift: the world has changed.
    answers = ask(api, kitchen(100, seed=1))
    until(lambda: verdict(api) == "drifted", seconds=WATCH_SECONDS, what="the drift")
    stats = api.call("GET", "drift/stats")[1]
    assert stats["model_version"] == 1
    assert {signal["name"] for signal in stats["signals"] if signal["drifted"]} >= {"unknown_words", "text"}
    ask(api, kitchen(100, seed=2))  # one window may be chance
    until(
        lambda: newest(api, "retraining/decisions").get("decision") == "unchanged",
        seconds=WATCH_SECONDS,
        what="a decision that nothing new can be learnt",
    )

    # People say what the new tickets are, and the next snapshot begins a training.
    for answer in answers[:60]:
        status, said = api.call("PUT", f"tickets/{answer['id']}/label", {"label": "general"})
        assert status == 200, said
    ask(api, kitchen(100, seed=3))
    until(lambda: newest(api, "runs")["trigger"] == "drift", seconds=WATCH_SECONDS, what="a run begun by drift")
    until(lambda: newest(api, "runs")["status"] not in {"queued", "running"}, seconds=RUN_SECONDS, what="its end")
    second = newest(api, "runs")
    assert (second["status"], second["version"]) == ("succeeded", 2), second
    started = api.call("GET", "retraining/decisions?decision=started")[1]["results"][0]
    assert (started["cause"], started["run"]) == ("drift", second["id"])
    assert api.call("GET", "quality/live?window=24h")[1]["totals"]["n_labelled"] == 60

    # Everything is on record.
    for table in ("classifier_linedup", "classifier_requestrollup", "classifier_answerrollup"):
        # A minute is rolled up when it is over.
        until(partial(rows, api, table), seconds=2 * WATCH_SECONDS, what=f"rows of {table}")
    empty = [table for table in tables_of_ours(api) if table not in UNTOUCHED and not rows(api, table)]
    assert empty == []
