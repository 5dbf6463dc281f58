"""How good answers are, given the truth: accuracy, precision, recall, F1, confusion, log-loss and calibration.

Who is scored on which tickets is mlops/evaluation.py; this is the arithmetic alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15  # equal-width bins of confidence, as in the papers that report a calibration error (Guo et al. 2017)
FLOOR = 1e-15  # the least probability in a logarithm: a truth deemed impossible costs 34.5 nats, not infinity

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class CategoryScores:
    """One category's scores, 0.0 to 1.0; support is the number of tickets that are truly of it."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence lies in (low, high]: how many, how confident and how right on average."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one model on some tickets. What divides by zero is 0.0.

    macro_*: means over the categories that occur in the truth. weighted_*: the same, weighted by support.
    confusion: tickets by truth (rows) and guess (columns), both in the order of confusion_categories.
    log_loss in nats, calibration_error (ECE) and reliability: None, None and empty without probabilities.
    unknown_truth: tickets whose truth the model does not know; they count as wrong.
    """

    n_tickets: int
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float
    log_loss: float | None
    calibration_error: float | None
    unknown_truth: int
    per_category: Mapping[str, CategoryScores]
    confusion_categories: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[Bin, ...]

    def as_dict(self) -> dict[str, Any]:
        """The scores in plain JSON types; the confusion is {"categories": [...], "matrix": [[...]]}."""
        plain = asdict(self)
        matrix = [list(row) for row in self.confusion]
        plain["confusion"] = {"categories": list(plain.pop("confusion_categories")), "matrix": matrix}
        plain["reliability"] = list(plain["reliability"])
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Scores":
        """The scores that as_dict() gave. Raises KeyError or TypeError if a field is missing or unknown."""
        fields = dict(plain)
        confusion = fields.pop("confusion")
        fields["per_category"] = {slug: CategoryScores(**scores) for slug, scores in fields["per_category"].items()}
        fields["reliability"] = tuple(Bin(**row) for row in fields["reliability"])
        fields["confusion_categories"] = tuple(confusion["categories"])
        fields["confusion"] = tuple(tuple(row) for row in confusion["matrix"])
        return cls(**fields)


def score(
    truth: Sequence[str],
    guess: Sequence[str],
    probabilities: ArrayLike | None = None,
    *,
    categories: Sequence[str],
) -> Scores:
    """Compares guesses with the truth, ticket by ticket.

    categories: those the model can answer. probabilities: shape (n_tickets, n_categories), columns in their order.
    A truth (or guess) outside of them is wrong, gets its row in the confusion, and the floor in the log-loss.
    Raises ValueError if there are no tickets or the shapes differ.

    >>> scores = score(["a", "a", "b", "b"], ["a", "b", "b", "b"], categories=["a", "b"])
    >>> scores.accuracy, scores.per_category["a"]
    (0.75, CategoryScores(precision=1.0, recall=0.5, f1=0.6666666666666666, support=2))
    >>> scores.confusion
    ((1, 1), (0, 2))
    """
    table = None if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    _check(truth, guess, table, categories)
    names = (*categories, *sorted((set(truth) | set(guess)) - set(categories)))
    place = {name: index for index, name in enumerate(names)}
    rows = np.array([place[name] for name in truth], dtype=np.int64)
    columns = np.array([place[name] for name in guess], dtype=np.int64)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (rows, columns), 1)
    right = rows == columns
    known = rows < len(categories)
    bins = () if table is None else _reliability(table.max(axis=1), right & known)
    return Scores(
        n_tickets=len(truth),
        accuracy=float(right[known].sum() / len(truth)),
        **_averages(confusion, n_known=len(categories)),
        log_loss=None if table is None else _log_loss(table, rows=rows, known=known),
        calibration_error=None if table is None else calibration_error(bins),
        unknown_truth=int((~known).sum()),
        per_category=_per_category(names, confusion, n_known=len(categories)),
        confusion_categories=names,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        reliability=bins,
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the mean gap of confidence and accuracy over the bins, weighted by count.

    Source: Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.

    >>> round(calibration_error([Bin(0.0, 0.5, 1, 0.4, 0.0), Bin(0.5, 1.0, 3, 0.9, 1.0)]), 3)  # (0.4 + 3 x 0.1) / 4
    0.175
    """
    total = sum(row.count for row in bins)
    return sum(row.count * abs(row.confidence - row.accuracy) for row in bins) / total


def _check(truth: Sequence[str], guess: Sequence[str], table: Numbers | None, categories: Sequence[str]) -> None:
    if not len(truth) or len(truth) != len(guess):
        raise ValueError(
            f"Scoring needs at least one ticket, and one guess for each; there are {len(truth)} truths and "
            f"{len(guess)} guesses. Give both lists in the same order."
        )
    if table is not None and table.shape != (len(truth), len(categories)):
        raise ValueError(
            f"Scoring needs a probability for each ticket and category, {(len(truth), len(categories))}; the table is "
            f"{table.shape}. Give the columns in the order of the categories."
        )


def _rates(confusion: Counts, *, n_known: int) -> tuple[Numbers, Numbers, Numbers, Counts]:
    """Precision, recall, F1 and support of each category of the confusion, each of shape (n_names,)."""
    hits = np.diag(confusion).copy()
    hits[n_known:] = 0  # a truth the model does not know is never hit, even where a guess names it
    support, guessed = confusion.sum(axis=1), confusion.sum(axis=0)
    return _ratio(hits, guessed), _ratio(hits, support), _ratio(2 * hits, support + guessed), support


def _ratio(part: Counts, whole: Counts) -> Numbers:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _averages(confusion: Counts, *, n_known: int) -> dict[str, float]:
    precision, recall, f1, support = _rates(confusion, n_known=n_known)
    occurs = support > 0
    averages = {}
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        averages[f"macro_{name}"] = float(values[occurs].mean())
        averages[f"weighted_{name}"] = float((values * support).sum() / support.sum())
    return averages


def _per_category(names: Sequence[str], confusion: Counts, *, n_known: int) -> dict[str, CategoryScores]:
    columns = [values.tolist() for values in _rates(confusion, n_known=n_known)]
    return {name: CategoryScores(*values) for name, *values in zip(names, *columns, strict=True)}


def _log_loss(table: Numbers, *, rows: Counts, known: NDArray[np.bool_]) -> float:
    """The mean of -log probability of the truth, FLOOR for a truth that has no column."""
    given = np.full(len(rows), FLOOR)
    given[known] = np.maximum(table[np.flatnonzero(known), rows[known]], FLOOR)
    return float(-np.log(given).mean())


def _reliability(confidences: Numbers, right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """All 15 bins, the empty ones too, so that a chart has every bar. 0.0 falls into the first."""
    which = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(which, minlength=BINS)
    confidence = _ratio(np.bincount(which, weights=confidences, minlength=BINS), counts)
    accuracy = _ratio(np.bincount(which, weights=right, minlength=BINS), counts)
    rows = zip(counts.tolist(), confidence.tolist(), accuracy.tolist(), strict=True)
    return tuple(Bin(index / BINS, (index + 1) / BINS, *row) for index, row in enumerate(rows))
