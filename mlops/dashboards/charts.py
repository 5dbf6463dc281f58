"""Charts as data: what static/js/charts.js draws and the table under each chart says. Every text is made here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["primary", "second", "good", "warn", "bad", "muted"]
Kind = Literal["line", "bar", "across"]
N_TICKS = 4  # steps of an axis: few enough to read on a phone


@dataclass(frozen=True)
class Figure:
    """One figure of a page: what it is, its value with the unit, and what it is made of. tone: "" says nothing."""

    title: str
    value: str
    more: str = ""
    tone: Literal["", "good", "warn", "bad"] = ""


@dataclass(frozen=True)
class Series:
    """One line or set of bars. values: None where there is nothing; texts: each value as people read it."""

    name: str
    values: Sequence[float | None]
    texts: Sequence[str]
    tone: Tone = "primary"
    kind: Literal["", "line", "bar", "dashes"] = ""  # another kind than the chart's; dashes: a threshold or a diagonal


@dataclass(frozen=True)
class Tick:
    """A mark of an axis."""

    value: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart. name: its id on the page; reading: a sentence that says how to read it; unit: of its values.

    kind: "across" has its bars lie, for names that are long. ticks: of the axis of the values, the first its start and
    the last its end. links: an address for each label, which a click opens.
    """

    name: str
    title: str
    unit: str
    reading: str
    labels: Sequence[str]
    series: Sequence[Series]
    ticks: Sequence[Tick]
    kind: Kind = "line"
    label_title: str = "Time"
    is_stacked: bool = False
    links: Sequence[str] = field(default=())

    @property
    def spec_id(self) -> str:
        return f"chart-{self.name}"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw: no label, or no value that is not 0."""
        return not any(value for series in self.series for value in series.values)

    @property
    def spec(self) -> dict[str, Any]:
        """What charts.js reads."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "stacked": self.is_stacked,
            "links": list(self.links),
            "ticks": [{"value": tick.value, "text": tick.text} for tick in self.ticks],
            "series": [
                {
                    "name": series.name,
                    "values": list(series.values),
                    "texts": list(series.texts),
                    "tone": series.tone,
                    "kind": series.kind or ("bar" if self.kind == "across" else self.kind),
                }
                for series in self.series
            ],
        }

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """The chart as a table: a label and a text of each series, without the labels that have nothing."""
        columns = zip(*(series.texts for series in self.series), strict=True)
        values = zip(*(series.values for series in self.series), strict=True)
        return [
            (label, list(texts))
            for label, texts, found in zip(self.labels, columns, values, strict=True)
            if any(value for value in found)
        ]


def ticks_to(highest: float, text: Callable[[float], str], *, whole: bool = False) -> list[Tick]:
    """Round ticks from 0 to the first that is not below the highest value. whole: no parts of one, as of counts.

    >>> [tick.text for tick in ticks_to(37, "{:.0f}".format)]
    ['0', '10', '20', '30', '40']
    >>> [tick.text for tick in ticks_to(0, "{:.0f}".format, whole=True)]
    ['0', '1']
    """
    step = _round_step(highest / N_TICKS) if highest > 0 else 1.0
    step = max(step, 1.0) if whole else step
    n = max(1, math.ceil(highest / step - 1e-9))
    return [Tick(round(step * place, 10), text(round(step * place, 10))) for place in range(n + 1)]


def ticks_between(lowest: float, highest: float, text: Callable[[float], str]) -> list[Tick]:
    """Round ticks around 0 that hold both values, for differences that may fall below nothing.

    >>> [tick.text for tick in ticks_between(-0.01, 0.05, "{:.2f}".format)]
    ['-0.02', '0.00', '0.02', '0.04', '0.06']
    """
    low, high = min(0.0, lowest), max(0.0, highest)
    step = _round_step((high - low) / N_TICKS) if high > low else 1.0
    first, last = math.floor(low / step + 1e-9), max(1, math.ceil(high / step - 1e-9))
    return [Tick(round(step * place, 10), text(round(step * place, 10))) for place in range(first, last + 1)]


def _round_step(step: float) -> float:
    """The next of 1, 2, 2.5, 5 and 10 times a power of ten that is not below the step."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step - 1e-12)


def whole_number(value: float) -> str:
    """A count with thousands set off.

    >>> whole_number(12000.0)
    '12,000'
    """
    return f"{value:,.0f}"


def percent(value: float) -> str:
    """A share as whole percent, for ticks.

    >>> percent(0.25)
    '25 %'
    """
    return f"{value * 100:.0f} %"


SHARES = tuple(Tick(value / 4, percent(value / 4)) for value in range(5))


def highest_of(series: Iterable[Series], *, stacked: bool = False) -> float:
    """The highest value that is drawn, 0 if there is none; stacked: of the values that stand on each other."""
    columns = [[value or 0.0 for value in each.values] for each in series]
    sums = [sum(values) if stacked else max(values) for values in zip(*columns, strict=True)]
    return max(sums, default=0.0)
