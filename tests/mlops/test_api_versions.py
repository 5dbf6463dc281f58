"""The addresses of versions: lists, promotion, roll-back, and what was in production when."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from classifier.models import ModelVersion
from mlops import promotion
from mlops.models import Promotion
from tests.factories import make_key, make_user
from tests.mlops.making import NOW, label_tickets, make_trained, poor_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture(autouse=True)
def _tickets():
    label_tickets()


@pytest.fixture
def client():
    return Client(headers={"authorization": f"Api-Key {make_key('promote')[1]}"})


def post(client, path, **body):
    return client.post(f"/api/versions/{path}", json.dumps(body), content_type="application/json")


def statuses():
    return dict(ModelVersion.objects.values_list("number", "status"))


def sign_in(*permissions: str) -> Client:
    user = make_user("ada")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


# --- Promotion ------------------------------------------------------------------------------------
def test_promote_puts_a_version_into_production_and_says_who_and_why(client):
    make_trained()

    answer = post(client, "1/promote", reason="It passed.")

    found = answer.json()
    assert (answer.status_code, statuses()) == (200, {1: "production"})
    assert (found["version"], found["replaced"], found["forced"], found["kind"]) == (1, None, False, "promotion")
    assert (found["by"], found["reason"]) == ("API key test", "It passed.")
    assert Promotion.objects.get().key.name == "test"


def test_promote_of_what_the_gate_refuses_answers_409_with_each_rule(client):
    make_trained(poor_fit().model)

    answer = post(client, "1/promote", reason="Try it.")

    found = answer.json()
    assert (answer.status_code, found["code"], statuses()) == (409, "gate_says_no", {1: "candidate"})
    assert "least_macro_f1" in [error["field"] for error in found["errors"]]
    assert "--force" not in found["detail"]


def test_promote_with_another_version_expected_answers_409_and_changes_nothing(client):
    make_trained(poor_fit().model, status="production")
    make_trained()

    answer = post(client, "2/promote", reason="Better.", expected_production=7)

    assert (answer.status_code, answer.json()["code"]) == (409, "production_changed")
    assert "believes version 7 to be in production; version 1 is" in answer.json()["detail"]
    assert statuses() == {1: "production", 2: "candidate"}


@pytest.mark.parametrize(("status", "expected"), [("production", 1), ("archived", 0)])
def test_promote_with_the_right_version_expected_goes_on(client, status, expected):
    make_trained(poor_fit().model, status=status)
    make_trained()

    assert post(client, "2/promote", reason="Better.", expected_production=expected).status_code == 200


def test_promote_of_what_is_in_production_answers_409(client):
    make_trained(status="production")

    assert post(client, "1/promote", reason="Again.").json()["code"] == "not_promotable"


def test_force_is_refused_to_a_key_and_to_a_person_without_the_permission(client):
    make_trained(poor_fit().model)

    answers = [post(each, "1/promote", reason="Now.", force=True) for each in (client, sign_in("scope_promote"))]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "force_not_allowed")] * 2
    assert statuses() == {1: "candidate"}


def test_force_of_a_person_with_the_permission_is_recorded(client):
    make_trained(poor_fit().model)

    answer = post(sign_in("scope_promote", "force_promotion"), "1/promote", reason="Now.", force=True)

    assert (answer.status_code, answer.json()["forced"], answer.json()["by"]) == (200, True, "ada")
    assert Promotion.objects.get().forced


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": 5}, "reason"),
        ({"reason": "x", "expected_production": "1"}, "expected_production"),
        ({"reason": "x", "expected_production": True}, "expected_production"),
        ({"reason": "x", "force": 1}, "force"),
        ({"reason": "x", "version": 1}, "version"),
    ],
)
def test_a_bad_promotion_answers_400_that_names_the_field(client, body, field):
    make_trained()

    answer = post(client, "1/promote", **body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    assert statuses() == {1: "candidate"}


@pytest.mark.parametrize("path", [f"{number}/promote" for number in (9, 2**31, 2**63, "9" * 40)])
def test_promote_of_a_version_that_there_is_not_answers_404(client, path):
    assert post(client, path, reason="x").status_code == 404


@pytest.mark.parametrize("scope", ["read", "predict", "label", "run", "metrics"])
def test_only_the_scope_promote_promotes_and_rolls_back(scope):
    client = Client(headers={"authorization": f"Api-Key {make_key(scope)[1]}"})
    make_trained()

    assert [post(client, path, reason="x").status_code for path in ("1/promote", "roll-back")] == [403, 403]


# --- Roll back ------------------------------------------------------------------------------------
def test_roll_back_puts_the_version_before_into_production(client):
    promotion.promote(make_trained(poor_fit().model), reason="First.", force=True)
    promotion.promote(make_trained(), reason="Better.")

    answer = post(client, "roll-back", reason="Customers complain.", expected_production=2)

    found = answer.json()
    assert (answer.status_code, found["kind"], found["version"], found["replaced"]) == (200, "roll_back", 1, 2)
    assert statuses() == {1: "production", 2: "archived"}


def test_roll_back_with_nothing_before_answers_409(client):
    promotion.promote(make_trained(), reason="First.")

    answer = post(client, "roll-back", reason="x")

    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_roll_back_to")
    assert statuses() == {1: "production"}


def test_roll_back_with_another_version_expected_answers_409(client):
    promotion.promote(make_trained(poor_fit().model), reason="First.", force=True)
    promotion.promote(make_trained(), reason="Better.")

    assert post(client, "roll-back", reason="x", expected_production=1).json()["code"] == "production_changed"


# --- What was there when --------------------------------------------------------------------------
def test_history_answers_which_version_was_in_production_at_a_moment(client):
    hours = [NOW + timedelta(hours=number) for number in range(4)]
    promotion.promote(make_trained(poor_fit().model), reason="First.", force=True, now=hours[0])
    promotion.promote(make_trained(), reason="Better.", by=make_user("ada"), now=hours[2])

    before, first, second = (
        client.get("/api/versions/history", {"at": at.isoformat()}).json()
        for at in (hours[0] - timedelta(seconds=1), hours[1], hours[3])
    )

    assert before["version"] is None
    assert (first["version"], first["reason"], first["by"], first["forced"]) == (1, "First.", None, True)
    assert (first["since"], first["until"]) == ("2026-11-23T09:30:00Z", "2026-11-23T11:30:00Z")
    assert (second["version"], second["by"], second["until"]) == (2, "ada", None)


@pytest.mark.parametrize(("at", "version"), [("0001-01-01", None), ("9999-12-31T23:59:59.999999Z", 1)])
def test_history_knows_the_first_and_the_last_moment_of_the_calendar(client, at, version):
    promotion.promote(make_trained(), reason="First.", now=NOW)

    answer = client.get("/api/versions/history", {"at": at})

    assert (answer.status_code, answer.json()["version"]) == (200, version)


@pytest.mark.parametrize("at", ["2026-11-23T09:30:00Z", "2026-11-23T10:30:00 01:00", "2026-11-23 09:30", "2026-11-24"])
def test_history_takes_the_common_forms_of_a_moment(client, at):
    promotion.promote(make_trained(), reason="First.", now=NOW)

    assert client.get("/api/versions/history", {"at": at}).json()["version"] == 1


EDGES = ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00 14:00", "9999-12-31T23:59:59-14:00"]


@pytest.mark.parametrize("at", ["yesterday", "", "2026-13-01", "1e9", "\x00", *EDGES])
def test_history_at_no_moment_answers_400(client, at):
    answer = client.get("/api/versions/history", {"at": at})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "at")


def test_history_lists_all_promotions_newest_first(client, django_assert_num_queries):
    promotion.promote(make_trained(poor_fit().model), reason="First.", force=True)
    promotion.promote(make_trained(), reason="Better.")
    client.get("/api/categories")

    with django_assert_num_queries(2):  # the promotions, and the record of the call
        found = client.get("/api/versions/history").json()

    assert [(row["version"], row["replaced"]) for row in found["results"]] == [(2, 1), (1, None)]


# --- Versions -------------------------------------------------------------------------------------
def test_versions_are_listed_newest_first_without_a_query_each(client, django_assert_num_queries):
    make_trained(status="production")
    make_trained()
    client.get("/api/categories")

    with django_assert_num_queries(2):
        found = client.get("/api/versions").json()["results"]

    assert [(row["number"], row["status"]) for row in found] == [(2, "candidate"), (1, "production")]
    assert found[0]["run"]


def test_a_version_shows_its_scores(client):
    version = make_trained()

    found = client.get("/api/versions/1").json()

    assert found["metrics"] == version.metrics
    assert found["categories"] == version.categories


@pytest.mark.parametrize("number", [4, 2**31, 2**63, "9" * 40])
def test_a_version_that_there_is_not_answers_404(client, number):
    assert client.get(f"/api/versions/{number}").json()["code"] == "not_found"
