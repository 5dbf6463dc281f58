"""The Overview: what it counts is what is stored, and it says what to do where there is nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from classifier.models import Prediction
from tests.factories import make_user, make_version
from tests.mlops.paging import make_answer, make_request

pytestmark = pytest.mark.django_db


def test_empty_database_says_what_to_do_next(at):
    page = at.get("/")

    assert page.status_code == 200
    assert "No model answers yet" in page.text
    assert "manage.py train" in page.text


def test_version_without_requests_says_how_to_send_one(at):
    make_version(status="production", number=3)

    page = at.get("/")

    assert "No request in the last 24 hours" in page.text
    assert "Version 3 is ready" in page.text


def test_tickets_answered_are_the_predictions_of_24_hours(at):
    version, now = make_version(status="production"), timezone.now()
    for hours in (0, 1, 5, 23, 25, 60):
        make_answer(version, "billing", at=now - timedelta(hours=hours), is_review=hours == 1)
    make_answer(version, "billing", at=now, is_demo=True)

    shown = at.get("/").context

    of_a_day = Prediction.objects.filter(is_demo=False, created_at__gte=now - timedelta(hours=24))
    assert shown["n_answered"] == str(of_a_day.count()) == "4"
    assert shown["figures"][0].value == "4"
    assert shown["figures"][4].value == "25.0 %"


def test_figures_hold_against_numbers_by_hand(at):
    make_version(status="production", number=7, metrics={"test": {"macro_f1": 0.8125}})
    now = timezone.now()
    for status, ms in ((200, 10.0), (200, 20.0), (400, 1.0), (503, 1.0)):
        make_request(at=now, status=status, ms=ms)

    figures = {figure.title: figure for figure in at.get("/").context["figures"]}

    assert figures["Requests"].value == "4"
    assert figures["Requests"].more == "2 were answered"
    assert figures["Refused, 4xx"].value == figures["Failed, 5xx"].value == "25.0 %"
    assert figures["Failed, 5xx"].tone == "bad"
    assert float(figures["p95 latency"].value.removesuffix(" ms")) == pytest.approx(20, rel=0.02)
    assert figures["Macro-F1"].value == "0.812"
    assert figures["Macro-F1"].more.startswith("version 7, trained")


def test_sample_rows_are_shown_alone_and_only_when_asked_for(at):
    version = make_version(is_demo=True, number=1_000_001)
    make_answer(version, "billing", at=timezone.now(), is_demo=True)

    assert at.get("/").context["has_any"] is False
    page = at.get("/?demo=1")
    assert page.context["n_answered"] == "1"
    assert "Sample data" in page.text


@pytest.mark.parametrize(
    "query", ["range=2y", "range=%00", "before=x", "before=" + "9" * 40, "demo=maybe", "range=1h&range=7d"]
)
def test_odd_query_is_no_failure(at, query):
    assert at.get(f"/?{query}").status_code == 200


def test_unknown_range_is_told_and_a_day_is_shown(at):
    page = at.get("/?range=2y")

    assert page.context["filters"].range.name == "24h"
    assert "The range must be one of 1h, 6h, 24h, 7d, 30d, all; the address says “2y”" in page.text


def test_older_requests_are_a_click_away(at):
    now = timezone.now()
    make_version(status="production")
    rows = [make_request(at=now - timedelta(minutes=60 - n)) for n in range(53)]

    newest = at.get("/")
    older = at.get("/" + newest.context["older_address"])

    assert len(newest.context["requests"]) == 50
    assert len(older.context["requests"]) == 3
    assert newest.context["older"] == str(rows[3].pk)


def test_page_wants_a_person_who_may_read(client):
    assert client.get("/").status_code == 302

    client.force_login(make_user("eve"))
    page = client.get("/")

    assert page.status_code == 403
    assert "Ask for another role" in page.text


def test_cost_does_not_grow_with_the_rows(at, django_assert_max_num_queries):
    version, now = make_version(status="production"), timezone.now()
    for _ in range(3):
        make_answer(version, "billing", at=now)
    at.get("/")

    with django_assert_max_num_queries(14):
        at.get("/?range=7d")


def test_status_badge_names_what_is_not_well(at):
    page = at.get("/status")

    assert page.status_code == 200
    assert "No model" in page.text
    assert "manage.py train" in page.text


def test_no_sample_version_is_said_to_be_in_production(at):
    version = make_version(is_demo=True, number=1_000_001)
    make_answer(version, "billing", at=timezone.now(), is_demo=True)

    assert "is in production" not in at.get("/?demo=1").context["lead"]
