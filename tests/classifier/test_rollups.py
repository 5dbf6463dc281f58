"""Rollups: what is counted, once, by which span; what stays when its rows have gone; how near a quantile comes."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection

from classifier import rollups
from classifier.models import AnswerRollup, ApiRequest, Grain, Prediction, RequestRollup, RolledUp, Ticket
from classifier.rollups import AnswerCounts, RequestCounts, quantile, reading, rebuild, roll_up
from tests.factories import make_categories, make_ticket, make_version

pytestmark = pytest.mark.django_db
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 11, 23, 9, 30, 20, tzinfo=UTC)
LONG_AGO = NOW - 400 * DAY


def call(ago: timedelta = HOUR, *, ms: float = 10.0, status: int = 200, **fields: Any) -> ApiRequest:
    return ApiRequest.objects.create(
        method="POST", created_at=NOW - ago, latency_ms=ms, status=status, **{"route": "predict", **fields}
    )


@pytest.fixture
def version(db: None) -> Any:
    return make_version()


@pytest.fixture
def answered(version: Any) -> Any:
    """Makes one answer to one ticket; the category is billing unless it is said."""
    ticket, categories = make_ticket(), {category.slug: category for category in make_categories()}

    def make(ago: timedelta = HOUR, *, slug: str = "billing", sure: float = 0.75, **fields: Any) -> Prediction:
        return Prediction.objects.create(
            ticket=ticket,
            version=version,
            category=categories[slug],
            confidence=sure,
            n_words=4,
            unknown_share=0.0,
            created_at=NOW - ago,
            **fields,
        )

    return make


def requests(since: datetime = LONG_AGO, until: datetime = NOW, **asked: Any) -> list[RequestCounts]:
    return rollups.requests(since, until, **{"grain": Grain.HOUR, **asked})


def answers(since: datetime = LONG_AGO, until: datetime = NOW, **asked: Any) -> list[AnswerCounts]:
    return rollups.answers(since, until, **{"grain": Grain.HOUR, **asked})


def total(counts: Iterable[RequestCounts | AnswerCounts]) -> int:
    return sum(count.count for count in counts)


# --- Latencies ------------------------------------------------------------------------------------
def many_calls(latencies: Iterable[float], *, seconds: float = 1.0) -> None:
    ApiRequest.objects.bulk_create(
        ApiRequest(
            route="predict", method="POST", status=200, latency_ms=ms, created_at=NOW - timedelta(seconds=seconds * n)
        )
        for n, ms in enumerate(latencies, 1)
    )


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.lognormal(np.log(110), 0.5, size=2_000),
        lambda rng: rng.exponential(4.0, size=2_000),
        lambda rng: rng.uniform(0.05, 90_000, size=2_000),
        lambda rng: np.concatenate([rng.normal(4, 0.2, size=1_800), rng.normal(4_000, 100, size=200)]),
        lambda rng: rng.pareto(1.5, size=2_000) + 1,
        lambda rng: rng.lognormal(1, 1, size=7),
        lambda rng: np.array([5.0]),
    ],
    ids=["lognormal", "exponential", "uniform", "two humps", "heavy tail", "seven", "one"],
)
def test_quantile_of_rolled_up_calls_is_within_2_percent_of_the_exact_one(draw, share):
    exact = draw(np.random.default_rng(7)).tolist()
    many_calls(exact)
    roll_up(NOW + 5 * MINUTE)
    merged: dict[int, int] = {}

    for counts in requests(NOW - DAY):
        for bucket, count in counts.latencies.items():
            merged[bucket] = merged.get(bucket, 0) + count

    assert ApiRequest.objects.count() == sum(merged.values()) == len(exact)
    assert quantile(merged, share) == pytest.approx(float(np.percentile(exact, 100 * share)), rel=0.02)


@pytest.mark.parametrize("ms", [0.01, 0.5, 1.0, 1.02, 17.3, 999.9, 120_000.0])
def test_bucket_holds_its_latency(ms):
    call(ms=ms)

    (counts,) = requests()
    (bucket,) = counts.latencies
    low, high = rollups.bucket_bounds(bucket)

    assert low * 0.999999 < ms <= high * 1.000001
    assert quantile(counts.latencies, 0.5) == pytest.approx(ms, rel=0.01)


@pytest.mark.parametrize("ms", [0.0, -3.0])
def test_latency_that_no_clock_should_give_counts_as_the_least(ms):
    call(ms=ms)
    roll_up(NOW)

    (counts,) = requests()

    assert quantile(counts.latencies, 1) == pytest.approx(0.01, rel=0.01)


def test_quantile_of_no_calls_is_none():
    assert quantile({}, 0.95) is None


# --- What is counted, once ------------------------------------------------------------------------
@pytest.mark.parametrize("grain", Grain)
@pytest.mark.parametrize("when", ["never", "all", "half", "late"])
def test_counts_are_the_same_whatever_is_rolled_up(answered, grain, when):
    """Of the raw rows alone, of rollups, and of rollups with a raw tail."""
    agos = [timedelta(minutes=7 * n, seconds=n) for n in range(1, 400)]  # of two days
    for n, ago in enumerate(agos):
        call(ago, status=[200, 200, 400][n % 3], ms=1 + n)
        answered(ago, slug=["billing", "general"][n % 2], sure=0.5)
    by_hand = (requests(grain=grain), answers(grain=grain))

    if when != "never":
        roll_up({"all": NOW, "half": NOW - 22 * HOUR, "late": NOW + 2 * DAY}[when])
    found = (requests(grain=grain), answers(grain=grain))

    assert found == by_hand
    assert total(found[0]) == total(found[1]) == ApiRequest.objects.count() == Prediction.objects.count() == 399
    assert sum(counts.confidence_sum for counts in found[1]) == 399 * 0.5


def test_requests_of_24_hours_are_the_predictions_of_24_hours(answered):
    for minutes in range(0, 3000, 13):
        call(timedelta(minutes=minutes))
        answered(timedelta(minutes=minutes))
    roll_up(NOW - timedelta(minutes=2))
    since = NOW.replace(second=0) - DAY

    asked = total(requests(since, NOW + MINUTE, grain=Grain.MINUTE))

    assert asked == Prediction.objects.filter(created_at__gte=since).count() == 111


def test_spans_begin_at_their_start_and_are_in_order(answered):
    for ago in (3 * HOUR, 70 * MINUTE, MINUTE):
        call(ago)
    roll_up(NOW)

    starts = {grain: [counts.starts_at for counts in requests(grain=grain)] for grain in Grain}

    at = NOW.replace(second=0)
    assert starts[Grain.MINUTE] == [at - 3 * HOUR, at - 70 * MINUTE, at - MINUTE]
    assert starts[Grain.HOUR] == [at.replace(hour=hour, minute=0) for hour in (6, 8, 9)]
    assert starts[Grain.DAY] == [at.replace(hour=0, minute=0)]


@pytest.mark.parametrize("rolled_up", [True, False])
def test_window_is_of_whole_spans(rolled_up):
    call(timedelta(seconds=50))  # 09:29:30
    call(timedelta(seconds=10))  # 09:30:10
    if rolled_up:
        roll_up(NOW + 10 * MINUTE)

    windows = [
        total(requests(since, until, grain=Grain.MINUTE))
        for since, until in [
            (NOW - timedelta(seconds=40), NOW),  # from 09:29:40 on
            (NOW, NOW),
            (NOW - 2 * MINUTE, NOW - MINUTE),  # 09:28:20 to 09:29:20
            (NOW - 2 * MINUTE, NOW.replace(second=0)),
            (NOW, NOW - DAY),
        ]
    ]

    assert windows == [2, 1, 1, 1, 0]


def test_made_up_rows_are_counted_apart(answered):
    for is_demo in (True, False, False):
        call(is_demo=is_demo)
        answered(is_demo=is_demo)

    for _ in range(2):
        assert (total(requests()), total(answers())) == (2, 2)
        assert (total(requests(is_demo=True)), total(answers(is_demo=True))) == (1, 1)
        roll_up(NOW)


def test_route_version_and_category_are_asked_for_by_themselves(answered, version):
    call()
    call(route="labels")
    answered()
    answered(slug="general", decision="review", reason="ambiguous")
    general = make_categories(["general"])[0].pk

    for _ in range(2):
        assert [counts.route for counts in requests(route="labels")] == ["labels"]
        assert [counts.decision for counts in answers(category_id=general)] == ["review"]
        assert (total(answers(version_id=version.pk)), total(answers(version_id=version.pk + 1))) == (2, 0)
        roll_up(NOW)


def test_reading_takes_as_many_queries_for_many_spans_as_for_few(answered, django_assert_num_queries):
    for minutes in range(0, 200, 3):
        call(timedelta(minutes=minutes))
        answered(timedelta(minutes=minutes))
    roll_up(NOW - HOUR)

    with django_assert_num_queries(6):  # until when it is rolled up, the rolled-up rows, the raw ones
        assert total(requests(grain=Grain.DAY)) == total(answers(grain=Grain.MINUTE)) == 67


def test_a_roll_up_between_two_queries_of_a_page_counts_nothing_twice(monkeypatch):
    for minutes in range(0, 200, 3):
        call(timedelta(minutes=minutes))
    roll_up(NOW - 100 * MINUTE)
    real = reading.rolled_requests

    def meanwhile(*given: Any, **named: Any) -> Any:
        roll_up(NOW)
        return real(*given, **named)

    monkeypatch.setattr(reading, "rolled_requests", meanwhile)

    assert total(requests()) == 67


# --- Rolling up -----------------------------------------------------------------------------------
def rows() -> list[Any]:
    fields = ("grain", "starts_at", "is_demo", "count")
    return sorted(
        [
            *RequestRollup.objects.values_list(*fields, "route", "latencies"),
            *AnswerRollup.objects.values_list(*fields, "decision", "confidence_sum"),
        ],
        key=str,
    )


def test_what_is_over_is_rolled_up_into_minutes_hours_and_days(answered):
    call(30 * HOUR)
    call(timedelta(seconds=90))

    words = roll_up(NOW)

    found = sorted(RequestRollup.objects.values_list("grain", "starts_at", "count"))
    at = NOW.replace(second=0)
    assert found == [
        ("day", datetime(2026, 11, 22, tzinfo=UTC), 1),
        ("hour", datetime(2026, 11, 22, 3, tzinfo=UTC), 1),
        ("minute", at - 30 * HOUR, 1),
        ("minute", at - 2 * MINUTE, 1),
    ]
    assert RolledUp.objects.get().until == at
    assert words == "Rolled up 1,800 minutes, until 2026-11-23 09:30 UTC."


def test_the_open_minute_is_left_alone():
    call(timedelta(seconds=20))  # the minute's first moment

    assert roll_up(NOW) == "No minute to roll up."
    assert rows() == []


def test_without_a_row_nothing_is_rolled_up():
    assert roll_up(NOW) == "No minute to roll up."
    assert not RolledUp.objects.exists()


def test_rolled_up_again_it_is_the_same(answered):
    for minutes in range(0, 4000, 37):
        call(timedelta(minutes=minutes))
        answered(timedelta(minutes=minutes))
    roll_up(NOW)
    first = rows()

    assert roll_up(NOW) == "No minute to roll up."
    assert rows() == first
    RolledUp.objects.update(until=NOW - 10 * DAY)
    roll_up(NOW)
    assert rows() == first


def test_each_minute_comes_to_what_one_run_comes_to(answered):
    for minutes in range(1, 200, 3):
        call(timedelta(minutes=minutes))
        answered(timedelta(minutes=minutes))

    for minutes in range(200, -1, -1):
        roll_up(NOW - timedelta(minutes=minutes))
    by_minutes = rows()
    RolledUp.objects.all().delete()
    RequestRollup.objects.all().delete()
    AnswerRollup.objects.all().delete()
    roll_up(NOW)

    assert rows() == by_minutes


def test_row_that_comes_late_is_counted():
    call(10 * MINUTE)
    roll_up(NOW)
    call(timedelta(minutes=2, seconds=30))  # its transaction took so long

    assert roll_up(NOW + MINUTE) == "Rolled up 1 minute, until 2026-11-23 09:31 UTC."

    assert total(requests()) == 2


def test_late_row_of_an_hour_that_is_over_is_in_its_hour():
    call(HOUR)
    at_ten = NOW.replace(minute=0, second=0) + HOUR
    roll_up(at_ten)
    call(NOW - at_ten + MINUTE)

    roll_up(at_ten + MINUTE)

    assert RequestRollup.objects.get(grain="hour", starts_at=at_ten - HOUR).count == 1


def test_first_run_over_old_rows_goes_day_by_day_and_on_where_it_was_cut_off(monkeypatch):
    for days in range(5):
        call(days * DAY + HOUR)
    real, left = rollups.rolling._write, [4]  # a day is two tables

    def dying(*given: Any, **named: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(*given, **named)

    monkeypatch.setattr(rollups.rolling, "_write", dying)
    with pytest.raises(KeyboardInterrupt):
        roll_up(NOW)
    until = RolledUp.objects.get().until
    n_days = RequestRollup.objects.filter(grain="day").count()
    monkeypatch.undo()
    roll_up(NOW)

    assert (until, n_days) == (datetime(2026, 11, 21, 8, 30, tzinfo=UTC), 2)
    assert total(requests(grain=Grain.DAY)) == RequestRollup.objects.filter(grain="minute").count() == 5


def test_first_run_passes_over_years_without_a_row(django_assert_max_num_queries):
    call(5000 * DAY)
    call(HOUR)

    with django_assert_max_num_queries(60):
        roll_up(NOW)

    assert total(requests(NOW - 6000 * DAY)) == 2


def test_rollups_outlive_their_rows(settings):
    settings.REQUEST_RETENTION_DAYS = 1
    call(30 * HOUR)
    call(25 * HOUR)
    roll_up(NOW - 25 * HOUR + MINUTE)
    ApiRequest.objects.all().delete()  # as retention does, before it goes on

    roll_up(NOW)
    rebuild(NOW - 2 * DAY, NOW, is_demo=False)

    assert total(requests()) == 2


@pytest.mark.django_db(transaction=True)
def test_two_at_once_do_no_harm(answered):
    for minutes in range(0, 6000, 7):
        call(timedelta(minutes=minutes))
    said: list[str] = []

    def run() -> None:
        try:
            said.append(roll_up(NOW))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    known = ("Rolled up", "No minute to roll up", "Left alone: another one is rolling up.")
    assert len(said) == 4
    assert all(words.startswith(known) for words in said)
    roll_up(NOW)
    assert total(requests()) == ApiRequest.objects.count() == 858
    assert RolledUp.objects.get().until == NOW.replace(second=0)


# --- Rebuilt --------------------------------------------------------------------------------------
def test_rebuild_counts_what_was_made_before_the_rolled_up_time(answered):
    call(3 * DAY)
    roll_up(NOW)
    call(2 * DAY, is_demo=True)
    answered(2 * DAY, is_demo=True)
    call(timedelta(), is_demo=True)
    unseen = total(requests(is_demo=True))

    rebuild(NOW - 3 * DAY, NOW, is_demo=True)

    assert unseen == 1
    for grain in Grain:
        assert total(requests(is_demo=True, grain=grain)) == 2
        assert total(answers(is_demo=True, grain=grain)) == 1


def test_rebuild_leaves_the_other_rows_alone(answered):
    call(5 * HOUR)
    call(5 * HOUR, is_demo=True)
    roll_up(NOW)
    ApiRequest.objects.all().delete()

    rebuild(NOW - DAY, NOW, is_demo=True)

    assert (total(requests()), total(requests(is_demo=True))) == (1, 0)


def test_rebuild_of_a_part_of_an_hour_keeps_the_rest_of_it(answered):
    for minutes in (95, 125):  # 07:55 and 07:25
        call(timedelta(minutes=minutes))
    roll_up(NOW)
    RequestRollup.objects.filter(grain="minute").delete()  # as they are after a week

    rebuild(NOW - 100 * MINUTE, NOW - 94 * MINUTE, is_demo=False)

    assert [counts.count for counts in requests()] == [2]


def test_rebuild_before_the_first_roll_up_writes_nothing():
    call()

    rebuild(NOW - DAY, NOW, is_demo=False)

    assert rows() == []


# --- Spent, and counted ---------------------------------------------------------------------------
def test_minutes_are_spent_after_eight_days_and_hours_never(answered):
    for days in (7, 9):
        call(days * DAY)
        answered(days * DAY)
    roll_up(NOW)

    spent = [list(rows.values_list("grain", "starts_at")) for rows in rollups.spent_minutes(NOW)]

    assert spent == [[("minute", (NOW - 9 * DAY).replace(second=0))]] * 2


def test_minutes_of_an_hour_that_is_still_to_be_counted_are_not_spent():
    call(10 * DAY)
    roll_up(NOW - 10 * DAY + 2 * MINUTE)  # and no worker since

    assert [rows.count() for rows in rollups.spent_minutes(NOW)] == [0, 0]


def test_count_of_a_small_table_is_exact():
    for _ in range(3):
        make_ticket()

    assert rollups.count_about(Ticket) == 3


@pytest.mark.postgres
def test_count_of_a_large_table_is_the_planners(monkeypatch):
    monkeypatch.setattr(reading, "COUNTED_ROWS", 100)
    many_calls([1.0] * 500)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE classifier_apirequest")
    many_calls([1.0] * 5)

    assert rollups.count_about(ApiRequest) == 500
