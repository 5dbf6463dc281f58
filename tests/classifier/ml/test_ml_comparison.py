"""What of a difference between two models may be chance, against formulas and against draws made one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from classifier.ml.comparison import honest_calibration_error, macro_f1_gain, recall_losses
from classifier.ml.scoring import calibration_error, reliability

TRUTH = [place % 3 for place in range(300)]


def answers(n_wrong: int, *, start: int) -> list[str]:
    return [str((slug + 1) % 3 if start <= place < start + n_wrong else slug) for place, slug in enumerate(TRUTH)]


def test_gain_interval_equals_that_of_tickets_drawn_one_by_one_in_pairs() -> None:
    ours, theirs, truth = answers(20, start=0), answers(40, start=10), [str(slug) for slug in TRUTH]
    chance, drawn = np.random.default_rng(5), []
    for _ in range(800):
        rows = chance.integers(0, 300, 300)
        draw = [[column[row] for row in rows] for column in (truth, ours, theirs)]
        drawn.append(f1_score(draw[0], draw[1], average="macro") - f1_score(draw[0], draw[2], average="macro"))

    found = macro_f1_gain(truth, ours, theirs)

    # 20 more right, 40 answered otherwise: 0.067 +- 1.96 x 0.02
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.008)
    assert (found.low, found.high) == pytest.approx((0.067 - 0.04, 0.067 + 0.04), abs=0.012)


def test_gain_of_models_that_err_alike_is_sure_to_be_nothing() -> None:
    same = answers(60, start=0)

    found = macro_f1_gain([str(slug) for slug in TRUTH], same, same)

    assert (found.low, found.high) == (0.0, 0.0)


def test_gain_is_the_same_again() -> None:
    truth = [str(slug) for slug in TRUTH]

    first, again = (macro_f1_gain(truth, answers(9, start=0), answers(12, start=5)) for _ in range(2))

    assert first == again


def test_gain_counts_an_answer_outside_the_truth_as_wrong() -> None:
    found = macro_f1_gain(["a", "b"] * 20, ["a", "b"] * 20, ["a", "else"] * 20)

    assert found.low == found.high == 0.5  # recall 1 and 0, precision 1 and 0


@pytest.mark.parametrize("columns", [(["a"], ["a"], []), (["a"], [], ["a"])])
def test_gain_refuses_lists_that_do_not_fit_together(columns: tuple[list[str], ...]) -> None:
    with pytest.raises(ValueError, match="two answers for each ticket"):
        macro_f1_gain(*columns)


def test_an_honest_model_stays_below_the_honest_error_19_times_in_20() -> None:
    chance = np.random.default_rng(2)
    confidences = chance.uniform(0.4, 1.0, 400)
    limit = honest_calibration_error(confidences)

    errors = [calibration_error(reliability(confidences, chance.random(400) < confidences)) for _ in range(400)]

    assert 0.91 < np.mean(np.array(errors) <= limit) < 0.99


def test_an_overconfident_model_lies_above_the_honest_error() -> None:
    confidences, chance = np.full(400, 0.95), np.random.default_rng(2)

    found = calibration_error(reliability(confidences, chance.random(400) < 0.85))

    assert found > honest_calibration_error(confidences)


def test_honest_error_without_an_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        honest_calibration_error(np.empty(0))


# --- Recall by category ---------------------------------------------------------------------------
def test_recall_losses_by_hand() -> None:
    found = recall_losses(list("aaabb"), list("abbbb"), list("aaaab"))

    assert [(loss.category, loss.before, loss.after, loss.support) for loss in found] == [
        ("a", 3, 1, 3),
        ("b", 1, 2, 2),
    ]
    assert [loss.recall for loss in found] == pytest.approx([2 / 3, -1 / 2])


@pytest.mark.parametrize(("n_categories", "n_tickets"), [(5, 84), (77, 19)])
def test_recall_losses_of_equals_are_rarely_beyond_chance_and_a_tenth(n_categories: int, n_tickets: int) -> None:
    """Both right on 90 % of the tickets, each wrong on its own 4 %: no category is worse, in 19 of 20 comparisons."""
    chance, alarms = np.random.default_rng(1), 0
    truth = [str(slug) for slug in range(n_categories) for _ in range(n_tickets)]
    for _ in range(60):
        drawn = chance.random(len(truth))
        ours = ["?" if draw < 0.06 or 0.06 <= draw < 0.10 else slug for draw, slug in zip(drawn, truth, strict=True)]
        theirs = ["?" if draw < 0.06 or draw > 0.96 else slug for draw, slug in zip(drawn, truth, strict=True)]
        losses = recall_losses(truth, ours, theirs)
        alarms += any(loss.is_beyond_chance and loss.recall > 0.1 for loss in losses)

    assert alarms <= 6


@pytest.mark.parametrize(("n_categories", "n_tickets"), [(3, 2), (5, 84), (77, 19)])
def test_recall_losses_of_a_category_that_is_ruined_are_beyond_chance(n_categories: int, n_tickets: int) -> None:
    truth = [str(slug) for slug in range(n_categories) for _ in range(n_tickets)]

    found = recall_losses(truth, ["1" if slug == "0" else slug for slug in truth], truth)

    assert [loss.category for loss in found if loss.is_beyond_chance] == ["0"]


def test_recall_losses_of_a_category_with_enough_tickets_are_forgiven_nothing() -> None:
    truth = ["a"] * 60 + ["b"] * 59

    found = recall_losses(truth, ["b"] * 2 + truth[2:], truth)

    assert (found[0].support, found[0].by_chance, found[0].is_beyond_chance) == (60, 0, True)
    assert (found[1].support, found[1].by_chance > 0) == (59, True)


def test_recall_losses_are_not_forgiven_because_every_category_loses() -> None:
    """Two of five tickets turn in each of ten categories: as the rate of the others that would be chance."""
    truth = [str(slug) for slug in range(10) for _ in range(50)]
    ours = ["?" if number % 5 < 2 else slug for number, slug in enumerate(truth)]

    assert all(loss.is_beyond_chance for loss in recall_losses(truth, ours, truth))
