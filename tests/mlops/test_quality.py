"""Live quality: which labels count for which answers, and the figures of them, computed by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from classifier.models import Label, Ticket
from mlops import quality
from tests.factories import make_version
from tests.mlops.answering import AN_HOUR, answer, answers, category_of, in_production, label
from tests.mlops.making import NOW

pytestmark = pytest.mark.django_db
WEEK = timedelta(days=7)


def totals(**given: Any) -> dict[str, Any]:
    return quality.live(NOW, WEEK, **given)["totals"]


def counted(**given: Any) -> tuple[int, int]:
    found = totals(**given)
    return found["n"], found["n_labelled"]


# --- The figures ----------------------------------------------------------------------------------
def test_live_gives_the_figures_that_are_computed_by_hand():
    answers(10, right=9, wrong=1, confidence=0.96)
    answers(10, confidence=0.9)
    answers(4, right=1, wrong=1, review=True, confidence=0.5)
    answers(1, review=True, confidence=0.4)

    found = totals()

    assert (found["n"], found["n_labelled"], found["labelled_share"]) == (25, 12, 0.48)
    assert found["coverage"] == 0.8  # 20 of 25
    assert found["precision"] == 0.9
    assert found["accuracy"] == pytest.approx(10 / 12)
    assert found["override_rate"] == pytest.approx(2 / 12)
    assert found["expected_accuracy"] == pytest.approx((10 * 0.96 + 2 * 0.5) / 12)
    assert found["estimated_accuracy"] == pytest.approx((10 * 0.9 + 2 * 0.5 + 0.4) / 13)


def test_live_tells_automatic_answers_and_those_for_review_apart():
    answers(20, right=9, wrong=1, confidence=0.96)
    answers(3, right=1, wrong=1, review=True, confidence=0.5)

    found = totals()

    automatic, review = found["automatic"], found["review"]
    assert (automatic["n"], automatic["n_labelled"], automatic["n_right"], automatic["observed"]) == (20, 10, 9, 0.9)
    assert (automatic["low"], automatic["high"]) == (pytest.approx(0.5958, abs=5e-5), pytest.approx(0.9821, abs=5e-5))
    assert automatic["expected"] == pytest.approx(0.96)
    assert (review["n"], review["n_labelled"], review["observed"], review["expected"]) == (3, 2, 0.5, 0.5)


def test_live_gives_rows_per_day_category_and_version():
    old = make_version()
    answers(2, right=1, version=old, at=NOW - timedelta(days=2))
    answer("shipping")
    answers(1, wrong=1)

    found = quality.live(NOW, timedelta(days=2, hours=1))

    def rows(name: str, key: str) -> list[tuple[Any, int, int]]:
        return [(row[key], row["n"], row["n_labelled"]) for row in found[name]]

    assert rows("per_day", "day") == [("2026-11-21", 2, 1), ("2026-11-22", 0, 0), ("2026-11-23", 2, 1)]
    assert rows("per_category", "category") == [("billing", 3, 2), ("shipping", 1, 0)]
    assert rows("per_version", "version") == [(old.number, 2, 1), (in_production().number, 2, 1)]
    assert found["per_category"][0]["precision"] == 0.5


def test_live_puts_an_answer_on_its_day_in_utc():
    now = datetime(2026, 11, 23, 0, 30, tzinfo=UTC)
    answer(at=datetime(2026, 11, 22, 23, 59, 59, 999999, tzinfo=UTC))
    answer(at=datetime(2026, 11, 23, 0, 0, tzinfo=UTC))

    found = quality.live(now, AN_HOUR)

    assert [(row["day"], row["n"]) for row in found["per_day"]] == [("2026-11-22", 1), ("2026-11-23", 1)]


def test_live_of_an_empty_database_gives_zeros_and_nulls():
    found = quality.live(NOW, AN_HOUR)

    assert (found["totals"]["n"], found["totals"]["n_labelled"]) == (0, 0)
    nothing = ("labelled_share", "coverage", "precision", "accuracy", "override_rate", "estimated_accuracy")
    assert {found["totals"][name] for name in nothing} == {None}
    assert {found["totals"]["automatic"][name] for name in ("observed", "low", "high", "expected")} == {None}
    assert [row["day"] for row in found["per_day"]] == ["2026-11-23"]
    assert (found["per_category"], found["per_version"]) == ([], [])


def test_live_keeps_to_a_version_and_a_category():
    old = make_version()
    answers(2, right=1, version=old)
    answers(3, right=2)
    answer("shipping")

    assert counted(version=old) == (2, 1)
    assert counted(category=category_of("billing")) == (5, 3)
    assert counted(version=in_production(), category=category_of("shipping")) == (1, 0)


def test_live_asks_the_database_four_times_however_much_there_is(django_assert_num_queries):
    for days in range(5):
        answers(3, right=1, wrong=1, at=NOW - timedelta(days=days, hours=1))

    with django_assert_num_queries(4):  # the labelled, all, the categories' names, the versions' numbers
        quality.live(NOW, WEEK)


# --- Which labels count ---------------------------------------------------------------------------
def test_label_set_before_the_answer_does_not_count():
    given = answer(at=NOW - AN_HOUR)
    label(given, at=NOW - AN_HOUR - timedelta(microseconds=1))

    assert counted() == (1, 0)


def test_label_set_in_the_moment_of_the_answer_counts():
    given = answer(at=NOW - AN_HOUR)
    label(given, at=NOW - AN_HOUR)

    assert counted() == (1, 1)


def test_corrected_label_counts_as_what_it_says_now():
    given = answer("billing")
    Label.objects.filter(pk=label(given, "billing", at=NOW - AN_HOUR / 2).pk).update(ended_at=NOW)
    label(given, "shipping", at=NOW)

    assert (counted(), totals()["accuracy"]) == ((1, 1), 0.0)


@pytest.mark.parametrize(("trains", "n_labelled"), [(False, 0), (True, 1)])
def test_label_of_the_api_counts_where_it_trains(settings, trains, n_labelled):
    settings.TRAIN_ON_API_LABELS = trains
    label(answer(), source="api")

    assert counted() == (1, n_labelled)


@pytest.mark.parametrize("source", ["import", "agent", "reviewer"])
def test_label_that_a_person_stands_behind_counts(source):
    label(answer(), source=source)

    assert counted() == (1, 1)


def test_demonstrations_are_left_out():
    label(answer(is_demo=True))
    on_a_demo_ticket = answer(ticket=Ticket.objects.create(text="Made up.", is_demo=True))
    label(on_a_demo_ticket)

    assert counted() == (1, 0)


def test_each_answer_about_a_ticket_counts_by_itself():
    first = answer("billing", at=NOW - 2 * AN_HOUR)
    answer("shipping", ticket=first.ticket, at=NOW - AN_HOUR)
    label(first, "shipping")

    assert (counted(), totals()["accuracy"]) == ((2, 2), 0.5)


def test_answers_outside_the_window_are_left_out():
    answer(at=NOW - WEEK)
    answer(at=NOW - WEEK + timedelta(microseconds=1))
    answer(at=NOW)
    answer(at=NOW + timedelta(microseconds=1))

    assert counted() == (2, 0)


# --- In short -------------------------------------------------------------------------------------
def test_summary_gives_the_figures_of_one_version():
    answers(9, version=make_version(), wrong=9)
    answers(10, right=8, wrong=1, confidence=0.8)
    answers(10, right=0, wrong=1, review=True, confidence=0.5)

    assert quality.summary(in_production(), NOW) == {
        "window_days": 7,
        "n": 20,
        "n_labelled": 10,
        "n_automatic_labelled": 9,
        "precision": pytest.approx(8 / 9),
        "accuracy": 0.8,
        "override_rate": 0.2,
        "coverage": 0.5,
        "estimated_accuracy": pytest.approx((1 * 0.8 + 9 * 0.5) / 10),
    }


def test_summary_of_a_version_that_answered_nothing_gives_zeros_and_nulls():
    found = quality.summary(in_production(), NOW)

    assert (found["n"], found["n_labelled"], found["n_automatic_labelled"]) == (0, 0, 0)
    figures = ("precision", "accuracy", "override_rate", "coverage", "estimated_accuracy")
    assert {found[name] for name in figures} == {None}


def test_summary_asks_the_database_twice(django_assert_num_queries):
    answers(3, right=1, wrong=1)
    version = in_production()

    with django_assert_num_queries(2):
        quality.summary(version, NOW)
