"""Two models on the same tickets: what of a difference may be chance. Each one's own scores are scoring.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p

import numpy as np

from classifier.ml.bootstrap import LEVEL, SEED, Interval, Numbers, intervals, membership
from classifier.ml.scoring import BINS, bin_of, of_cells

# With so many tickets a loss of 0.1 is 3.4 standard errors of what two equal models do (below), and is taken as it is.
ENOUGH = 60
# The share of tickets that one of two equal models answers rightly and the other wrongly: 0.05 was measured on the
# shipped tickets. A candidate that turns over more, everywhere, must not be forgiven more for it.
MOST_TURNED = 0.05
SIMULATED = 500  # the 95th percentile then stands to a twentieth of itself


@dataclass(frozen=True)
class Loss:
    """What one category loses: tickets answered rightly before and after, of how many.

    by_chance: net losses that a category of this size has by chance alone, in 95 of 100 comparisons of all categories;
    0 from ENOUGH tickets on.
    """

    category: str
    before: int
    after: int
    support: int
    by_chance: int

    @property
    def recall(self) -> float:
        """The recall lost; below 0 for a gain."""
        return (self.before - self.after) / self.support

    @property
    def is_beyond_chance(self) -> bool:
        return self.before - self.after > self.by_chance


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


def recall_losses(truth: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> list[Loss]:
    """What each category of the truth loses from their answers to ours, in the order of the categories.

    Two trainings turn some tickets over without meaning anything: the rate at which the tickets of all the other
    categories turn from right to wrong says how many, MOST_TURNED at most, and a single one is never beyond chance. The
    level is parted among the categories (Bonferroni): of 77 there is always one that lost by chance what one alone
    would not. A category of ENOUGH tickets is forgiven nothing.

    >>> truth = ["a"] * 40 + ["b"] * 40
    >>> found = recall_losses(truth, ["a"] * 30 + ["b"] * 50, truth)[0]
    >>> found.recall, found.by_chance, found.is_beyond_chance
    (0.25, 2, True)
    """
    true, now, then = (np.array(column, dtype=object) for column in (truth, ours, theirs))
    names, place = np.unique(true, return_inverse=True)
    was_right, is_right = true == then, true == now
    before, after, turned, support = (
        np.bincount(place[which], minlength=len(names))
        for which in (was_right, is_right, was_right & ~is_right, slice(None))
    )
    # Half a ticket more, so that a rate is never nothing because few were looked at.
    rates = np.minimum((turned.sum() - turned + 0.5) / (before.sum() - before + 1), MOST_TURNED)
    level = 1 - (1 - LEVEL) / len(names)
    by_chance = [
        0 if n_tickets >= ENOUGH else max(1, _most(n_right, rate, level=level))
        for n_tickets, n_right, rate in zip(support.tolist(), before.tolist(), rates.tolist(), strict=True)
    ]
    columns = (before.tolist(), after.tolist(), support.tolist(), by_chance)
    return [Loss(str(name), *counts) for name, *counts in zip(names, *columns, strict=True)]


def _most(n: int, rate: float, *, level: float) -> int:
    """The quantile of a binomial count; in logarithms, as of 15,000 tickets the single chances are beyond a float.

    >>> _most(4, 0.5, level=0.9)  # 15 of 16 draws have at most three
    3
    >>> _most(15_000, 0.04, level=0.95)  # 600 + 1.645 x 24
    640
    """
    reached = 0.0
    for count in range(n):
        ways = lgamma(n + 1) - lgamma(count + 1) - lgamma(n - count + 1)
        reached += exp(ways + count * log(rate) + (n - count) * log1p(-rate))
        if reached >= level:
            return count
    return n
