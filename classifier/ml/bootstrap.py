"""How sure a number is: percentile bootstrap over tickets, and Wilson's interval where counts are all there is.

Which numbers, is said by scoring.py and comparison.py.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

RESAMPLES = 2_000  # with another seed an end then moves by less than a tenth of the standard error
LEVEL = 0.95
NORMAL_QUANTILE = 1.959964  # of (1 + LEVEL) / 2
SEED = 0  # of its own, and not the training's: the intervals of a version come out again whatever SEED is set to
AT_ONCE = 4_000_000  # numbers of one batch of resamples: 32 MB, whatever the number of tickets

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]
Statistics = Callable[[Numbers], Mapping[str, Numbers]]


@dataclass(frozen=True)
class Interval:
    """Where a number lies in 95 of 100 draws of as many tickets."""

    low: float
    high: float


def intervals(kinds: Counts, statistics: Statistics, *, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """The 95 % percentile intervals of statistics of tickets that are drawn anew, with replacement.

    kinds: tickets of each kind, shape (n_kinds,); tickets that no statistic tells apart are one kind. To draw n tickets
    one by one, or at once how many are drawn of each kind (multinomial), is the same; the second costs what the kinds
    cost, which are few. statistics: from drawn numbers of tickets, shape (n_draws, n_kinds), to named values, each of
    shape (n_draws,).
    The same kinds give the same intervals, bit by bit. Raises ValueError if there is no ticket.
    Source: Efron & Tibshirani, An introduction to the bootstrap, 1993, section 13.3.

    >>> def share(drawn):
    ...     return {"share": drawn[:, 0] / drawn.sum(axis=1)}
    >>> found = intervals(np.array([80, 20]), share)["share"]  # 0.8 +- 1.96 x 0.04
    >>> round(found.low, 2), round(found.high, 2)
    (0.72, 0.88)
    """
    if not kinds.sum():
        raise ValueError("An interval needs at least one ticket to draw; there is none. Give the tickets.")
    drawn: dict[str, list[Numbers]] = {}
    for batch in _draws(kinds, resamples=resamples):
        for name, values in statistics(batch).items():
            drawn.setdefault(name, []).append(values)
    return {name: _percentiles(np.concatenate(parts)) for name, parts in drawn.items()}


def mean_interval(values: Numbers, *, resamples: int = RESAMPLES) -> Interval:
    """The same of the mean of a number that each ticket has, shape (n_tickets,).

    >>> mean_interval(np.full(50, 0.25))
    Interval(low=0.25, high=0.25)
    """
    chance = np.random.RandomState(SEED)
    rows = max(1, AT_ONCE // len(values))
    parts = [
        values[chance.randint(len(values), size=(min(rows, resamples - start), len(values)))].mean(axis=1)
        for start in range(0, resamples, rows)
    ]
    return _percentiles(np.concatenate(parts))


def wilson(n_right: int, n: int) -> Interval:
    """The 95 % interval of a share that n_right of n tickets show; at 0 and at n of n, too, it has a width.

    Raises ValueError if there is no ticket, or fewer than are right.
    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).

    >>> found = wilson(45, 50)
    >>> round(found.low, 3), round(found.high, 3)
    (0.786, 0.957)
    """
    if not 0 <= n_right <= n or not n:
        raise ValueError(
            f"A share needs at least one ticket, and no more right ones than there are; got {n_right} of {n}."
        )
    share, z = n_right / n, NORMAL_QUANTILE
    middle = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At 0 and at n of n an end is a rounding error away from 0 or 1.
    return Interval(low=max(0.0, (middle - half) / (1 + z**2 / n)), high=min(1.0, (middle + half) / (1 + z**2 / n)))


def membership(places: Counts, n_places: int) -> csr_array:
    """The matrix that sums kinds by their place: drawn (n_draws, n_kinds) @ it is (n_draws, n_places)."""
    kinds = np.arange(len(places))
    return csr_array((np.ones(len(places)), (kinds, places)), shape=(len(places), n_places))


def _draws(kinds: Counts, *, resamples: int) -> Iterator[Numbers]:
    # RandomState, because its stream is frozen for good (NEP 19): stored intervals come out again with a later numpy.
    chance = np.random.RandomState(SEED)
    n_tickets = int(kinds.sum())
    rows = max(1, AT_ONCE // len(kinds))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        yield chance.multinomial(n_tickets, kinds / n_tickets, size=size).astype(np.float64)


def _percentiles(values: Numbers) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(low=float(low), high=float(high))
