"""Two models on the same tickets: what of a difference may be chance. Each one's own scores are scoring.py."""

from collections.abc import Sequence

import numpy as np

from classifier.ml.bootstrap import LEVEL, SEED, Interval, Numbers, intervals, membership
from classifier.ml.scoring import BINS, bin_of, of_cells

SIMULATED = 500  # the 95th percentile then stands to a twentieth of itself


def macro_f1_gain(truth: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> Interval:
    """The 95 % interval of our macro-F1 less theirs, both of them scored on each draw of the tickets.

    truth, ours, theirs: the right category and both answers, ticket by ticket. To draw the tickets together keeps what
    the two have in common out of the difference: two models that err on the same tickets differ by nothing in any draw.
    Raises ValueError if there are no tickets or the lengths differ.
    Source: Efron & Tibshirani, An introduction to the bootstrap, 1993, section 8.3 (paired data are drawn in pairs).

    >>> truth = ["a", "b"] * 50
    >>> macro_f1_gain(truth, truth, truth)
    Interval(low=0.0, high=0.0)
    >>> found = macro_f1_gain(truth, truth, ["b", "a", *truth[2:]])  # theirs is wrong on two of a hundred
    >>> found.low, found.high < 0.06
    (0.0, True)
    """
    if not len(truth) == len(ours) == len(theirs):
        raise ValueError(
            f"A comparison needs two answers for each ticket; there are {len(truth)} tickets, {len(ours)} and "
            f"{len(theirs)} answers. Give the three lists in the same order."
        )
    names = sorted({*truth, *ours, *theirs})
    place = {name: index for index, name in enumerate(names)}
    table = np.array([[place[name] for name in column] for column in (truth, ours, theirs)], dtype=np.int64)
    kinds, counts = np.unique(table, axis=1, return_counts=True)
    our_scores = of_cells(kinds[0], kinds[1], n_names=len(names), n_known=len(names))
    their_scores = of_cells(kinds[0], kinds[2], n_names=len(names), n_known=len(names))

    def gain(drawn: Numbers) -> dict[str, Numbers]:
        return {"gain": our_scores(drawn)["macro_f1"] - their_scores(drawn)["macro_f1"]}

    return intervals(counts, gain)["gain"]


def honest_calibration_error(confidences: Numbers) -> float:
    """The calibration error that an honest model stays below in 95 of 100 draws of as many tickets.

    confidences: of the answers, shape (n_tickets,), each drawn right with just that probability. The fewer the tickets,
    the larger the error of a model without fault: at six of 0.55 it is no sign of anything.
    Raises ValueError if there is no ticket.
    Source: Broecker & Smith, Increasing the reliability of reliability diagrams, Weather and Forecasting 2007.

    >>> honest_calibration_error(np.full(6, 0.55)) > 0.3
    True
    >>> honest_calibration_error(np.full(10_000, 0.55)) < 0.02  # 1.96 x sqrt(0.55 x 0.45 / 10,000) = 0.01
    True
    """
    if not len(confidences):
        raise ValueError("A calibration error needs at least one answer; there is none. Give the confidences.")
    chance, bins = np.random.RandomState(SEED), membership(bin_of(confidences), BINS)
    errors = []
    for _ in range(SIMULATED):
        right = chance.random_sample(len(confidences)) < confidences
        errors.append(np.abs((confidences - right) @ bins).sum() / len(confidences))
    return float(np.quantile(errors, LEVEL))
