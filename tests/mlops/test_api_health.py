"""The doors of health: who may ask, what they are told, and that a database that is away keeps nobody waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from classifier import authentication, inference
from classifier.management.base import Refused
from classifier.models import ApiRequest, ModelArtifact, RefusalMinute
from mlops import health
from mlops.models import Slot
from tests.factories import make_key, make_user, make_version
from tests.mlops.dependencies import database_at, silent_server, valkey
from tests.mlops.making import label_tickets, make_trained

pytestmark = pytest.mark.django_db
CLOSED = 1


@pytest.fixture(autouse=True)
def _alone(home: Path, settings: Any) -> Iterator[None]:
    settings.REDIS_URL, settings.CELERY_BROKER_URL = None, f"redis://127.0.0.1:{CLOSED}/0"
    settings.MLFLOW_TRACKING_URI = f"sqlite:///{home}/mlflow/mlflow.sqlite3"
    for forget in (inference.forget_serving, authentication.forget_keys):
        forget()
    yield
    for forget in (inference.forget_serving, authentication.forget_keys):
        forget()


def get(path: str = "/api/health", *, key: str | None = None, client: Client | None = None) -> HttpResponse:
    return (client or Client()).get(path, headers={} if key is None else {"authorization": f"Api-Key {key}"})


def problem(answer: HttpResponse) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, json.loads(answer.content)["code"]


# --- GET /api/health ------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_health_names_every_dependency() -> None:
    make_version(status="production", number=3)

    answer = get(key=make_key("read")[1])

    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["version"]) == ("degraded", 3)
    assert tuple(body["checks"]) == health.NAMES
    assert body["checks"]["database"] == body["checks"]["model"] == "ok"
    assert body["checks"]["broker"].startswith("A broker must answer")


@pytest.mark.parametrize("scope", ["read", "metrics"])
def test_keys_that_read_and_that_scrape_may_ask(scope: str) -> None:
    assert get(key=make_key(scope)[1]).status_code == 200


def test_person_with_the_permission_may_ask() -> None:
    client = Client()
    client.force_login(make_user(is_superuser=True))

    assert get(client=client).status_code == 200


def test_nobody_else_may_ask() -> None:
    assert problem(get()) == (401, "not_authenticated")
    assert problem(get(key=make_key("predict", "label")[1])) == (403, "scope_missing")


def test_health_without_a_database_is_a_problem_for_everybody_with_a_key_or_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, key = make_key("read")
    database_at(CLOSED, monkeypatch)

    answers = [get(), get(key=key)]

    assert [problem(answer) for answer in answers] == [(503, "database_unavailable")] * 2
    assert json.loads(answers[0].content)["detail"] == health.DATABASE_AWAY
    assert answers[0]["Retry-After"] == "5"
    assert (ApiRequest.objects.count(), RefusalMinute.objects.count()) == (0, 0)


def test_health_answers_within_two_seconds_while_the_database_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_server() as port:
        database_at(port, monkeypatch)
        begun = time.monotonic()

        answer = get()

    assert problem(answer) == (503, "database_unavailable")
    assert time.monotonic() - begun < health.SECONDS + 3  # without a bound it hangs for ever


def test_database_that_goes_away_in_the_middle_is_a_problem_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _, key = make_key("read")
    found = health.Health("database_down", {"database": health.DATABASE_AWAY}, None)
    monkeypatch.setattr(health, "check", lambda now: found)

    assert problem(get(key=key)) == (503, "database_unavailable")


# --- GET /api/health/ready ------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_ready_is_open_and_needs_a_database_and_a_model() -> None:
    make_version(status="production")

    answer = get("/api/health/ready")

    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    assert ApiRequest.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_ready_without_a_model_is_a_problem_that_says_how_to_get_one() -> None:
    answer = get("/api/health/ready")

    assert problem(answer) == (503, "no_model_in_production")
    assert "manage.py train" in json.loads(answer.content)["detail"]


@pytest.mark.django_db(transaction=True)
def test_ready_with_a_damaged_model_is_a_problem() -> None:
    version = make_version(status="production")
    ModelArtifact.objects.filter(pk=version.artifact_id).update(content=b"no model")

    assert problem(get("/api/health/ready")) == (503, "model_damaged")


def test_ready_without_a_database_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    database_at(CLOSED, monkeypatch)

    assert problem(get("/api/health/ready")) == (503, "database_unavailable")
    assert RefusalMinute.objects.count() == 0


def test_live_needs_nothing(monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any) -> None:
    database_at(CLOSED, monkeypatch)

    with django_assert_num_queries(0):
        answer = get("/api/health/live")

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/api/health/live", "/api/health/ready", "/metrics"])
def test_probes_and_scrapes_are_not_sent_to_https(path: str, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert get(path).status_code != 301
    assert get("/api/health").status_code == 301


# --- manage.py health -----------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_command_shows_each_dependency_and_fails_unless_all_are_well() -> None:
    out = StringIO()

    with pytest.raises(Refused, match=r"no_model: 5 of 8 are not well"):
        call_command("health", stdout=out)

    lines = [line.split(None, 1) for line in out.getvalue().splitlines()]
    assert [name for name, _ in lines] == list(health.NAMES)
    assert ["disk", "ok"] in lines


@pytest.mark.django_db(transaction=True)
def test_command_prints_json_and_succeeds_when_all_are_well(settings: Any, tmp_path: Path) -> None:
    label_tickets()
    version = make_trained(status="production")
    now = timezone.now()
    type(version.run).objects.update(ended_at=now)
    Slot.objects.create(name="Heartbeat", task="a task", due_at=now, sent_at=now, status="done", ended_at=now)
    out = StringIO()
    with valkey(tmp_path / "valkey") as (broker, _pid):
        settings.REDIS_URL = settings.CELERY_BROKER_URL = broker.url

        call_command("health", json=True, stdout=out)

    assert json.loads(out.getvalue()) == {
        "status": "healthy",
        "checks": dict.fromkeys(health.NAMES, "ok"),
        "version": version.number,
    }
