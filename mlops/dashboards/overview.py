"""The Overview: is it answering, how fast, how surely, and with which version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from classifier import rollups
from classifier.models import ApiRequest, Category, ModelVersion, Prediction
from classifier.rollups import AnswerCounts
from classifier.wording import counted, figure, local, milliseconds, share
from mlops.dashboards import traffic
from mlops.dashboards.charts import Chart, Figure, Series, highest_of, ticks_to, whole_number
from mlops.dashboards.filters import Filters
from mlops.dashboards.log import ROWS, told
from mlops.dashboards.paging import newest_first
from mlops.dashboards.traffic import Traffic
from mlops.models import Promotion

MOST_CATEGORIES = 20  # bars; the rest is one more
FAILED_MUCH = 0.01  # of a hundred calls one failed: a client sees that without looking for it
REVIEW = Prediction.Decision.REVIEW.value


@dataclass(frozen=True)
class Production:
    """The version that answers: its number, macro-F1 on its test tickets, and since when and how it came there."""

    number: int
    macro_f1: float | None
    trained_at: datetime
    since: datetime | None


def overview(filters: Filters, *, before: int | None = None) -> dict[str, Any]:
    """All that the page shows. before: the id of a request; the list shows the 50 before it."""
    calls = traffic.read(filters)
    answers = rollups.answers(filters.since, filters.until, grain=filters.range.grain, is_demo=filters.is_demo)
    production = in_production(is_demo=filters.is_demo)
    requests = newest_requests(filters, before=before)
    return {
        "production": production,
        "has_any": bool(answers or calls.rows or requests),
        "n_answered": f"{sum(row.count for row in answers):,}",
        "lead": lead(answers, None if filters.is_demo else production),  # no sample version is in production
        "figures": figures(calls, answers, production),
        "charts": [traffic.over_time(calls), traffic.latency_over_time(calls)],
        "categories": by_category(answers),
        "requests": [told(row) for row in requests[:ROWS]],
        "older": str(requests[ROWS - 1].pk) if len(requests) > ROWS else "",
    }


def in_production(*, is_demo: bool) -> Production | None:
    """The version in production; among sample rows, of which none ever is, the newest."""
    versions = ModelVersion.objects.filter(is_demo=True) if is_demo else ModelVersion.objects.in_production()
    found = versions.values_list("pk", "number", "metrics__test__macro_f1", "created_at").first()
    if found is None:
        return None
    pk, number, macro_f1, trained_at = found
    since = Promotion.objects.filter(version=pk).values_list("created_at", flat=True).order_by("-pk").first()
    return Production(number=number, macro_f1=macro_f1, trained_at=trained_at, since=since)


def lead(answers: Sequence[AnswerCounts], production: Production | None) -> str:
    """What came of the answers, in a sentence."""
    n = sum(row.count for row in answers)
    if not n:
        return "No ticket was asked about in this range."
    for_review = _for_review(answers)
    who = f"Version {production.number} is in production. " if production else ""
    return f"{who}{share(1 - for_review / n)} were answered without a person; {for_review:,} went to review."


def _for_review(answers: Sequence[AnswerCounts]) -> int:
    return sum(row.count for row in answers if row.decision == REVIEW)


def figures(calls: Traffic, answers: Sequence[AnswerCounts], production: Production | None) -> list[Figure]:
    """The six figures under the sentence."""
    n, n_answers = calls.count(), sum(row.count for row in answers)
    failed = calls.share("5xx")
    confidence = sum(row.confidence_sum for row in answers) / n_answers if n_answers else None
    return [
        Figure("Requests", f"{n:,}", f"{counted(calls.count('ok'), 'was', 'were')} answered"),
        Figure("p95 latency", milliseconds(calls.quantile(0.95)), f"p50 {milliseconds(calls.quantile(0.5))}"),
        Figure("Refused, 4xx", share(calls.share("4xx")), counted(calls.count("4xx"), "request")),
        Figure(
            "Failed, 5xx",
            share(failed),
            counted(calls.count("5xx"), "request"),
            tone="bad" if failed is not None and failed >= FAILED_MUCH else "",
        ),
        Figure(
            "Sent to review",
            share(_for_review(answers) / n_answers if n_answers else None),
            f"mean confidence {share(confidence)}",
        ),
        _quality(production),
    ]


def _quality(production: Production | None) -> Figure:
    if production is None:
        return Figure("Macro-F1", "-", "no version is in production")
    of_day = f"{local(production.since or production.trained_at):%Y-%m-%d}"
    since = f"since {of_day}" if production.since else f"trained {of_day}"
    return Figure("Macro-F1", figure(production.macro_f1), f"version {production.number}, {since}")


def by_category(answers: Sequence[AnswerCounts]) -> Chart:
    """Answers by category, most first, automatic and for review apart."""
    names = dict(Category.objects.values_list("pk", "name"))
    totals: Counter[int] = Counter()
    review: Counter[int] = Counter()
    for row in answers:
        totals[row.category_id] += row.count
        review[row.category_id] += row.count if row.decision == REVIEW else 0
    shown = [pk for pk, _ in totals.most_common(MOST_CATEGORIES)]
    labels = [names[pk] for pk in shown]
    columns = [[totals[pk] - review[pk] for pk in shown], [review[pk] for pk in shown]]
    if rest := [pk for pk in totals if pk not in set(shown)]:
        labels.append(f"{len(rest)} others")
        for column, counts in zip(columns, (totals - review, review), strict=True):
            column.append(sum(counts[pk] for pk in rest))
    n = max(1, totals.total())
    texts = [[f"{value:,} ({share(value / n)})" for value in values] for values in columns]
    series = [
        Series("automatic", columns[0], texts[0], "primary"),
        Series("for review", columns[1], texts[1], "warn"),
    ]
    return Chart(
        name="categories",
        title="What tickets were about",
        unit="tickets answered",
        reading="The longest bar is the most frequent category. The part for review was not sure enough to act on.",
        labels=labels,
        series=series,
        ticks=ticks_to(highest_of(series, stacked=True), whole_number, whole=True),
        kind="across",
        label_title="Category",
        is_stacked=True,
    )


def newest_requests(filters: Filters, *, before: int | None) -> list[ApiRequest]:
    """The newest calls of the range, one more than are shown. before: the id of the last one that was seen."""
    rows = ApiRequest.objects.filter(
        route=traffic.ROUTE, is_demo=filters.is_demo, created_at__gte=filters.since, created_at__lte=filters.until
    )
    return newest_first(rows.select_related("key", "user"), before=before, n=ROWS)
