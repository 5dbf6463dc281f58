"""Scores, against numbers computed by hand and against scikit-learn."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from classifier.ml.scoring import POINTS, Bin, CategoryScores, Point, Scores, coverage, score

#            truth a a a b b c, of which right: 2, 1, 0; "d" is never true and guessed once
TRUTH, GUESS = list("aaabbc"), list("aabbda")
CATEGORIES = ["a", "b", "c", "d"]


def test_scores_by_hand() -> None:
    found = score(TRUTH, GUESS, categories=CATEGORIES)

    assert found.n_tickets == 6
    assert found.accuracy == 3 / 6
    assert found.per_category == {
        "a": CategoryScores(precision=2 / 3, recall=2 / 3, f1=2 / 3, support=3),
        "b": CategoryScores(precision=1 / 2, recall=1 / 2, f1=1 / 2, support=2),
        "c": CategoryScores(precision=0.0, recall=0.0, f1=0.0, support=1),
        "d": CategoryScores(precision=0.0, recall=0.0, f1=0.0, support=0),
    }
    assert found.confusion_categories == tuple(CATEGORIES)
    assert found.confusion == ((2, 1, 0, 0), (0, 1, 0, 1), (1, 0, 0, 0), (0, 0, 0, 0))
    assert found.unknown_truth == 0


def test_averages_are_over_the_categories_that_occur() -> None:
    found = score(TRUTH, GUESS, categories=CATEGORIES)

    macro, weighted = (2 / 3 + 1 / 2 + 0) / 3, (3 * 2 / 3 + 2 * 1 / 2 + 0) / 6
    assert [found.macro_precision, found.macro_recall, found.macro_f1] == pytest.approx([macro] * 3)
    assert [found.weighted_precision, found.weighted_recall, found.weighted_f1] == pytest.approx([weighted] * 3)


def test_without_probabilities_nothing_is_said_of_them() -> None:
    found = score(TRUTH, GUESS, categories=CATEGORIES)

    assert (found.log_loss, found.calibration_error, found.reliability) == (None, None, ())


def test_log_loss_by_hand() -> None:
    found = score(["a", "b"], ["a", "a"], [[0.8, 0.2], [0.5, 0.5]], categories=["a", "b"])

    assert found.log_loss == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)


def test_log_loss_of_the_impossible_is_finite() -> None:
    found = score(["b"], ["a"], [[1.0, 0.0]], categories=["a", "b"])

    assert found.log_loss == pytest.approx(15 * np.log(10))


def test_calibration_error_by_hand() -> None:
    sure, unsure = [0.95, 0.05], [0.55, 0.45]

    found = score(list("aabb"), list("aaaa"), [sure, sure, unsure, unsure], categories=["a", "b"])

    # two answers of 0.95, both right; two of 0.55, both wrong: (2 x 0.05 + 2 x 0.55) / 4
    assert found.calibration_error == pytest.approx(0.3)
    assert [row for row in found.reliability if row.count] == [
        Bin(low=8 / 15, high=9 / 15, count=2, confidence=0.55, accuracy=0.0),
        Bin(low=14 / 15, high=1.0, count=2, confidence=0.95, accuracy=1.0),
    ]
    assert len(found.reliability) == 15


def test_bins_are_open_below_and_closed_above() -> None:
    found = score(list("aa"), list("aa"), [[0.6, 0.4], [1.0, 0.0]], categories=["a", "b"])

    assert [index for index, row in enumerate(found.reliability) if row.count] == [8, 14]  # 0.6 = 9/15 ends bin 8


def test_a_truth_the_model_does_not_know_is_wrong() -> None:
    found = score(["a", "z", "z"], ["a", "a", "z"], [[0.9, 0.1]] * 3, categories=["a", "b"])

    assert found.accuracy == pytest.approx(1 / 3)
    assert found.unknown_truth == 2
    assert found.confusion_categories == ("a", "b", "z")
    assert found.per_category["z"] == CategoryScores(precision=0.0, recall=0.0, f1=0.0, support=2)
    assert found.per_category["a"] == CategoryScores(precision=0.5, recall=1.0, f1=2 / 3, support=1)
    assert found.macro_recall == pytest.approx((1 + 0) / 2)
    assert found.log_loss == pytest.approx((-np.log(0.9) + 2 * 15 * np.log(10)) / 3)
    assert found.calibration_error == pytest.approx(0.9 - 1 / 3)


@pytest.mark.parametrize(
    ("truth", "guess", "table", "words"),
    [
        ([], [], None, "there are 0 truths and 0 guesses"),
        (["a"], [], None, "there are 1 truths and 0 guesses"),
        (["a"], ["a"], [[0.5, 0.4, 0.1]], r"\(1, 2\); the table is \(1, 3\)"),
        (["a"], ["a"], [0.5, 0.5], r"the table is \(2,\)"),
    ],
)
def test_score_refuses_what_does_not_fit_together(truth: list[str], guess: list[str], table: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        score(truth, guess, table, categories=["a", "b"])


def test_scores_survive_json() -> None:
    found = score(["a", "b", "z"], ["a", "a", "b"], [[0.8, 0.2]] * 3, categories=["a", "b"], resamples=20)

    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))

    assert Scores.from_dict(plain) == found
    assert set(plain) == {
        "accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_precision", "weighted_recall",
        "weighted_f1", "log_loss", "calibration_error", "n_tickets", "per_category", "confusion", "reliability",
        "unknown_truth", "coverage", "intervals",
    }  # fmt: skip
    assert plain["confusion"] == {"categories": ["a", "b", "z"], "matrix": [[1, 0, 0], [1, 0, 0], [0, 1, 0]]}
    assert set(plain["per_category"]["a"]) == {"precision", "recall", "f1", "support"}
    assert set(plain["reliability"][0]) == {"low", "high", "count", "confidence", "accuracy"}
    assert plain["coverage"] == [{"threshold": 0.8, "coverage": 1.0, "precision": 1 / 3}]
    assert set(plain["intervals"]["accuracy"]) == {"low", "high"}


def test_scores_of_before_there_were_coverage_and_intervals_are_read() -> None:
    found = score(["a", "b"], ["a", "a"], [[0.8, 0.2]] * 2, categories=["a", "b"])
    plain = {name: value for name, value in found.as_dict().items() if name not in {"coverage", "intervals"}}

    read = Scores.from_dict(plain)

    assert (read.coverage, read.intervals, read.accuracy) == ((), {}, 0.5)


# --- Coverage against precision -------------------------------------------------------------------
def test_coverage_by_hand() -> None:
    confidences, right = np.array([0.5, 0.9, 0.7, 0.8]), np.array([False, True, True, False])

    assert coverage(confidences, right) == (
        Point(0.9, 1 / 4, 1.0), Point(0.8, 2 / 4, 1 / 2), Point(0.7, 3 / 4, 2 / 3), Point(0.5, 1.0, 2 / 4)
    )  # fmt: skip


@pytest.mark.parametrize("right", [[True, True, False, False], [False, False, True, True]])
def test_coverage_of_ties_has_no_point_between_them(right: list[bool]) -> None:
    """Whichever way equal answers are sorted, they are answered all or none."""
    found = coverage(np.full(4, 0.6), np.array(right))

    assert found == (Point(0.6, 1.0, 0.5),)


def test_coverage_of_many_has_few_points_spread_over_the_tickets() -> None:
    chance = np.random.default_rng(0)
    confidences, right = chance.random(5_000).round(3), chance.random(5_000) < 0.8

    found = coverage(confidences, right)

    shares = np.array([point.coverage for point in found])
    assert len(found) <= POINTS
    assert np.diff(shares).max() < 0.03  # a fiftieth, and the width of a tie
    assert shares[-1] == 1.0
    for point in found:
        answered = confidences >= point.threshold
        assert point.coverage == pytest.approx(answered.mean())
        assert point.precision == pytest.approx(right[answered].mean())


rows = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.integers(1, 99)), min_size=1)


@given(rows)
def test_scores_equal_those_of_scikit_learn(drawn: list[tuple[str, str, int]]) -> None:
    truth, guess = [row[0] for row in drawn], [row[1] for row in drawn]
    table = np.array([[weight, 100 - weight, 50, 7] for _, _, weight in drawn]) / 157
    occurring = sorted(set(truth))

    found = score(truth, guess, table, categories=CATEGORIES)

    for average, values in (
        ("macro", (found.macro_precision, found.macro_recall, found.macro_f1)),
        ("weighted", (found.weighted_precision, found.weighted_recall, found.weighted_f1)),
    ):
        expected = metrics.precision_recall_fscore_support(
            truth, guess, labels=occurring, average=average, zero_division=0
        )
        assert values == pytest.approx(expected[:3])
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, guess))
    assert found.log_loss == pytest.approx(metrics.log_loss(truth, table, labels=CATEGORIES))
    assert found.confusion == tuple(map(tuple, metrics.confusion_matrix(truth, guess, labels=CATEGORIES).tolist()))
