"""Exports by hand: the page with the two forms, and the files, sent while they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET

from classifier import exporting
from classifier.exporting import Export
from classifier.models import Category, Split
from mlops.dashboards import filters as filtering
from mlops.dashboards.filters import RANGES, Filters
from mlops.places import EXPORT
from mlops.views.base import needs, show
from mlops.views.filters import select

FORMATS = {"csv": "CSV, for spreadsheets", "jsonl": "JSONL, for programs"}
LABELLED = {"yes": "with a label", "no": "without a label"}
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
DEFAULT = "30d"


@require_GET
@needs(EXPORT)
def exports_page(request: HttpRequest) -> HttpResponse:
    """The two forms."""
    slugs = [(slug, slug) for slug in Category.objects.values_list("slug", flat=True)]
    ranges = select("range", "From the last", ((r.name, r.words) for r in RANGES.values()), chosen=DEFAULT)
    form = select("format", "As", FORMATS.items(), chosen="csv")
    tickets = [
        ranges,
        select("category", "Label", slugs, chosen="", any_="any or none"),
        select("split", "Split", Split.choices, chosen="", any_="any or none"),
        select("labelled", "Labelled", LABELLED.items(), chosen="", any_="both"),
        form,
    ]
    predictions = [ranges, select("category", "Answered", slugs, chosen="", any_="any category"), form]
    return show(
        request,
        "pages/exports.html",
        title="Export",
        tickets=tickets,
        predictions=predictions,
        ticket_columns=list(exporting.TICKET_COLUMNS),
        prediction_columns=list(exporting.COLUMNS),
    )


@require_GET
@needs(EXPORT)
def export_file(request: HttpRequest, what: str) -> HttpResponse:
    """A file of tickets or predictions, as the query string says; what it cannot mean is told, and nothing is sent."""
    if what not in EXPORTS:
        raise Http404("There are exports of tickets and of predictions.")
    now = timezone.now()
    filters = filtering.read(request.GET, now=now, default=DEFAULT, offers=("range", "category"))
    form, split, labelled = (request.GET.get(name, "") for name in ("format", "split", "labelled"))
    complaints = list(filters.complaints)
    for name, found, known in (
        ("format", form, FORMATS),
        ("split", split, Split.values),
        ("labelled", labelled, LABELLED),
    ):
        if found and found not in known:
            complaints.append(f"The {name} must be one of {', '.join(known)}; the address says “{found[:40]}”.")
    if complaints:
        for complaint in complaints:
            messages.error(request, f"{complaint.split(' Shown is')[0]} Nothing was exported.")
        return redirect("exports")
    form = form or "csv"
    export = EXPORTS[what](filters, {"split": split, "labelled": labelled})
    answer = StreamingHttpResponse(exporting.stream(export, form=form), content_type=CONTENT_TYPES[form])
    answer["Content-Disposition"] = f'attachment; filename="{file_name(what, form, now=now)}"'
    answer["Cache-Control"] = "no-store"
    answer["X-Accel-Buffering"] = "no"  # nginx would collect it on its disk first
    return cast(HttpResponse, answer)  # its stubs make it no kin of the others


def file_name(what: str, form: str, *, now: datetime) -> str:
    """A file's name, with the moment it is of.

    >>> from datetime import UTC, datetime
    >>> file_name("tickets", "csv", now=datetime(2026, 11, 25, 9, 30, 5, tzinfo=UTC))
    'tickets-2026-11-25T093005Z.csv'
    """
    return f"{what}-{now:%Y-%m-%dT%H%M%S}Z.{form}"


def _tickets(filters: Filters, more: Mapping[str, str]) -> Export[Any]:
    return exporting.tickets(
        since=filters.since,
        until=filters.until,
        category=filters.category.slug if filters.category else None,
        split=more["split"] or None,
        is_labelled={"yes": True, "no": False}.get(more["labelled"]),
    )


def _predictions(filters: Filters, _more: Mapping[str, str]) -> Export[Any]:
    category = filters.category.slug if filters.category else None
    return exporting.log(since=filters.since, until=filters.until, category=category)


EXPORTS: dict[str, Callable[[Filters, Mapping[str, str]], Export[Any]]] = {
    "tickets": _tickets,
    "predictions": _predictions,
}
