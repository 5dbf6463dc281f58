"""GET /api/quality/live: what it answers, what it refuses, and what it costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import make_key, make_version
from tests.mlops.answering import answers, in_production

pytestmark = pytest.mark.django_db
PATH = "/api/quality/live"


@pytest.fixture
def client() -> Client:
    return Client(headers={"authorization": f"Api-Key {make_key('read')[1]}"})


def labelled_now(n: int, **facts: Any) -> None:
    """Answers of a minute ago. Their labels are an hour younger: no label is too young to count."""
    answers(n, at=timezone.now() - timedelta(minutes=1), **facts)


def test_get_of_an_empty_database_answers_200_with_zeros_and_nulls(client):
    answer = client.get(PATH)

    found = answer.json()
    assert (answer.status_code, found["window"], found["totals"]["n"]) == (200, "7d", 0)
    assert (found["totals"]["precision"], found["totals"]["estimated_accuracy"]) == (None, None)
    assert (len(found["per_day"]), found["per_category"], found["per_version"]) == (8, [], [])


def test_get_tells_how_right_the_answers_were(client):
    labelled_now(10, right=4, wrong=1, confidence=0.8)

    found = client.get(PATH).json()

    assert (found["totals"]["n"], found["totals"]["n_labelled"], found["totals"]["precision"]) == (10, 5, 0.8)
    assert found["totals"]["estimated_accuracy"] == pytest.approx(0.8)
    assert [row["category"] for row in found["per_category"]] == ["billing"]
    assert "people look first at what went to review" in found["caution"]


@pytest.mark.parametrize(
    ("window", "n_days"), [("1h", (1, 2)), ("24h", (2, 2)), ("1d", (2, 2)), ("30d", (31, 31)), ("2160h", (91, 91))]
)
def test_get_takes_a_window_of_hours_or_days(client, window, n_days):
    found = client.get(f"{PATH}?window={window}").json()

    assert found["window"] == window
    assert n_days[0] <= len(found["per_day"]) <= n_days[1]


def test_get_leaves_out_what_is_older_than_the_window(client):
    answers(2, at=timezone.now() - timedelta(hours=25))
    labelled_now(1)

    assert client.get(f"{PATH}?window=24h").json()["totals"]["n"] == 1
    assert client.get(f"{PATH}?window=2d").json()["totals"]["n"] == 3


def test_get_keeps_to_a_version_and_a_category(client):
    labelled_now(2, version=make_version())
    labelled_now(3)

    found = client.get(f"{PATH}?version={in_production().number}&category=billing").json()

    assert (found["version"], found["category"]) == (in_production().number, "billing")
    assert found["totals"]["n"] == 3
    assert client.get(f"{PATH}?category=shipping").json()["totals"]["n"] == 0


@pytest.mark.parametrize(
    "query",
    [
        *(f"window={wrong}" for wrong in ("", "7", "0h", "91d", "2161h", "-1d", "7w", "1.5d", "all", "²d", "99999d")),
        *(f"version={wrong}" for wrong in ("", "0", "x", "77", 2**63 - 1)),
        *(f"category={wrong}" for wrong in ("", "nonsense", "a%00b")),
    ],
)
def test_a_bad_query_answers_400_that_says_what_is_wanted(client, query):
    answer = client.get(f"{PATH}?{query}")

    error = answer.json()["errors"][0]
    assert (answer.status_code, error["field"]) == (400, query.split("=")[0])
    assert error["detail"].startswith("Wanted ")


@pytest.mark.parametrize("scope", ["predict", "label", "run", "promote", "metrics"])
def test_only_the_scope_read_may_ask(scope):
    client = Client(headers={"authorization": f"Api-Key {make_key(scope)[1]}"})

    assert client.get(PATH).status_code == 403


def test_get_asks_the_database_five_times(client, django_assert_num_queries):
    labelled_now(5, right=2, wrong=1)
    client.get("/api/categories")  # the key is cached from here on

    with django_assert_num_queries(5):  # the labelled, all, names of categories and versions, the record of the call
        client.get(PATH)
