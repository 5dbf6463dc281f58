"""What was asked and answered in a window of time: the rollups, and the newest minutes from the raw rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, models
from django.db.models import Q

from classifier.models import AnswerRollup, Grain, RequestRollup, RolledUp
from classifier.rollups.counting import (
    GROWTH,
    add_answers,
    add_requests,
    ceil,
    floor,
    raw_answers,
    raw_requests,
    rolled_answers,
    rolled_requests,
)

COARSE_FIRST = (Grain.DAY, Grain.HOUR, Grain.MINUTE)
COUNTED_ROWS = 10_000  # up to here a count takes less than 2 ms


@dataclass(frozen=True)
class RequestCounts:
    """The calls of one route and status in the span from starts_at; latencies: how many of them by bucket."""

    starts_at: datetime
    route: str
    status: int
    count: int
    latencies: Mapping[int, int]


@dataclass(frozen=True)
class AnswerCounts:
    """The answers of one version with one category and decision in the span from starts_at."""

    starts_at: datetime
    version_id: int
    category_id: int
    decision: str
    count: int
    confidence_sum: float


@dataclass(frozen=True)
class Window:
    """Which rollups answer for its first part, and from when to before when the raw rows do for the rest."""

    rolled: Q
    raw_since: datetime
    until: datetime


def requests(
    since: datetime, until: datetime, *, grain: Grain, is_demo: bool = False, route: str | None = None
) -> list[RequestCounts]:
    """The calls of each span of the grain that has a moment from since to before until, the oldest first.

    Spans are whole: since is taken down to its span's start, and until up to its span's end.
    """
    where = {"is_demo": is_demo} if route is None else {"is_demo": is_demo, "route": route}
    window = _window(since, until, grain=grain)
    found = rolled_requests(RequestRollup.objects.filter(window.rolled, **where), grain=grain)
    for key, latencies in raw_requests(window.raw_since, window.until, grain=grain, where=where).items():
        add_requests(found, key, latencies)
    return [
        RequestCounts(starts_at, path, status, sum(latencies.values()), latencies)
        for (starts_at, _, path, status), latencies in sorted(found.items())
    ]


def answers(
    since: datetime,
    until: datetime,
    *,
    grain: Grain,
    is_demo: bool = False,
    version_id: int | None = None,
    category_id: int | None = None,
) -> list[AnswerCounts]:
    """The answers of the same spans as those of `requests`, the oldest first."""
    asked = {"is_demo": is_demo, "version_id": version_id, "category_id": category_id}
    where = {name: value for name, value in asked.items() if value is not None}
    window = _window(since, until, grain=grain)
    found = rolled_answers(AnswerRollup.objects.filter(window.rolled, **where), grain=grain)
    for key, more in raw_answers(window.raw_since, window.until, grain=grain, where=where).items():
        add_answers(found, key, more)
    return [
        AnswerCounts(starts_at, version, category, decision, count, confidence)
        for (starts_at, _, version, category, decision), (count, confidence) in sorted(found.items())
    ]


def _window(since: datetime, until: datetime, *, grain: Grain) -> Window:
    """Whole spans as rollups of their grain, what is rolled up of the newest span as finer ones.

    Each span is in one of the parts, by bounds that no roll-up moves: one that ends between two of a page's queries
    has nothing counted twice.
    """
    since, until = floor(since, grain), ceil(until, grain)
    row = RolledUp.objects.first()
    done = since if row is None else min(until, max(since, row.until))
    rolled, begin = Q(pk__in=[]), since
    for finer in COARSE_FIRST[COARSE_FIRST.index(grain) :]:
        end = floor(done, finer)
        if begin < end:
            rolled |= Q(grain=finer, starts_at__gte=begin, starts_at__lt=end)
            begin = end
    return Window(rolled, raw_since=done, until=until)


def quantile(latencies: Mapping[int, int], share: float) -> float | None:
    """The latency in milliseconds that this share of the calls (0 to 1) is at most, within 1 %; None of no calls.

    Between two calls it lies as far as the share does, as numpy's percentile: of two calls the median is their mean.

    >>> round(quantile({117: 3, 233: 1}, 0.5), 1)  # of three calls of 10 ms and one of 100 ms
    10.0
    """
    total = sum(latencies.values())
    if not total:
        return None
    rank = share * (total - 1)
    below = _latency_at(latencies, math.floor(rank))
    return below + (rank % 1) * (_latency_at(latencies, math.ceil(rank)) - below)


def _latency_at(latencies: Mapping[int, int], rank: int) -> float:
    """The middle of the bucket of the call that so many are faster than."""
    passed = 0
    for bucket in sorted(latencies):
        passed += latencies[bucket]
        if passed > rank:
            break
    return float(GROWTH ** (bucket - 0.5))


def bucket_bounds(bucket: int) -> tuple[float, float]:
    """Between which milliseconds a bucket's latencies lie, the upper bound among them.

    >>> bucket_bounds(1)
    (1.0, 1.02)
    """
    return GROWTH ** (bucket - 1), GROWTH**bucket


def count_about(model: type[models.Model]) -> int:
    """How many rows a table has: exact if few or on SQLite, else what Postgres' last look at it makes of its size."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table])
            (estimate,) = cursor.fetchone()
        if estimate > COUNTED_ROWS:
            return int(estimate)
    return model._default_manager.count()
