"""The Drift page."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mlops.dashboards import filters as filtering
from mlops.dashboards.drift import drift as figures_of
from mlops.places import READ
from mlops.views.base import needs, show
from mlops.views.filters import kept, number_of, ranges, select

OFFERS = ("range", "version", "demo", "snapshot")


@needs(READ)
def drift(request: HttpRequest) -> HttpResponse:
    """Are today's tickets like those that the model was made with?"""
    now = timezone.now()
    filters = filtering.read(request.GET, now=now, default="7d", offers=OFFERS)
    asked = filters.given.get("snapshot", "")
    shown = figures_of(filters, snapshot_pk=number_of(asked), now=now)
    if asked and (shown["is_missing"] or number_of(asked) is None):
        known = {name: value for name, value in filters.given.items() if name != "snapshot"}
        told = f"There is no snapshot “{asked[:40]}” here; it may be of sample data or removed. Shown is the newest."
        filters = replace(filters, complaints=(*filters.complaints, told), given=known)
    version = shown["version"]
    choices = [
        (str(number), f"version {number}{', in production' if status == 'production' else ''}")
        for number, status in shown["versions"]
    ]
    return show(
        request,
        "pages/drift.html",
        title="Drift",
        filters=filters,
        ranges=ranges(filters),
        selects=[
            select("version", "Version", choices, chosen=str(version.number) if version else "", any_="in production")
        ]
        if choices
        else [],
        kept=kept(filters, "version", "snapshot"),
        older_address=filters.address(snapshot=str(shown.get("older") or "")),
        newer_address=filters.address(snapshot=str(shown.get("newer") or "")),
        all_address=filters.address(range="all"),
        newest_address=filters.address(snapshot=""),
        **shown,
    )
