"""The Overview, the first page after signing in."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mlops.dashboards import filters as filtering
from mlops.dashboards.overview import overview as figures_of
from mlops.places import READ
from mlops.views.base import needs, show
from mlops.views.filters import number_of, ranges
from mlops.views.samples import sample_buttons


@needs(READ)
def overview(request: HttpRequest) -> HttpResponse:
    """Is it answering, how fast, how surely?"""
    filters = filtering.read(request.GET, now=timezone.now())
    shown = figures_of(filters, before=number_of(request.GET.get("before", "")))
    return show(
        request,
        "pages/overview.html",
        title="Overview",
        filters=filters,
        ranges=ranges(filters),
        older_address=filters.address(before=shown["older"]),
        newest_address=filters.address(),
        **sample_buttons(request.user),
        **shown,
    )
