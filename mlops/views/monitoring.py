"""Monitoring: figures over time, and the log."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mlops.dashboards import filters as filtering
from mlops.dashboards.filters import Filters
from mlops.dashboards.monitoring import OFFERS
from mlops.dashboards.monitoring import monitoring as figures_of
from mlops.places import READ
from mlops.views.base import needs, show
from mlops.views.filters import kept, number_of, ranges, select


@needs(READ)
def monitoring(request: HttpRequest) -> HttpResponse:
    """How much is asked, how long it takes, what fails."""
    filters = filtering.read(request.GET, now=timezone.now(), offers=OFFERS)
    shown = figures_of(filters, before=number_of(request.GET.get("before", "")))
    return show(
        request,
        "pages/monitoring.html",
        title="Monitoring",
        filters=filters,
        ranges=ranges(filters),
        selects=_selects(filters, shown),
        kept=kept(filters, "category", "version", "status", "words"),
        has_search=True,
        older_address=filters.address(before=shown["log"].older),
        newest_address=filters.address(),
        **shown,
    )


def _selects(filters: Filters, shown: dict[str, Any]) -> list[dict[str, Any]]:
    category = filters.category.slug if filters.category else ""
    version = str(filters.version.number) if filters.version else ""
    return [
        select("category", "Category", shown["categories"], chosen=category, any_="every category"),
        select("version", "Version", shown["versions"], chosen=version, any_="every version"),
        select("status", "Status", shown["statuses"], chosen=filters.status, any_="every status"),
    ]
