"""GET /api/drift/stats and /api/drift/snapshots, the command and the page: what people and machines see of drift."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from classifier.management.base import Refused
from classifier.models import ModelVersion
from mlops import drift
from mlops.models import DriftSnapshot
from tests.factories import make_key, make_version
from tests.mlops.making import NOW, kitchen
from tests.mlops.test_drift import answer, few_are_enough, version  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
SEVEN = {"reference_mean", "reference_std", "recent_count", "window_size", "recent_mean", "recent_std", "drift_score"}


@pytest.fixture
def get(client: Client) -> Any:
    _, key = make_key("read")

    def call(path: str) -> Any:
        return client.get(f"/api/drift/{path}", headers={"Authorization": f"Api-Key {key}"})

    return call


@pytest.fixture
def snapshot(version: ModelVersion) -> DriftSnapshot:  # noqa: F811 (a fixture)
    answer(version, kitchen(60, seed=1))
    taken = drift.take_snapshot(NOW)
    assert taken is not None
    return taken


def test_stats_have_the_original_keys_and_what_the_snapshot_says(get: Any, snapshot: DriftSnapshot) -> None:
    response = get("stats")

    found = response.json()
    assert response.status_code == 200
    assert set(found) >= SEVEN | {"id", "window", "method", "signals", "verdict", "severity", "words", "advice"}
    assert (found["id"], found["model_version"], found["recent_count"]) == (snapshot.pk, 1, 60)
    assert found["window"] == {"from": "2026-11-23T09:30:00Z", "to": "2026-11-23T09:30:00Z"}
    assert found["drift_score"] == snapshot.drift_score
    assert {signal["name"] for signal in found["signals"]} == set(drift.shift.SIGNALS)


def test_stats_are_of_the_version_in_production(get: Any, snapshot: DriftSnapshot) -> None:
    ModelVersion.objects.update(status="archived")
    make_version(status="production")

    response = get("stats")

    assert (response.status_code, response.json()["code"]) == (404, "no_snapshot")
    assert "manage.py watch_drift" in response.json()["detail"]


def test_stats_without_anything_say_what_to_do(get: Any) -> None:
    assert get("stats").json()["code"] == "no_snapshot"


def test_stats_take_two_queries(get: Any, snapshot: DriftSnapshot, django_assert_num_queries: Any) -> None:
    get("stats")  # the key is known from here on

    with django_assert_num_queries(2):
        get("stats")


def test_snapshots_come_in_pages_the_newest_first_without_demo(get: Any, snapshot: DriftSnapshot) -> None:
    for number in range(1, 4):
        drift.take_snapshot(NOW + timedelta(hours=number))
    DriftSnapshot.objects.filter(pk=snapshot.pk + 1).update(is_demo=True)

    first = get("snapshots?limit=2").json()
    second = get(f"snapshots?limit=2&before={first['next']}").json()

    assert [row["id"] - snapshot.pk for row in first["results"] + second["results"]] == [3, 2, 0]
    assert second["next"] is None


def test_snapshots_of_a_verdict(get: Any, snapshot: DriftSnapshot) -> None:
    assert len(get("snapshots?verdict=drifted").json()["results"]) == 1
    assert get("snapshots?verdict=steady").json()["results"] == []
    refusal = get("snapshots?verdict=odd")
    assert (refusal.status_code, refusal.json()["errors"][0]["detail"]) == (
        400,
        "Wanted one of: too_few, steady, drifted.",
    )


@pytest.mark.parametrize("path", ["stats", "snapshots"])
def test_drift_needs_the_scope_read(client: Client, path: str) -> None:
    _, key = make_key("predict")

    assert client.get(f"/api/drift/{path}").status_code == 401
    assert client.get(f"/api/drift/{path}", headers={"Authorization": f"Api-Key {key}"}).status_code == 403


# --- The command --------------------------------------------------------------------------------------
def test_command_takes_a_snapshot_and_says_what_it_means(
    version: ModelVersion,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(version, kitchen(60, seed=1))

    call_command("watch_drift")

    said = capsys.readouterr().out
    assert "drifted" in said.splitlines()[0]
    assert "More words are new to the model" in said
    assert "unknown_words" in said
    assert DriftSnapshot.objects.count() == 1


def test_command_prints_one_object_for_machines(
    version: ModelVersion,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    call_command("watch_drift", "--json")

    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["recent_count"]) == ("too_few", 0)


def test_command_without_a_model_says_how_to_get_one() -> None:
    with pytest.raises(Refused, match=r"No model is in production, .* manage\.py train"):
        call_command("watch_drift")


def test_command_with_nothing_to_compare_with_says_so() -> None:
    make_version(status="production")

    with pytest.raises(Refused, match="Drift of version 1 cannot be told"):
        call_command("watch_drift")


# --- The page -----------------------------------------------------------------------------------------
def test_page_shows_signals_words_and_both_sides(at: Client, snapshot: DriftSnapshot) -> None:
    page = at.get(f"/admin/mlops/driftsnapshot/{snapshot.pk}/change/").content.decode()

    for shown in ("Unknown words, rise", "What was answered", "Estimated accuracy", "what chance alone passes rarely"):
        assert shown in page
    assert "More words are new to the model" in page
