"""The filters of pages: what a query string means, and the steps of charts over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops.dashboards import filters
from mlops.dashboards.charts import Chart, Series, Tick
from tests.factories import make_categories, make_version

NOON = datetime(2026, 11, 25, 12, 7, 31, tzinfo=UTC)


@pytest.mark.django_db
def test_read_finds_what_the_address_names():
    make_categories(["billing"])
    version = make_version(number=4)

    found = filters.read(
        {"range": "7d", "category": "billing", "version": "4", "status": "5xx", "demo": "1"},
        now=NOON,
        offers=("range", "category", "version", "status", "demo"),
    )

    assert found.range.span == timedelta(days=7)
    assert found.category is not None
    assert found.category.slug == "billing"
    assert found.version == version
    assert found.status == "5xx"
    assert found.is_demo
    assert found.complaints == ()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("category", "none-such"),
        ("category", "a\0b"),
        ("version", "9" * 30),
        ("version", "-1"),
        ("version", "²"),
        ("status", "6xx"),
    ],
)
def test_read_tells_what_it_does_not_know_and_leaves_it_out(name, value):
    found = filters.read({name: value}, now=NOON, offers=("category", "version", "status"))

    assert len(found.complaints) == 1
    assert found.complaints[0].startswith(f"The {name} must be")
    assert (found.category, found.version, found.status) == (None, None, "")


def test_address_keeps_the_rest_and_takes_away_what_is_empty():
    found = filters.read({"range": "7d", "demo": "1"}, now=NOON)

    assert found.address(range="1h") == "?range=1h&demo=1"
    assert found.real_address == "?range=7d"


def test_steps_cover_the_range_in_whole_steps():
    found = filters.steps(NOON - timedelta(hours=1), NOON, timedelta(minutes=15))

    assert [f"{start:%H:%M}" for start in found.starts] == ["11:00", "11:15", "11:30", "11:45", "12:00"]
    assert found.place(NOON) == 4


def test_steps_are_longer_where_there_would_be_too_many():
    found = filters.steps(NOON - timedelta(days=3000), NOON, timedelta(days=1))

    assert len(found.starts) <= filters.MOST_POINTS + 2
    assert found.step == timedelta(days=32)


def test_chart_is_empty_without_a_value_that_is_not_0():
    series = Series("answered", [0, None], ["0", "-"])
    chart = Chart(name="x", title="X", unit="", reading="", labels=["a", "b"], series=[series], ticks=[Tick(0, "0")])

    assert chart.is_empty
    assert chart.rows == []
