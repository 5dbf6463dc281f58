"""Monitoring: how much is asked, how long answers take, what fails, and the answers one by one."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.db.models.functions import Trunc

from classifier import rollups
from classifier.models import Category, ModelVersion, Prediction, RefusalMinute
from classifier.rollups import AnswerCounts
from classifier.wording import counted, figure, milliseconds, share
from mlops.dashboards import traffic
from mlops.dashboards.charts import Chart, Figure, Series, Tone, highest_of, ticks_to, whole_number
from mlops.dashboards.filters import MINUTE, STATUSES, Filters, Steps
from mlops.dashboards.log import log
from mlops.dashboards.sources import sources
from mlops.dashboards.traffic import Traffic

REVIEW = Prediction.Decision.REVIEW.value
# Bars of the latency histogram: each edge about 1.4 times the one before, as people round; beyond lies one bar more.
EDGES = (0.5, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000)
OFFERS = ("range", "category", "version", "status", "words", "demo")
KINDS: tuple[tuple[str, Tone], ...] = (("4xx", "warn"), ("5xx", "bad"))


def monitoring(filters: Filters, *, before: int | None = None) -> dict[str, Any]:
    """All that the page shows. before: the id of a row of the log; the rows before it are listed."""
    calls = traffic.read(filters, status=filters.status)
    answers = rollups.answers(
        filters.since,
        filters.until,
        grain=filters.range.grain,
        is_demo=filters.is_demo,
        version_id=filters.version.pk if filters.version else None,
        category_id=filters.category.pk if filters.category else None,
    )
    steps = traffic.steps_of(filters, [*(row.starts_at for row in answers), *(row.starts_at for row in calls.rows)])
    away = turned_away(filters, steps)
    listed = log(filters, before=before)
    return {
        "has_any": bool(answers or calls.rows or sum(away) or listed.rows),
        "rate": rate_in_words(answers, since=max(filters.since, steps.starts[0]), until=filters.until),
        "lead": lead(calls),
        "figures": figures(calls, answers, away, steps),
        "charts": [throughput(answers, steps), errors(Traffic(calls.rows, steps), away)],
        "histogram": histogram(calls),
        "log": listed,
        "sources": sources(),
        "categories": list(Category.objects.values_list("slug", "name")),
        "versions": versions(is_demo=filters.is_demo),
        "statuses": list(STATUSES.items()),
    }


def versions(*, is_demo: bool) -> list[tuple[str, str]]:
    """The versions to choose from: number and words."""
    rows = ModelVersion.objects.filter(is_demo=is_demo).values_list("number", "status")
    return [
        (str(number), f"{number} ({status})" if status == ModelVersion.Status.PRODUCTION else str(number))
        for number, status in rows
    ]


def lead(calls: Traffic) -> str:
    """How fast and how safely, in a sentence."""
    if not calls.count():
        return "No request in this range."
    return f"19 of 20 requests took at most {milliseconds(calls.quantile(0.95))}; {share(calls.share('5xx'))} failed."


def rate_in_words(answers: Sequence[AnswerCounts], *, since: datetime, until: datetime) -> str:
    """Tickets answered per minute of the range."""
    rate = sum(row.count for row in answers) / max(1.0, (until - since) / MINUTE)
    return figure(rate, 2 if rate < 1 else 1)


def figures(calls: Traffic, answers: Sequence[AnswerCounts], away: Sequence[int], steps: Steps) -> list[Figure]:
    """The figures under the sentence."""
    return [
        Figure("p50 latency", milliseconds(calls.quantile(0.5)), "half is faster"),
        Figure("p95 latency", milliseconds(calls.quantile(0.95)), "19 of 20 are faster"),
        Figure("p99 latency", milliseconds(calls.quantile(0.99)), "99 of 100 are faster"),
        Figure("Busiest", figure(max(per_minute(answers, steps), default=0.0), 1), "tickets a minute"),
        Figure("Errors", f"{calls.count('4xx', '5xx'):,}", f"of {counted(calls.count(), 'request')}"),
        Figure("Turned away", f"{sum(away):,}", "calls without a valid key"),
    ]


# --- Charts ---------------------------------------------------------------------------------------
def per_minute(answers: Iterable[AnswerCounts], steps: Steps) -> list[float]:
    """Tickets answered per minute in each step."""
    found = [0.0] * len(steps.starts)
    for row in answers:
        found[steps.place(row.starts_at)] += row.count / (steps.step / MINUTE)
    return found


def throughput(answers: Sequence[AnswerCounts], steps: Steps) -> Chart:
    """Tickets a minute, automatic and for review."""
    parts = (
        ("automatic", "primary", [row for row in answers if row.decision != REVIEW]),
        ("for review", "warn", [row for row in answers if row.decision == REVIEW]),
    )
    tones: dict[str, Tone] = {"primary": "primary", "warn": "warn"}
    series = []
    for name, tone, rows in parts:
        values = per_minute(rows, steps)
        series.append(Series(name, values, [figure(value, 2) for value in values], tones[tone], "bar"))
    return Chart(
        name="throughput",
        title="Throughput",
        unit=f"tickets per minute, mean of {traffic.in_words(steps.step)}",
        reading="How much is asked. The lighter part went to review; if it grows alone, look at Drift.",
        labels=steps.labels,
        series=series,
        ticks=ticks_to(highest_of(series, stacked=True), _rate),
        kind="bar",
        is_stacked=True,
    )


def _rate(value: float) -> str:
    return f"{value:,g}"


def errors(calls: Traffic, away: Sequence[int]) -> Chart:
    """What was refused, what failed, and who was turned away, per step."""
    series = [
        Series(traffic.NAMES[kind], counts, [whole_number(count) for count in counts], tone, "bar")
        for kind, tone in KINDS
        for counts in [calls.per_step(kind)]
    ]
    series.append(Series("turned away", list(away), [whole_number(count) for count in away], "muted", "bar"))
    return Chart(
        name="errors",
        title="Errors over time",
        unit=f"requests per {traffic.in_words(calls.steps.step)}",
        reading="Refused is the client's mistake, failed is ours. Turned away had no valid key: a client set up badly, "
        "or somebody who tries.",
        labels=calls.steps.labels,
        series=series,
        ticks=ticks_to(highest_of(series, stacked=True), whole_number, whole=True),
        kind="bar",
        is_stacked=True,
    )


def turned_away(filters: Filters, steps: Steps) -> list[int]:
    """Calls refused before they said who they were, per step; none among sample rows."""
    found = [0] * len(steps.starts)
    if filters.is_demo or filters.status in ("ok", "5xx"):
        return found
    rows = RefusalMinute.objects.filter(minute__gte=max(filters.since, steps.starts[0]), minute__lte=filters.until)
    moments: Iterable[tuple[datetime, int]] = (
        rows.annotate(at=Trunc("minute", filters.range.grain)).values_list("at").annotate(n=Sum("count")).order_by("at")
    )
    for moment, n in moments:
        found[max(0, steps.place(moment))] += n
    return found


def histogram(calls: Traffic) -> Chart:
    """Requests by how long they took, from the quickest bar that has one to the slowest."""
    bars = by_latency(traffic.merged(row.latencies for row in calls.rows))
    places = range(min(bars), max(bars) + 1) if bars else range(0)
    n = sum(bars.values())
    counts = [bars.get(place, 0) for place in places]
    series = [Series("requests", counts, [f"{count:,} ({share(count / n)})" for count in counts], "primary", "bar")]
    return Chart(
        name="latencies",
        title="Latency",
        unit="requests by the time they took",
        reading=f"{milliseconds(calls.quantile(0.5))} is the middle of the answered ones. "
        "A second hump to the right is a second kind of request, or a machine that is short of something.",
        labels=[bar_name(place) for place in places],
        series=series,
        ticks=ticks_to(highest_of(series), whole_number, whole=True),
        kind="bar",
        label_title="Took",
    )


def by_latency(latencies: Mapping[int, int]) -> Counter[int]:
    """Requests by the place of their bar: bar 0 ends at the first edge, the last has no end."""
    found: Counter[int] = Counter()
    for bucket, count in latencies.items():
        low, high = rollups.bucket_bounds(bucket)
        found[bisect_left(EDGES, math.sqrt(low * high))] += count
    return found


def bar_name(place: int) -> str:
    """What a bar holds.

    >>> bar_name(0), bar_name(4), bar_name(len(EDGES))
    ('to 0.5 ms', '2 to 3 ms', 'over 5 s')
    """
    if place == 0:
        return f"to {traffic.milliseconds_tick(EDGES[0])}"
    if place == len(EDGES):
        return f"over {traffic.milliseconds_tick(EDGES[-1])}"
    low, high = EDGES[place - 1], EDGES[place]
    return f"{low / 1000:g} to {high / 1000:g} s" if low >= 1000 else f"{low:g} to {traffic.milliseconds_tick(high)}"
