"""Bootstrap intervals, against formulas for the standard error and against drawing tickets one by one."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.ml import bootstrap
from classifier.ml.bootstrap import Interval, intervals, mean_interval, membership
from classifier.ml.scoring import score

rng = np.random.default_rng(3)
TRUTH = [str(place) for place in rng.integers(0, 5, 420)]
GUESS = [slug if rng.random() < 0.9 else str(rng.integers(0, 5)) for slug in TRUTH]
CATEGORIES = list("01234")


def share(drawn: bootstrap.Numbers) -> dict[str, bootstrap.Numbers]:
    return {"share": drawn[:, 0] / drawn.sum(axis=1)}


def test_interval_of_a_share_is_that_of_its_standard_error() -> None:
    found = intervals(np.array([360, 40]), share)["share"]

    # 0.9 +- 1.96 x sqrt(0.9 x 0.1 / 400) = 0.9 +- 0.0294
    assert found.low == pytest.approx(0.8706, abs=0.004)
    assert found.high == pytest.approx(0.9294, abs=0.004)


def test_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    found = mean_interval(np.array([0.0, 1.0] * 200))

    # 0.5 +- 1.96 x 0.5 / 20 = 0.5 +- 0.049
    assert (found.low, found.high) == (pytest.approx(0.451, abs=0.006), pytest.approx(0.549, abs=0.006))


def test_interval_without_chance_has_no_width() -> None:
    assert intervals(np.array([7, 0]), share)["share"] == Interval(1.0, 1.0)


def test_interval_without_a_ticket_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one ticket"):
        intervals(np.array([0, 0]), share)


def test_intervals_are_the_same_again_bit_by_bit_and_whatever_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.linspace(0, 1, 50)
    first = intervals(np.array([5, 3, 2]), share), mean_interval(values)
    again = intervals(np.array([5, 3, 2]), share), mean_interval(values)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 30)  # ten draws of three kinds, or less than one of fifty tickets
    in_parts = intervals(np.array([5, 3, 2]), share), mean_interval(values)

    assert first == again == in_parts


def test_stored_intervals_come_out_again_with_any_numpy() -> None:
    found = intervals(np.array([80, 20]), share)["share"]

    assert found == Interval(low=0.72, high=0.88)  # of a stream of numbers that numpy has frozen


def test_membership_sums_kinds_by_their_place() -> None:
    drawn = np.array([[1.0, 2.0, 4.0]])

    assert (drawn @ membership(np.array([1, 0, 1]), 3)).tolist() == [[2.0, 5.0, 0.0]]


def test_intervals_of_scores_equal_those_of_tickets_drawn_one_by_one() -> None:
    found = score(TRUTH, GUESS, categories=CATEGORIES, resamples=2_000).intervals
    drawn: dict[str, list[float]] = {name: [] for name in ("accuracy", "macro_f1", "weighted_precision")}
    for _ in range(1_000):
        rows = rng.integers(0, len(TRUTH), len(TRUTH))
        again = score([TRUTH[row] for row in rows], [GUESS[row] for row in rows], categories=CATEGORIES)
        for name, values in drawn.items():
            values.append(getattr(again, name))

    for name, values in drawn.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert found[name].low == pytest.approx(low, abs=0.006)  # 0.015 is the standard error
        assert found[name].high == pytest.approx(high, abs=0.006)


def test_intervals_hold_the_score_and_only_what_has_one() -> None:
    table = np.full((420, 5), 0.1) + 0.5 * np.eye(5)[[int(slug) for slug in GUESS]]

    scores = score(TRUTH, GUESS, table, categories=CATEGORIES, resamples=500)

    assert set(scores.intervals) == {
        "accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_precision", "weighted_recall",
        "weighted_f1", "log_loss",
    }  # fmt: skip
    for name, interval in scores.intervals.items():
        assert interval.low < getattr(scores, name) < interval.high


def test_intervals_count_a_truth_the_model_does_not_know_as_wrong() -> None:
    scores = score(["a", "z"] * 50, ["a", "z"] * 50, categories=["a", "b"], resamples=500)

    assert scores.intervals["accuracy"].high < 0.65
    assert scores.intervals["macro_recall"] == Interval(0.5, 0.5)


# --- Wilson's interval ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [
        # 9 of 10: (0.9 + 0.19207 +- 1.96 sqrt(0.009 + 0.009604)) / 1.38415
        (9, 10, 0.5958, 0.9821),
        # 0 of 10: 0 to z^2 / (n + z^2) = 3.8415 / 13.8415
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
    ],
)
def test_wilson_gives_the_interval_that_is_computed_by_hand(n_right: int, n: int, low: float, high: float) -> None:
    found = bootstrap.wilson(n_right, n)

    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("n_right", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_of_no_share_is_refused(n_right: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"got {n_right} of {n}"):
        bootstrap.wilson(n_right, n)
