"""GET and POST /api/runs: a run on record at once, one at a time, watched step by step."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client

from mlops import queueing, runs, tasks
from mlops.models import TrainingRun
from tests.factories import make_key, make_user
from tests.mlops.making import NOW, label_tickets, noon

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
Status = TrainingRun.Status


@pytest.fixture
def client():
    return Client(headers={"authorization": f"Api-Key {make_key('run')[1]}"})


def post(client, body=None, **options):
    content = body if isinstance(body, (str, bytes)) else json.dumps(body or {})
    return client.post("/api/runs", content, content_type="application/json", **options)


# --- Starting -------------------------------------------------------------------------------------
def test_post_answers_202_with_a_queued_run_and_calls_a_worker(client, rung, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = post(client, {"reason": "Fifty new labels."})

    run = TrainingRun.objects.get()
    assert (answer.status_code, answer["Location"]) == (202, f"/api/runs/{run.pk}")
    found = answer.json()
    assert (found["id"], found["kind"], found["status"], found["recipe"]) == (run.pk, "retrain", "queued", "word_char")
    assert (found["by"], found["reason"], found["steps"]) == ("API key test", "Fifty new labels.", [])
    assert (run.trigger, run.key.name) == ("api", "test")
    assert rung == [("mlops.tasks.carry_out", run.pk)]


def test_post_without_a_body_starts_a_retraining(client, rung):
    answer = client.generic("POST", "/api/runs")

    assert (answer.status_code, answer.json()["kind"]) == (202, "retrain")


def test_post_takes_kind_and_recipe(client, rung):
    found = post(client, {"kind": "train", "recipe": "original"}).json()

    assert (found["kind"], found["recipe"]) == ("train", "original")


def test_post_while_a_run_is_at_work_answers_409_that_names_it(client, rung):
    with runs.running(runs.Order(kind="train", trigger="command", recipe="word_char"), clock=noon) as other:
        runs.note(other, "fit word_char on 30 tickets", now=NOW)
        answer = post(client)
        runs.end(other, Status.REJECTED, outcome="Done.", now=NOW)

    assert (answer.status_code, answer.json()["code"]) == (409, "run_in_progress")
    assert f"run {other.pk} is at it since 09:30 UTC (fit word_char" in answer.json()["detail"]
    assert (TrainingRun.objects.count(), rung) == (1, [])


def test_second_post_answers_409_and_makes_no_row(client, rung):
    first = post(client).json()

    answer = post(client)

    assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (409, f"run {first['id']}")
    assert TrainingRun.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "predict"}, "kind"),
        ({"kind": 1}, "kind"),
        ({"recipe": "forest"}, "recipe"),
        ({"reason": ["x"]}, "reason"),
        ({"reason": "x" * 2001}, "reason"),
        ({"reason": "a\x00b"}, "reason"),
        ('{"reason": "\\ud800"}', "reason"),
        ({"wish": "x"}, "wish"),
        ([], "body"),
    ],
)
def test_a_bad_body_answers_400_that_names_the_field(client, rung, body, field):
    answer = post(client, body if body else "[]")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert answer.json()["errors"][0]["field"] == field
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "malformed_json"),
        ("[" * 5000, 400, "json_too_deep"),
        ('{"reason": NaN}', 400, "malformed_json"),
        (b'{"reason": "\xff"}', 400, "not_utf8"),
        ("x" * 2**20 + "x", 413, "body_too_large"),
    ],
)
def test_a_body_that_is_none_is_refused_in_words(client, body, status, code):
    answer = post(client, body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_form_answers_415(client):
    answer = client.post("/api/runs", {"kind": "train"})

    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")


@pytest.mark.parametrize("scope", ["read", "predict", "label", "promote", "metrics"])
def test_only_the_scope_run_starts_a_run(scope):
    client = Client(headers={"authorization": f"Api-Key {make_key(scope)[1]}"})

    assert post(client).status_code == 403
    assert not TrainingRun.objects.exists()


def test_a_signed_in_person_starts_a_run_in_their_name(rung):
    client = Client()
    client.force_login(make_user("ada", is_superuser=True))

    found = post(client).json()

    assert found["by"] == "ada"


# --- Watching -------------------------------------------------------------------------------------
def test_get_shows_a_run_at_work_step_by_step(client):
    order = runs.Order(kind="train", trigger="command", recipe="word_char")
    with runs.running(order, clock=noon) as run:
        runs.note(run, "validate 42 tickets in 3 categories", now=NOW)
        runs.note(run, "fit word_char on 30 tickets", now=NOW + timedelta(seconds=2))
        runs.note(run, "  C=1: log-loss 0.5", now=NOW + timedelta(seconds=3))
        found = client.get(f"/api/runs/{run.pk}").json()
        runs.end(run, Status.REJECTED, outcome="Done.", now=NOW)

    assert (found["status"], found["step"]) == ("running", "fit word_char on 30 tickets")
    assert [(step["name"], step["state"]) for step in found["steps"]] == [("validate", "done"), ("fit", "at_work")]
    assert found["steps"][0]["seconds"] == 2.0
    assert found["log"].endswith("09:30:03   C=1: log-loss 0.5\n")


def test_get_shows_what_came_of_a_run(client):
    label_tickets()
    run = queueing.enqueue(runs.Order(kind="retrain", trigger="api", recipe="word_char"), now=NOW)
    tasks.carry_out(run.pk)

    found = client.get(f"/api/runs/{run.pk}").json()

    assert (found["status"], found["decision"], found["version"]) == ("succeeded", "promoted", 1)
    assert found["verdict"]["passed"] is True
    assert {step["state"] for step in found["steps"]} == {"done"}
    assert found["metrics"]["test"]["n_tickets"] == 6
    assert found["dataset"]["fingerprint"]


@pytest.mark.parametrize(
    "path", ["/api/runs/999", f"/api/runs/{2**31}", f"/api/runs/{2**63}", f"/api/runs/{'9' * 40}", "/api/runs/x"]
)
def test_get_of_a_run_that_there_is_not_answers_404(client, path):
    answer = client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def make_runs(count: int) -> list[TrainingRun]:
    return [
        TrainingRun.objects.create(status=Status.SKIPPED, trigger="schedule", recipe="word_char", outcome="Unchanged.")
        for _ in range(count)
    ]


def test_get_lists_runs_newest_first_page_by_page(client, django_assert_num_queries):
    made = [run.pk for run in make_runs(5)]
    client.get("/api/categories")  # the key is cached from here on

    with django_assert_num_queries(2):  # the runs, and the record of the call
        first = client.get("/api/runs?limit=2").json()
    second = client.get(f"/api/runs?limit=3&before={first['next']}").json()

    assert [run["id"] for run in first["results"]] == [made[4], made[3]]
    assert [run["id"] for run in second["results"]] == made[2::-1]
    assert second["next"] is None


def test_get_lists_the_runs_of_a_status(client):
    make_runs(2)

    assert client.get("/api/runs?status=failed").json() == {"results": [], "next": None}
    assert len(client.get("/api/runs?status=skipped").json()["results"]) == 2


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=²", "before=-1", "before=99999999999999999999", "status=done"]
)
def test_a_bad_query_answers_400_that_names_it(client, query):
    answer = client.get(f"/api/runs?{query}")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, query.split("=")[0])
