"""The calls of the predict route in a range of time: how many, how they ended, how long they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from classifier import rollups
from classifier.rollups import RequestCounts
from classifier.wording import milliseconds
from mlops.dashboards.charts import Chart, Series, Tone, highest_of, ticks_to, whole_number
from mlops.dashboards.filters import Filters, Steps, steps

ROUTE = "predict"  # the calls that bring tickets; what pages and scripts ask besides says nothing about the service
TONES: dict[str, Tone] = {"ok": "primary", "4xx": "warn", "5xx": "bad"}
NAMES = {"ok": "answered", "4xx": "refused (4xx)", "5xx": "failed (5xx)"}


def kind_of(status: int) -> str:
    """The class of a status, by the names of filters.STATUSES.

    >>> kind_of(200), kind_of(409), kind_of(503)
    ('ok', '4xx', '5xx')
    """
    return "5xx" if status >= 500 else "4xx" if status >= 400 else "ok"


@dataclass(frozen=True)
class Traffic:
    """The calls of a range, as they were rolled up, and the steps of the charts over it."""

    rows: Sequence[RequestCounts]
    steps: Steps

    def count(self, *kinds: str) -> int:
        """The calls of these classes of status; of none, all."""
        return sum(row.count for row in self.rows if not kinds or kind_of(row.status) in kinds)

    def share(self, kind: str) -> float | None:
        n = self.count()
        return self.count(kind) / n if n else None

    def quantile(self, share: float) -> float | None:
        """The latency in ms that this share of the answered calls stayed within; None without any."""
        return rollups.quantile(self._latencies, share)

    @property
    def answered(self) -> list[RequestCounts]:
        return [row for row in self.rows if kind_of(row.status) == "ok"]

    def per_step(self, kind: str) -> list[int]:
        """The calls of one class of status in each step."""
        found = [0] * len(self.steps.starts)
        for row in self.rows:
            if kind_of(row.status) == kind:
                found[self.steps.place(row.starts_at)] += row.count
        return found

    def quantiles_per_step(self, share: float) -> list[float | None]:
        """The latency in ms that this share of each step's answered calls stayed within; None where there are none."""
        return [rollups.quantile(found, share) for found in self._latencies_per_step]

    # A month has 70,000 counts by latency: they are added up once, and not for each quantile that is shown.
    @cached_property
    def _latencies_per_step(self) -> list[Counter[int]]:
        by_step: list[list[RequestCounts]] = [[] for _ in self.steps.starts]
        for row in self.answered:
            by_step[self.steps.place(row.starts_at)].append(row)
        return [merged(row.latencies for row in found) for found in by_step]

    @cached_property
    def _latencies(self) -> Counter[int]:
        return merged(self._latencies_per_step)


def merged(latencies: Iterable[Mapping[int, int]]) -> Counter[int]:
    """All calls by the bucket of their latency."""
    found: Counter[int] = Counter()
    for each in latencies:
        found.update(each)
    return found


def read(filters: Filters, *, status: str = "") -> Traffic:
    """The calls of the filters' range. Demo calls if they ask for those, else the real ones. status: of one class."""
    rows = rollups.requests(
        filters.since, filters.until, grain=filters.range.grain, is_demo=filters.is_demo, route=ROUTE
    )
    rows = [row for row in rows if not status or kind_of(row.status) == status]
    return Traffic(rows=rows, steps=steps_of(filters, (row.starts_at for row in rows)))


def steps_of(filters: Filters, moments: Iterable[datetime]) -> Steps:
    """The steps of the filters' range; for all time from the first moment on."""
    since = min(moments, default=filters.until) if filters.range.span is None else filters.since
    return steps(since, filters.until, filters.range.step)


# --- Charts ---------------------------------------------------------------------------------------
def over_time(traffic: Traffic) -> Chart:
    """Calls per step, by how they ended."""
    series = [
        Series(NAMES[kind], counts, [whole_number(count) for count in counts], tone, "bar")
        for kind, tone in TONES.items()
        if any(counts := traffic.per_step(kind)) or kind == "ok"
    ]
    return Chart(
        name="requests",
        title="Requests over time",
        unit=f"requests per {in_words(traffic.steps.step)}",
        reading="Each bar is one step of time. A gap is a time without calls; red is what failed on our side.",
        labels=traffic.steps.labels,
        series=series,
        ticks=ticks_to(highest_of(series, stacked=True), whole_number, whole=True),
        kind="bar",
        is_stacked=True,
    )


def latency_over_time(traffic: Traffic) -> Chart:
    """The median and the 95th percentile per step."""
    series = [
        _latencies("p95, slowest twentieth begins", traffic.quantiles_per_step(0.95), "primary"),
        _latencies("p50, half is faster", traffic.quantiles_per_step(0.5), "second"),
    ]
    return Chart(
        name="latency",
        title="Latency over time",
        unit="milliseconds, of answered requests",
        reading="p95: 19 of 20 requests were faster. If only p95 rises, a few calls are slow; if both do, all are.",
        labels=traffic.steps.labels,
        series=series,
        ticks=ticks_to(highest_of(series), milliseconds_tick),
    )


def _latencies(name: str, values: Sequence[float | None], tone: Tone) -> Series:
    return Series(name, values, [milliseconds(value) for value in values], tone)


def milliseconds_tick(value: float) -> str:
    """A latency on an axis.

    >>> milliseconds_tick(2.5), milliseconds_tick(1500.0)
    ('2.5 ms', '1.5 s')
    """
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def in_words(step: timedelta) -> str:
    """A step of time in words.

    >>> in_words(timedelta(minutes=1)), in_words(timedelta(hours=6))
    ('minute', '6 hours')
    """
    units: tuple[tuple[str, timedelta], ...] = (
        ("day", timedelta(days=1)),
        ("hour", timedelta(hours=1)),
        ("minute", timedelta(minutes=1)),
    )
    unit, length = next((unit, length) for unit, length in units if step >= length)
    n = step // length
    return unit if n == 1 else f"{n} {unit}s"
