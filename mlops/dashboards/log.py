"""The log of the Monitoring page: answers one by one, searched by the words of their tickets, or calls that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from classifier.models import ApiRequest, ModelVersion, Prediction, Ticket, doer
from classifier.searching import search
from classifier.wording import excerpt, local, milliseconds, share
from mlops.dashboards import traffic
from mlops.dashboards.filters import Filters
from mlops.dashboards.paging import newest_first
from mlops.dashboards.traffic import kind_of

ROWS = 50  # a page
MOST_FOUND = 500  # tickets that a search takes on: the newest; who looks for an older one adds a word or a range
TEXT_CHARACTERS = 160
BOUNDS = {"4xx": (400, 499), "5xx": (500, 599)}


@dataclass(frozen=True)
class Log:
    """A page of rows, newest first. of: answers or calls; older: the id to go on from; is_cut: more tickets match."""

    of: str
    rows: list[dict[str, Any]]
    older: str = ""
    is_cut: bool = False


def log(filters: Filters, *, before: int | None) -> Log:
    """The answers that the filters leave, or, for a status that brings no answer, the calls that ended so."""
    return _calls(filters, before) if filters.status in BOUNDS else _answers(filters, before)


def _answers(filters: Filters, before: int | None) -> Log:
    rows = Prediction.objects.filter(
        is_demo=filters.is_demo, created_at__gte=filters.since, created_at__lte=filters.until
    )
    if filters.category:
        rows = rows.filter(category=filters.category)
    if filters.version:
        rows = rows.filter(version=filters.version)
    is_cut = False
    if filters.words.strip():
        # The tickets first, and not too many: a word that half of them have would bring a million answers along.
        tickets = search(Ticket.objects.filter(is_demo=filters.is_demo), filters.words)
        found = list(tickets.order_by("-pk").values_list("pk", flat=True)[: MOST_FOUND + 1])
        rows, is_cut = rows.filter(ticket__in=found[:MOST_FOUND]), len(found) > MOST_FOUND
    page = newest_first(_with_names(rows), before=before, n=ROWS)
    return Log("answers", [_answer(row) for row in page[:ROWS]], _older(page), is_cut)


def _with_names(rows: QuerySet[Prediction]) -> QuerySet[Prediction]:
    related = rows.select_related("ticket", "category", "version", "request")
    return related.defer(*ModelVersion.heavy("version"))


def _answer(row: Prediction) -> dict[str, Any]:
    return {
        "ticket": row.ticket_id,
        "at": row.created_at,
        "moment": f"{local(row.created_at):%b %-d, %H:%M:%S}",
        "text": "" if row.ticket.text_removed_at else excerpt(row.ticket.text, TEXT_CHARACTERS),
        "category": row.category.name,
        "confidence": share(row.confidence),
        "review": row.get_reason_display().lower() if row.reason else "",
        "version": row.version.number,
        "latency": milliseconds(row.request.latency_ms if row.request else None),
    }


def _calls(filters: Filters, before: int | None) -> Log:
    rows = ApiRequest.objects.filter(
        route=traffic.ROUTE,
        status__range=BOUNDS[filters.status],
        is_demo=filters.is_demo,
        created_at__gte=filters.since,
        created_at__lte=filters.until,
    )
    page = newest_first(rows.select_related("key", "user"), before=before, n=ROWS)
    return Log("calls", [told(row) for row in page[:ROWS]], _older(page))


def told(row: ApiRequest) -> dict[str, Any]:
    """A call as a table shows it."""
    return {
        "at": row.created_at,
        "moment": f"{local(row.created_at):%b %-d, %H:%M:%S}",
        "by": doer(row.user, row.key) or "-",
        "tone": {"ok": "good", "4xx": "warn", "5xx": "bad"}[kind_of(row.status)],
        "status": str(row.status),
        "code": row.code.replace("_", " "),
        "n_tickets": f"{row.n_tickets:,}",
        "latency": milliseconds(row.latency_ms),
    }


def _older(page: list[Any]) -> str:
    return str(page[ROWS - 1].pk) if len(page) > ROWS else ""
