"""From which confidence on a category's answers can go without a review: solved from answers whose truth is known.

Applying the thresholds is deciding.py; whose answers they are solved on is mlops/tuning.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.ml.deciding import LEAST_LETTERS, LEAST_MARGIN, UNKNOWN_LIMITS, Rules, margins
from classifier.ml.model import Answers

OWN_TICKETS = 60  # validation tickets from which a category has a threshold of its own; below, the pooled one
# The criterion was chosen by trying it: thresholds solved on validation, counted on test, at the targets 0.90, 0.95 and
# 0.98, in 119 fits on the shipped tickets (whole, halved, and with the weaker recipe `original`) and on five sets of
# other people's tickets with 4 to 77 categories. It fails if the target is above the 95 % interval of what test shows.
#   share of right answers on validation reaches the target    fails 25 of 357; covers 0.81 of the shipped at 0.95
#   Wilson's lower bound, one standard error                          8 of 357;        0.66
#   Wilson's lower bound, 95 %                                        0 of 357;        0.35, and nothing at 0.98
#   the one below: the confidences count in                           1 of 357;        0.70
# A scan over 84 tickets finds the lucky one; the confidences, calibrated on all tickets, steady the estimate.
PRIOR_TICKETS = 20  # what the confidences are worth, in tickets; 10 and 40 did as well
STANDARD_ERRORS = 1.0
LEAST_ANSWERS = 20  # above a threshold: fewer would say less than the prior does
LEAST_CONFIDENCE = 0.5  # an answer that is likelier wrong than right passes no target, whatever the others balance
UNKNOWN_QUANTILE = 0.97  # of the validation tickets' shares of unknown words: what is normal for these tickets
# Decimals kept; rounded down, so that an answer passes the threshold that was made of it.
PLACES = {"confidence": 6, "margin": 4, "unknown": 4}
LETTERS_COUNTED = 9

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """What a model said of held-out tickets, column by column: all that thresholds are solved from, for any target.

    truth, guess: indices into categories; confidence, margin, unknown: 0.0 to 1.0; letters: counted up to nine. Each of
    shape (n_tickets,). 15,000 tickets are 0.6 MB as JSON.
    """

    categories: tuple[str, ...]
    truth: Indices
    guess: Indices
    confidence: Numbers
    margin: Numbers
    unknown: Numbers
    letters: Indices

    @classmethod
    def of(cls, answers: Answers, *, texts: Sequence[str], truth: Sequence[str]) -> "Held":
        """The columns of answers. Raises ValueError for a truth that is none of the model's categories."""
        place = {slug: index for index, slug in enumerate(answers.categories)}
        unknown = sorted(set(truth) - set(place))
        if unknown:
            raise ValueError(
                f"Thresholds are solved on tickets of the model's categories; {', '.join(map(repr, unknown))} are none "
                "of them. Leave these tickets out."
            )
        confidences = np.array(answers.confidences, dtype=np.float64)
        letters = [min(sum(map(str.isalpha, text)), LETTERS_COUNTED) for text in texts]
        return cls(
            categories=answers.categories,
            truth=np.array([place[slug] for slug in truth], dtype=np.int64),
            guess=answers.best,
            confidence=_rounded_down(confidences, PLACES["confidence"]),
            margin=_rounded_down(margins(answers.probabilities), PLACES["margin"]),
            unknown=_rounded_down(answers.unknown, PLACES["unknown"]),
            letters=np.array(letters, dtype=np.int64),
        )

    def as_dict(self) -> dict[str, Any]:
        """The columns in plain JSON types."""
        plain = {name: column.tolist() for name, column in vars(self).items() if name != "categories"}
        return {"categories": list(self.categories), **plain}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Held":
        """The columns that as_dict() gave. Raises KeyError if one is missing."""
        columns: dict[str, Any] = {
            name: np.array(plain[name], dtype=np.float64 if name in PLACES else np.int64)
            for name in ("truth", "guess", "confidence", "margin", "unknown", "letters")
        }
        return cls(categories=tuple(plain["categories"]), **columns)

    def is_clear(self, *, unknown_limit: float, least_margin: float = LEAST_MARGIN) -> NDArray[np.bool_]:
        """Which answers nothing but a threshold can send to review."""
        is_legible = (self.letters >= LEAST_LETTERS) & (self.unknown <= unknown_limit)
        return is_legible & (self.margin >= least_margin)


@dataclass(frozen=True)
class Trade:
    """What one gets for what: of so many answers so many were automatic, and so many of those right."""

    n_answers: int
    n_automatic: int
    n_right: int

    @property
    def coverage(self) -> float:
        return self.n_automatic / self.n_answers if self.n_answers else 0.0

    @property
    def precision(self) -> float | None:
        """The share of the automatic answers that were right; None if none was automatic."""
        return self.n_right / self.n_automatic if self.n_automatic else None

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "coverage": self.coverage, "precision": self.precision}


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One category's. threshold: None if the target is out of reach: review only. pooled: solved on all categories.

    n_tickets: validation tickets that are truly of it; the trade's answers are those that name it.
    """

    threshold: float | None
    target: float
    pooled: bool
    n_tickets: int
    trade: Trade

    def as_dict(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if name != "trade"}
        return {**plain, **self.trade.as_dict()}


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The thresholds of all categories, and what they give on the tickets that they were solved on."""

    target: float
    unknown_limit: float
    per_category: Mapping[str, Threshold]
    whole: Trade
    least_margin: float = field(default=LEAST_MARGIN)

    def as_dict(self) -> dict[str, Any]:
        """In plain JSON types: what a version keeps, and what Rules.of() reads."""
        per_category = {slug: threshold.as_dict() for slug, threshold in self.per_category.items()}
        return {**vars(self), "per_category": per_category, "whole": self.whole.as_dict()}


def solve(held: Held, *, target: float, own: Mapping[str, float] | None = None) -> Thresholds:
    """The least thresholds with which each category's automatic answers can be expected to reach their target.

    target: precision, above 0 and below 1. own: targets of single categories, which go before it. A category with fewer
    than OWN_TICKETS tickets takes the threshold that all categories together need for its target.
    Raises ValueError for a target that is no such share.
    """
    wanted = {slug: (own or {}).get(slug, target) for slug in held.categories}
    wrong = sorted({share for share in (target, *wanted.values()) if not 0 < share < 1})
    if wrong:
        raise ValueError(
            f"A target precision is a share above 0 and below 1, such as 0.95; {wrong[0]:g} is not. Name another."
        )
    limit = unknown_limit(held.unknown)
    is_clear, right = held.is_clear(unknown_limit=limit), held.truth == held.guess
    pooled = {share: least(held.confidence[is_clear], right[is_clear], target=share) for share in {*wanted.values()}}
    found = {}
    for index, (slug, share) in enumerate(wanted.items()):
        n_tickets = int((held.truth == index).sum())
        is_pooled = n_tickets < OWN_TICKETS
        here = is_clear & (held.guess == index)
        threshold = pooled[share] if is_pooled else least(held.confidence[here], right[here], target=share)
        found[slug] = Threshold(
            threshold=threshold, target=share, pooled=is_pooled, n_tickets=n_tickets, trade=Trade(0, 0, 0)
        )
    unmeasured = Thresholds(target=target, unknown_limit=limit, per_category=found, whole=Trade(0, 0, 0))
    whole, trades = measure(held, Rules.of(unmeasured.as_dict(), held.categories))
    measured = {slug: replace(threshold, trade=trades[slug]) for slug, threshold in found.items()}
    return replace(unmeasured, per_category=measured, whole=whole)


def measure(held: Held, rules: Rules) -> tuple[Trade, dict[str, Trade]]:
    """What rules give on answers whose truth is known: of all, and of those that name each category."""
    is_clear = held.is_clear(unknown_limit=rules.unknown_limit, least_margin=rules.least_margin)
    automatic = is_clear & (held.confidence >= rules.thresholds[held.guess])
    right = automatic & (held.truth == held.guess)
    counts = [np.bincount(held.guess[kept], minlength=len(held.categories)).tolist() for kept in (automatic, right)]
    answers = np.bincount(held.guess, minlength=len(held.categories)).tolist()
    trades = [Trade(*numbers) for numbers in zip(answers, *counts, strict=True)]
    whole = Trade(len(held.guess), int(automatic.sum()), int(right.sum()))
    return whole, dict(zip(held.categories, trades, strict=True))


def least(confidences: Numbers, right: NDArray[np.bool_], *, target: float) -> float | None:
    """The least threshold from which on the answers reach the target, by a cautious estimate; None if none does.

    confidences, right: of some answers, shape (n,). The precision of those at or above a threshold is estimated by the
    mean of their being right and, counted as PRIOR_TICKETS more tickets, of their confidences; by their confidences if
    those promise less; and one standard error is taken off.
    Source: the scan is that of Geifman & El-Yaniv, Selective classification for deep neural networks, NeurIPS 2017;
    the estimate is a beta posterior (Gelman et al., Bayesian data analysis, section 2.4), the model's word its prior.

    >>> least(np.array([0.99] * 60 + [0.8] * 40), np.array([True] * 60 + [False] * 40), target=0.95)
    0.99
    >>> least(np.array([0.99] * 10), np.array([True] * 10), target=0.95) is None  # too few to tell
    True
    """
    order = np.argsort(-confidences, kind="stable")
    falling = confidences[order]
    count = np.arange(1, len(order) + 1)
    promised = falling.cumsum() / count
    counted = (right[order].cumsum() + PRIOR_TICKETS * promised) / (count + PRIOR_TICKETS)
    expected = np.minimum(np.minimum(counted, promised), 1.0)  # a mean of ones may be 1 + 1e-16
    cautious = expected - STANDARD_ERRORS * np.sqrt(expected * (1 - expected) / (count + PRIOR_TICKETS))
    is_last = np.append(falling[1:] < falling[:-1], True)[: len(order)]  # a threshold takes all that are equal to it
    fits = is_last & (cautious >= target) & (count >= LEAST_ANSWERS) & (falling >= LEAST_CONFIDENCE)
    return float(falling[fits.nonzero()[0][-1]]) if fits.any() else None


def unknown_limit(shares: Numbers) -> float:
    """The share of unknown words above which a text is not understood, from the shares of tickets that were.

    Their 0.97 quantile, within UNKNOWN_LIMITS. 1.0, that is no limit, if most of them are above: then words are not set
    apart by spaces in their language, and each sentence is an unknown word.

    >>> unknown_limit(np.zeros(100)), unknown_limit(np.full(100, 0.42)), unknown_limit(np.full(100, 0.9))
    (0.35, 0.42, 1.0)
    """
    low, high = UNKNOWN_LIMITS
    if not len(shares) or np.median(shares) > high:
        return 1.0 if len(shares) else low
    normal = ceil(round(float(np.quantile(shares, UNKNOWN_QUANTILE)) * 100, 6)) / 100
    return min(max(normal, low), high)


def _rounded_down(values: Numbers, places: int) -> Numbers:
    floored: Numbers = np.floor(values * 10**places) / 10**places
    return floored
