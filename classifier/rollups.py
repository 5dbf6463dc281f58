"""Requests and answers counted per minute, hour and day."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Sum
from django.db.models.functions import Trunc

from classifier.models import ApiRequest, Prediction

GROWTH = 1.02


@dataclass(frozen=True)
class RequestCounts:
    starts_at: datetime
    route: str
    status: int
    count: int
    latencies: Mapping[int, int]


@dataclass(frozen=True)
class AnswerCounts:
    starts_at: datetime
    version_id: int
    category_id: int
    decision: str
    count: int
    confidence_sum: float


def bucket_of(ms: float) -> int:
    return math.ceil(math.log(max(ms, 0.01)) / math.log(GROWTH))


def bucket_bounds(bucket: int) -> tuple[float, float]:
    return GROWTH ** (bucket - 1), GROWTH**bucket


def quantile(latencies: Mapping[int, int], share: float) -> float | None:
    n = sum(latencies.values())
    if not n:
        return None
    seen = 0
    for bucket in sorted(latencies):
        seen += latencies[bucket]
        if seen >= share * n:
            return sum(bucket_bounds(bucket)) / 2
    return None


def requests(
    since: datetime, until: datetime, *, grain: str, is_demo: bool = False, route: str | None = None
) -> list[RequestCounts]:
    rows = ApiRequest.objects.filter(created_at__gte=since, created_at__lte=until, is_demo=is_demo)
    if route is not None:
        rows = rows.filter(route=route)
    found: dict[tuple[datetime, str, int], Counter[int]] = defaultdict(Counter)
    for at, name, status, ms in rows.annotate(at=Trunc("created_at", grain)).values_list(
        "at", "route", "status", "latency_ms"
    ):
        found[at, name, status][bucket_of(ms)] += 1
    return [RequestCounts(*key, count=counts.total(), latencies=counts) for key, counts in found.items()]


def answers(
    since: datetime,
    until: datetime,
    *,
    grain: str,
    is_demo: bool = False,
    version_id: int | None = None,
    category_id: int | None = None,
) -> list[AnswerCounts]:
    rows = Prediction.objects.filter(created_at__gte=since, created_at__lte=until, is_demo=is_demo)
    if version_id is not None:
        rows = rows.filter(version_id=version_id)
    if category_id is not None:
        rows = rows.filter(category_id=category_id)
    grouped = (
        rows.order_by()
        .annotate(at=Trunc("created_at", grain))
        .values_list("at", "version_id", "category_id", "decision")
        .annotate(count=Count("pk"), confidence_sum=Sum("confidence"))
    )
    return [AnswerCounts(*row) for row in grouped]
