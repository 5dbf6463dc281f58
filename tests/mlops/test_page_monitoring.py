"""Monitoring: figures over time that obey the filters, and a log that finds what is searched."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from classifier.models import RefusalMinute, Ticket
from mlops.dashboards import monitoring
from tests.factories import make_key, make_ticket, make_version
from tests.mlops.paging import make_answer, make_request

pytestmark = pytest.mark.django_db


def test_empty_database_says_what_to_do_next(at):
    page = at.get("/monitoring")

    assert page.status_code == 200
    assert "Nothing was asked in the last 24 hours" in page.text
    assert "Where these figures come from" in page.text


def test_throughput_is_tickets_per_minute_and_adds_up(at):
    version, now = make_version(status="production"), timezone.now()
    for minutes in (1, 2, 100, 100):
        make_answer(version, "billing", at=now - timedelta(minutes=minutes), is_review=minutes == 2)

    page = at.get("/monitoring?range=6h")

    automatic, review = page.context["charts"][0].series
    assert sum(automatic.values) * 5 == pytest.approx(3)
    assert sum(review.values) * 5 == pytest.approx(1)
    assert page.context["rate"] == "0.01"


@pytest.mark.parametrize(
    ("query", "n"), [("category=billing", 2), ("category=account", 1), ("version=1", 2), ("version=2", 1)]
)
def test_answers_obey_category_and_version(at, query, n):
    first, second, now = make_version(number=1), make_version(number=2), timezone.now()
    make_answer(first, "billing", at=now)
    make_answer(first, "account", at=now)
    make_answer(second, "billing", at=now)

    page = at.get(f"/monitoring?{query}")

    assert len(page.context["log"].rows) == n
    assert sum(sum(series.values) for series in page.context["charts"][0].series) * 15 == pytest.approx(n)


def test_status_shows_the_calls_that_ended_so(at):
    now = timezone.now()
    make_request(at=now, status=503, code="no_model_in_production", key=make_key(name="helpdesk")[0])
    make_request(at=now, status=400)

    page = at.get("/monitoring?status=5xx")

    assert page.context["log"].of == "calls"
    assert [row["code"] for row in page.context["log"].rows] == ["no model in production"]
    assert "API key helpdesk" in page.text


def test_calls_without_a_key_are_turned_away_and_counted(at):
    now = timezone.now()
    make_request(at=now)
    for _ in range(3):
        RefusalMinute.objects.count_one(code="invalid_key", now=now - timedelta(minutes=30))

    page = at.get("/monitoring")

    assert page.context["charts"][1].series[2].name == "turned away"
    assert sum(page.context["charts"][1].series[2].values) == 3


def test_histogram_holds_every_request_in_the_bar_of_its_latency(at):
    now = timezone.now()
    for ms in (2.5, 2.6, 4.0, 40_000.0):
        make_request(at=now, ms=ms)

    chart = at.get("/monitoring").context["histogram"]

    bars = dict(zip(chart.labels, chart.series[0].values, strict=True))
    assert bars["2 to 3 ms"] == 2
    assert bars["3 to 5 ms"] == 1
    assert bars["over 5 s"] == 1


def test_edges_of_the_histogram_rise():
    assert list(monitoring.EDGES) == sorted(set(monitoring.EDGES))


def test_log_finds_the_words_of_a_ticket(at):
    version, now = make_version(), timezone.now()
    make_answer(version, "billing", at=now, ticket=make_ticket("The refund never came"))
    make_answer(version, "billing", at=now, ticket=make_ticket("Where is my parcel?"))

    page = at.get("/monitoring?words=Refund")

    assert [row["text"] for row in page.context["log"].rows] == ["The refund never came"]


def test_log_shows_no_text_that_was_removed(at):
    version, now = make_version(), timezone.now()
    row = make_answer(version, "billing", at=now)
    Ticket.objects.filter(pk=row.ticket_id).update(text="-", text_removed_at=now)

    assert "(its text was removed)" in at.get("/monitoring").text


def test_log_goes_on_where_it_stopped(at):
    version, now = make_version(), timezone.now()
    for n in range(52):
        make_answer(version, "billing", at=now - timedelta(minutes=n // 2))

    first = at.get("/monitoring")
    second = at.get("/monitoring" + first.context["older_address"])

    seen = [row["ticket"] for page in (first, second) for row in page.context["log"].rows]
    assert len(seen) == len(set(seen)) == 52


@pytest.mark.parametrize(
    "query", ["words=%00%27%22", "words=" + "x" * 5000, "words=%25_%5C", "category=none", "version=²", "before=1"]
)
def test_odd_query_is_no_failure(at, query):
    make_answer(make_version(), "billing", at=timezone.now())

    assert at.get(f"/monitoring?{query}").status_code == 200


def test_cost_does_not_grow_with_the_rows(at, django_assert_max_num_queries):
    version, now = make_version(status="production"), timezone.now()
    for _ in range(3):
        make_answer(version, "billing", at=now)
    at.get("/monitoring")

    with django_assert_max_num_queries(40):  # ten of them are Postgres's estimates of rows
        at.get("/monitoring?range=7d")


def test_sources_name_each_table_with_rows_and_age(at):
    make_ticket()

    lines = {line["title"]: line for line in at.get("/monitoring").context["sources"]}

    assert lines["Tickets"]["count"] == "1"
    assert lines["Tickets"]["newest"] == "just now"
    assert lines["Predictions"]["newest"] == "never"
