"""Decisions about retraining as people and programs see them: the API's list, a run's page, the admin's page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from mlops.models import DriftSnapshot, RetrainDecision, TrainingRun
from tests.factories import make_key, make_version
from tests.mlops.making import NOW
from tests.mlops.watching import make_snapshot

pytestmark = pytest.mark.django_db
PATH = "/api/retraining/decisions"
LIST = "admin:mlops_retraindecision_changelist"


@pytest.fixture
def caller() -> Client:
    return Client(headers={"authorization": f"Api-Key {make_key('read')[1]}"})


def decide(decision: str = "not_needed", **fields: Any) -> RetrainDecision:
    given = {"cause": "none", "decision": decision, "words": "Nothing asks for it.", "created_at": NOW, **fields}
    return RetrainDecision.objects.create(**given)


def start(**fields: Any) -> RetrainDecision:
    run = TrainingRun.objects.create(kind="retrain", status="skipped", trigger="drift", recipe="word_char")
    return decide("started", cause="drift", words="Drifted twice in a row.", run=run, **fields)


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


# --- The API --------------------------------------------------------------------------------------
def test_get_of_an_empty_database_answers_200(caller):
    answer = caller.get(PATH)

    assert (answer.status_code, answer.json()) == (200, {"results": [], "next": None})


def test_get_tells_a_decision_with_its_run_and_its_snapshot(caller):
    snapshot = make_snapshot(make_version(status="production"))
    row = start(snapshot=snapshot, figures={"verdicts": ["drifted", "drifted"]})

    found = caller.get(PATH).json()["results"]

    assert found == [
        {
            "id": row.pk,
            "cause": "drift",
            "decision": "started",
            "words": "Drifted twice in a row.",
            "figures": {"verdicts": ["drifted", "drifted"]},
            "snapshot": snapshot.pk,
            "run": row.run_id,
            "created_at": "2026-11-23T09:30:00Z",
        }
    ]


def test_get_lists_decisions_newest_first_page_by_page(caller, django_assert_num_queries):
    made = [decide(created_at=NOW + timedelta(hours=hour)).pk for hour in range(5)]
    caller.get("/api/categories")  # the key is cached from here on

    with django_assert_num_queries(2):  # the decisions, and the record of the call
        first = caller.get(f"{PATH}?limit=2").json()
    second = caller.get(f"{PATH}?limit=3&before={first['next']}").json()

    assert [row["id"] for row in first["results"]] == [made[4], made[3]]
    assert ([row["id"] for row in second["results"]], second["next"]) == (made[2::-1], None)


def test_get_lists_those_that_decided_one_way(caller):
    row = start()
    decide()

    assert [found["id"] for found in caller.get(f"{PATH}?decision=started").json()["results"]] == [row.pk]
    assert caller.get(f"{PATH}?decision=unchanged").json()["results"] == []


@pytest.mark.parametrize("query", ["decision=begun", "decision=", "limit=0", "limit=201", "before=x"])
def test_a_bad_query_answers_400_that_names_it(caller, query):
    answer = caller.get(f"{PATH}?{query}")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, query.split("=")[0])


@pytest.mark.parametrize(
    ("scope", "status"),
    [("read", 200), ("run", 200), ("predict", 403), ("label", 403), ("promote", 403), ("metrics", 403)],
)
def test_scopes_read_and_run_may_ask(scope, status):
    client = Client(headers={"authorization": f"Api-Key {make_key(scope)[1]}"})

    assert client.get(PATH).status_code == status


def test_run_tells_the_decision_that_began_it(caller):
    row = start()
    by_hand = TrainingRun.objects.create(status="skipped", trigger="api", recipe="word_char")

    found = caller.get(f"/api/runs/{row.run_id}").json()["decided_by"]

    assert (found["id"], found["cause"], found["words"]) == (row.pk, "drift", "Drifted twice in a row.")
    assert caller.get(f"/api/runs/{by_hand.pk}").json()["decided_by"] is None


def test_run_is_told_with_three_queries(caller, django_assert_num_queries):
    row = start()
    caller.get("/api/categories")

    with django_assert_num_queries(3):  # the run and its decision, its retry, the record of the call
        caller.get(f"/api/runs/{row.run_id}")


# --- The admin ------------------------------------------------------------------------------------
def test_page_without_rows_says_when_it_is_asked(at):
    assert "It is asked after each drift snapshot and by the nightly schedule." in text_of(at.get(reverse(LIST)))


def test_list_shows_decision_cause_words_and_run(at):
    row = start()
    decide("cooling_down", cause="quality", words="Run 3 ended a moment ago.")

    page = text_of(at.get(reverse(LIST)))

    for words in ("started", "Drifted twice in a row.", "cooling down", "quality", "Run 3 ended a moment ago."):
        assert words in page
    assert f'href="{reverse("admin:mlops_trainingrun_change", args=[row.run_id])}"' in page


def test_page_of_a_decision_shows_what_it_was_decided_on(at):
    snapshot = make_snapshot(make_version(status="production"))
    row = start(snapshot=snapshot, figures={"new_labels": 12, "precision": None, "high": 0.94382, "snapshots": [3, 2]})

    page = at.get(reverse("admin:mlops_retraindecision_change", args=[row.pk]))

    # Postgres keeps a JSON object's names in an order of its own.
    cells = sorted([cell.value for cell in line] for line in page.context["sheet"].tables[0].cells)
    assert cells == [["high", "0.944"], ["new labels", "12"], ["precision", "-"], ["snapshots", "3, 2"]]
    assert str(snapshot) in text_of(page)


def test_page_of_a_decision_leads_to_its_snapshot_where_that_has_a_page(at):
    row = decide(snapshot=make_snapshot(make_version(status="production")))

    page = text_of(at.get(reverse("admin:mlops_retraindecision_change", args=[row.pk])))

    leads = f"/admin/mlops/driftsnapshot/{row.snapshot_id}/change/" in page
    assert leads == admin.site.is_registered(DriftSnapshot)


def test_page_of_a_run_leads_to_the_decision_that_began_it(at):
    row = start()

    page = text_of(at.get(reverse("admin:mlops_trainingrun_change", args=[row.run_id])))

    assert f'href="{reverse("admin:mlops_retraindecision_change", args=[row.pk])}"' in page
