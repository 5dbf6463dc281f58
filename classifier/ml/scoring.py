"""How good answers are, given the truth: accuracy, precision, recall, F1, confusion, log-loss, calibration, coverage.

Who is scored on which tickets is mlops/evaluation.py; this is the arithmetic alone. Intervals are bootstrap.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifier.ml.bootstrap import Interval, Statistics, intervals, mean_interval, membership

POINTS = 50  # of a curve: enough to draw it and to read a threshold off, and 3 kB of JSON
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


@dataclass(frozen=True)
class Point:
    """What answering alone from a confidence on would give: the share answered, and how much of that is right."""

    threshold: float
    coverage: float
    precision: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one model on some tickets. What divides by zero is 0.0.

    macro_*: means over the categories that occur in the truth. weighted_*: the same, weighted by support.
    confusion: tickets by truth (rows) and guess (columns), both in the order of confusion_categories.
    log_loss in nats, calibration_error (ECE), reliability and coverage: None and empty without probabilities.
    unknown_truth: tickets whose truth the model does not know; they count as wrong.
    coverage: from the highest threshold, which few reach, to the lowest, at which all are answered.
    intervals: the 95 % bootstrap intervals of accuracy, the averages and log_loss; empty if none were asked for. The
    calibration error has none: draws repeat tickets, which it takes for miscalibration, so they would lie above it.
    Coverage and intervals are empty in scores that were stored before there were any.
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
    coverage: tuple[Point, ...] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The scores in plain JSON types; the confusion is {"categories": [...], "matrix": [[...]]}."""
        plain = asdict(self)
        matrix = [list(row) for row in self.confusion]
        plain["confusion"] = {"categories": list(plain.pop("confusion_categories")), "matrix": matrix}
        plain["reliability"], plain["coverage"] = list(plain["reliability"]), list(plain["coverage"])
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Scores":
        """The scores that as_dict() gave, now or before there were coverage and intervals.

        Raises KeyError or TypeError if another field is missing, or one is unknown.
        """
        fields = dict(plain)
        confusion = fields.pop("confusion")
        fields["per_category"] = {slug: CategoryScores(**scores) for slug, scores in fields["per_category"].items()}
        fields["reliability"] = tuple(Bin(**row) for row in fields["reliability"])
        fields["coverage"] = tuple(Point(**row) for row in fields.get("coverage", ()))
        fields["intervals"] = {name: Interval(**ends) for name, ends in fields.get("intervals", {}).items()}
        fields["confusion_categories"] = tuple(confusion["categories"])
        fields["confusion"] = tuple(tuple(row) for row in confusion["matrix"])
        return cls(**fields)


def score(
    truth: Sequence[str],
    guess: Sequence[str],
    probabilities: ArrayLike | None = None,
    *,
    categories: Sequence[str],
    resamples: int = 0,
) -> Scores:
    """Compares guesses with the truth, ticket by ticket.

    categories: those the model can answer. probabilities: shape (n_tickets, n_categories), columns in their order.
    resamples: how often tickets are drawn anew for the intervals; with 0 there are none.
    A truth (or guess) outside of the categories is wrong, gets its row in the confusion, and the floor in the log-loss.
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
    known = rows < len(categories)
    right = (rows == columns) & known
    losses = None if table is None else _losses(table, rows=rows, known=known)
    bins = () if table is None else reliability(table.max(axis=1), right)
    return Scores(
        n_tickets=len(truth),
        accuracy=float(right.sum() / len(truth)),
        **_averages(confusion, n_known=len(categories)),
        log_loss=None if losses is None else float(losses.mean()),
        calibration_error=None if table is None else calibration_error(bins),
        unknown_truth=int((~known).sum()),
        per_category=_per_category(names, confusion, n_known=len(categories)),
        confusion_categories=names,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        reliability=bins,
        coverage=() if table is None else coverage(table.max(axis=1), right),
        intervals=_intervals(confusion, losses, n_known=len(categories), resamples=resamples) if resamples else {},
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


def averages(hits: ArrayLike, support: ArrayLike, guessed: ArrayLike) -> dict[str, Numbers]:
    """Macro and weighted precision, recall and F1 of counts by category, along the last axis.

    hits, support, guessed: tickets answered rightly, truly of, and answered as each category, (..., n_categories).

    >>> found = averages([2, 1], [3, 1], [2, 2])  # recall 2/3 and 1, precision 1 and 1/2
    >>> found["macro_recall"].round(3).item(), found["weighted_precision"].item()
    (0.833, 0.875)
    """
    hit, true, said = (np.asarray(counts, dtype=np.float64) for counts in (hits, support, guessed))
    occurs = true > 0
    found = {}
    for name, values in (("precision", _ratio(hit, said)), ("recall", _ratio(hit, true)), ("f1", _f1(hit, true, said))):
        found[f"macro_{name}"] = (values * occurs).sum(axis=-1) / occurs.sum(axis=-1)
        found[f"weighted_{name}"] = (values * true).sum(axis=-1) / true.sum(axis=-1)
    return found


def bin_of(confidences: Numbers) -> Counts:
    """The place of each confidence's bin, 0 to 14; a bin is open below and closed above."""
    return np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)


def reliability(confidences: Numbers, right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """All 15 bins, the empty ones too, so that a chart has every bar. 0.0 falls into the first."""
    which = bin_of(confidences)
    counts = np.bincount(which, minlength=BINS)
    confidence = _ratio(np.bincount(which, weights=confidences, minlength=BINS), counts)
    accuracy = _ratio(np.bincount(which, weights=right, minlength=BINS), counts)
    rows = zip(counts.tolist(), confidence.tolist(), accuracy.tolist(), strict=True)
    return tuple(Bin(index / BINS, (index + 1) / BINS, *row) for index, row in enumerate(rows))


def coverage(confidences: Numbers, right: NDArray[np.bool_]) -> tuple[Point, ...]:
    """What answering alone gives at up to 50 thresholds, spread evenly over the tickets; the last answers all.

    A threshold is a confidence that occurred, and all answers of that confidence stand or fall together: a point
    between equal answers could never be had.

    >>> coverage(np.array([0.9, 0.6, 0.6, 0.4]), np.array([True, True, False, False]))[1]
    Point(threshold=0.6, coverage=0.75, precision=0.6666666666666666)
    """
    order = np.argsort(-confidences, kind="stable")
    falling, n_right = confidences[order], right[order].cumsum()
    ends = np.flatnonzero(np.append(np.diff(falling) != 0, True))  # the last answer of each confidence
    if len(ends) > POINTS:
        wanted = np.linspace(0, len(confidences) - 1, POINTS)
        ends = np.unique(ends[np.searchsorted(ends, wanted)])
    n = len(confidences)
    return tuple(
        Point(threshold=float(falling[end]), coverage=float((end + 1) / n), precision=float(n_right[end] / (end + 1)))
        for end in ends.tolist()
    )


def _counts(confusion: Counts, *, n_known: int) -> tuple[Counts, Counts, Counts]:
    """Hits, support and guesses of each category of the confusion, each of shape (n_names,)."""
    hits = np.diag(confusion).copy()
    hits[n_known:] = 0  # a truth the model does not know is never hit, even where a guess names it
    return hits, confusion.sum(axis=1), confusion.sum(axis=0)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Numbers:
    ratio: Numbers = np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
    return ratio


def _f1(hits: NDArray[Any], support: NDArray[Any], guessed: NDArray[Any]) -> Numbers:
    return _ratio(2 * hits, support + guessed)


def _averages(confusion: Counts, *, n_known: int) -> dict[str, float]:
    return {name: float(value) for name, value in averages(*_counts(confusion, n_known=n_known)).items()}


def _per_category(names: Sequence[str], confusion: Counts, *, n_known: int) -> dict[str, CategoryScores]:
    hits, support, guessed = _counts(confusion, n_known=n_known)
    columns = (_ratio(hits, guessed), _ratio(hits, support), _f1(hits, support, guessed), support)
    lists = [column.tolist() for column in columns]
    return {name: CategoryScores(*values) for name, *values in zip(names, *lists, strict=True)}


def _intervals(confusion: Counts, losses: Numbers | None, *, n_known: int, resamples: int) -> dict[str, Interval]:
    cells = confusion.nonzero()
    found = intervals(confusion[cells], of_cells(*cells, n_names=len(confusion), n_known=n_known), resamples=resamples)
    return found if losses is None else {**found, "log_loss": mean_interval(losses, resamples=resamples)}


def of_cells(rows: Counts, columns: Counts, *, n_names: int, n_known: int) -> Statistics:
    """Accuracy and the averages of drawn cells of a confusion. A category that no draw has is left out of its mean."""
    hit = (rows == columns) & (rows < n_known)
    of_truth, of_guess, of_hit = membership(rows, n_names), membership(columns, n_names), membership(rows[hit], n_names)

    def statistics(drawn: Numbers) -> dict[str, Numbers]:
        hits = drawn[:, hit] @ of_hit
        found = averages(hits, drawn @ of_truth, drawn @ of_guess)
        return {"accuracy": hits.sum(axis=1) / drawn.sum(axis=1), **found}

    return statistics


def _losses(table: Numbers, *, rows: Counts, known: NDArray[np.bool_]) -> Numbers:
    """-log probability of each ticket's truth, FLOOR for a truth that has no column."""
    given = np.full(len(rows), FLOOR)
    given[known] = np.maximum(table[np.flatnonzero(known), rows[known]], FLOOR)
    losses: Numbers = -np.log(given)
    return losses
