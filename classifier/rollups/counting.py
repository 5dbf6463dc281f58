"""How calls and answers are counted by span of time: from the raw rows, and from finer rollups."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, F, IntegerField, QuerySet, Sum, TextField, Value
from django.db.models.functions import Cast, Ceil, Greatest, Ln, Trunc

from classifier.models import AnswerRollup, ApiRequest, Grain, Prediction, RequestRollup

GROWTH = 1.02  # bucket b holds latencies in (GROWTH**(b-1), GROWTH**b] milliseconds: its middle is within 1 % of each
LEAST_MS = 0.01  # what is faster counts as this: a clock may say 0, which has no logarithm
SPANS = {Grain.MINUTE: timedelta(minutes=1), Grain.HOUR: timedelta(hours=1), Grain.DAY: timedelta(days=1)}
REQUEST_KEY = ("is_demo", "route", "status")
ANSWER_KEY = ("is_demo", "version_id", "category_id", "decision")
AS_TEXT = Cast("starts_at", TextField())
Key = tuple[Any, ...]  # the start of the span, then the fields above
Requests = dict[Key, dict[int, int]]  # calls by their latency's bucket
Answers = dict[Key, tuple[int, float]]  # how many, and the sum of their confidence


def floor(moment: datetime, grain: Grain) -> datetime:
    """The start of the moment's span, UTC.

    >>> floor(datetime(2026, 11, 23, 9, 30, 15, tzinfo=UTC), Grain.HOUR).isoformat()
    '2026-11-23T09:00:00+00:00'
    """
    moment = moment.astimezone(UTC).replace(second=0, microsecond=0)
    if grain == Grain.MINUTE:
        return moment
    return moment.replace(minute=0) if grain == Grain.HOUR else moment.replace(hour=0, minute=0)


def ceil(moment: datetime, grain: Grain) -> datetime:
    """The start of the first span that does not begin before the moment."""
    start = floor(moment, grain)
    return start if start == moment else start + SPANS[grain]


def raw_requests(since: datetime, until: datetime, *, grain: Grain, where: Mapping[str, Any]) -> Requests:
    """The calls from since to before until, counted by span, flag, route and status."""
    bucket = Cast(Ceil(Ln(Greatest(F("latency_ms"), Value(LEAST_MS))) / Value(math.log(GROWTH))), IntegerField())
    rows = ApiRequest.objects.filter(created_at__gte=since, created_at__lt=until, **where).order_by()
    spans = rows.annotate(span=Trunc("created_at", grain, tzinfo=UTC), bucket=bucket)
    found: Requests = defaultdict(dict)
    for *key, number, count in spans.values_list("span", *REQUEST_KEY, "bucket").annotate(Count("pk")):
        found[tuple(key)][number] = count
    return found


def raw_answers(since: datetime, until: datetime, *, grain: Grain, where: Mapping[str, Any]) -> Answers:
    """The answers from since to before until, counted by span, flag, version, category and decision."""
    rows = Prediction.objects.filter(created_at__gte=since, created_at__lt=until, **where).order_by()
    spans = rows.annotate(span=Trunc("created_at", grain, tzinfo=UTC)).values_list("span", *ANSWER_KEY)
    return {tuple(key): (count, total) for *key, count, total in spans.annotate(Count("pk"), Sum("confidence"))}


def rolled_requests(rows: QuerySet[RequestRollup], *, grain: Grain) -> Requests:
    """The calls of rollups of this grain and of finer ones."""
    found: Requests = {}
    start_of = _Starts(grain)
    for at, *fields, latencies in rows.annotate(at=AS_TEXT).values_list("at", *REQUEST_KEY, "latencies"):
        add_requests(found, (start_of[at], *fields), dict(zip(*latencies, strict=True)))
    return found


def rolled_answers(rows: QuerySet[AnswerRollup], *, grain: Grain) -> Answers:
    """The answers of rollups of this grain and of finer ones."""
    found: Answers = {}
    start_of = _Starts(grain)
    for at, *fields, count, total in rows.annotate(at=AS_TEXT).values_list(
        "at", *ANSWER_KEY, "count", "confidence_sum"
    ):
        add_answers(found, (start_of[at], *fields), (count, total))
    return found


class _Starts(dict[str, datetime]):
    """The start of the span of a moment as the database writes it, each of them read once.

    A month of hours has ten rows an hour; reading each of their times cost as much as all the rest.
    """

    def __init__(self, grain: Grain) -> None:
        self.grain = grain

    def __missing__(self, text: str) -> datetime:
        moment = datetime.fromisoformat(text)
        start = floor(moment if moment.tzinfo else moment.replace(tzinfo=UTC), self.grain)
        self[text] = start
        return start


def as_columns(latencies: Mapping[int, int]) -> list[list[int]]:
    """The buckets and how many calls each has, as rollups hold them: JSON's names are texts, and slow to read.

    >>> as_columns({117: 3, -12: 1})
    [[-12, 117], [1, 3]]
    """
    buckets = sorted(latencies)
    return [buckets, [latencies[bucket] for bucket in buckets]]


def add_requests(found: Requests, key: Key, latencies: dict[int, int]) -> None:
    known = found.setdefault(key, latencies)
    if known is not latencies:
        for bucket, count in latencies.items():
            known[bucket] = known.get(bucket, 0) + count


def add_answers(found: Answers, key: Key, more: tuple[int, float]) -> None:
    known = found.setdefault(key, more)
    if known is not more:
        found[key] = known[0] + more[0], known[1] + more[1]
