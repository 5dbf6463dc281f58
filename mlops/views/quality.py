"""Model quality, and the tickets behind a cell of its matrix."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from classifier.models import User
from mlops.dashboards import filters as filtering
from mlops.dashboards.quality import quality as figures_of
from mlops.dashboards.quality import tickets as tickets_of
from mlops.dashboards.versions import Chosen, Status, choose
from mlops.places import LABEL, PROMOTE, READ, RUN
from mlops.views.base import needs, show
from mlops.views.filters import kept, select

STANDING = {Status.PRODUCTION: "in production", Status.CANDIDATE: "candidate", Status.ARCHIVED: "archived"}
LONGEST = 100  # characters of a slug, as the database has them


def _chosen(request: HttpRequest) -> Chosen:
    filters = filtering.read(request.GET, now=timezone.now(), offers=("demo",))
    return choose(filters, request.GET)


@needs(READ)
def quality(request: HttpRequest) -> HttpResponse:
    """How often is it right, and where does it err?"""
    chosen = _chosen(request)
    version, filters = chosen.version, chosen.filters

    def tickets_at(truth: str, guess: str) -> str:
        asked = {"version": version.number if version else "", "truth": truth, "guess": guess}
        return f"{reverse('quality_tickets')}?{urlencode(asked | ({'demo': '1'} if filters.is_demo else {}))}"

    shown = figures_of(chosen, page=request.GET.get("page", ""), tickets_at=tickets_at)
    return show(
        request,
        "pages/quality.html",
        title="Model quality",
        filters=filters,
        selects=_selects(chosen),
        kept=kept(filters, "version", "against", "page"),
        newer_address=filters.address(page=shown.get("newer", "")),
        older_address=filters.address(page=shown.get("older", "")),
        may=_may(request, chosen),
        here=request.get_full_path(),
        **shown,
    )


@needs(READ)
def quality_tickets(request: HttpRequest) -> HttpResponse:
    """Which tickets stand in this cell?"""
    chosen = _chosen(request)
    asked = {
        name: value
        for name in ("truth", "guess")
        if (value := request.GET.get(name, "").replace("\0", "").strip()[:LONGEST])
    }
    shown = tickets_of(
        chosen, truth=asked.get("truth", ""), guess=asked.get("guess", ""), page=request.GET.get("page", "")
    )
    return show(
        request,
        "pages/quality_tickets.html",
        title="Tickets of a cell",
        filters=chosen.filters,
        back=f"{reverse('quality')}{chosen.filters.address(page='')}",
        newer_address=chosen.filters.address(**asked, page=shown["newer"]),
        older_address=chosen.filters.address(**asked, page=shown["older"]),
        may=_may(request, chosen),
        here=request.get_full_path(),
        **shown,
    )


def _selects(chosen: Chosen) -> list[dict[str, Any]]:
    choices = [(str(number), f"{number}, {STANDING[Status(status)]}") for number, status in chosen.offered]
    for each in (chosen.version, chosen.against):  # one that is too old to be offered
        if each is not None and all(number != each.number for number, _ in chosen.offered):
            choices.append((str(each.number), f"{each.number}, {STANDING[Status(each.status)]}"))
    version = str(chosen.version.number) if chosen.version else ""
    against = str(chosen.against.number) if chosen.against else ""
    others = [choice for choice in choices if choice[0] != version]
    return [
        select("version", "Version", choices, chosen=version, any_="in production, else newest"),
        select("against", "Compare with", others, chosen=against, any_="nothing"),
    ]


def _may(request: HttpRequest, chosen: Chosen) -> dict[str, bool]:
    """What the person may do here, so that no button leads to a refusal."""
    user, version = request.user, chosen.version
    if not isinstance(user, User) or version is None:
        return {}
    may_promote = user.has_perm(PROMOTE)
    return {
        "label": user.has_perm(LABEL),
        "keep": user.has_perm(RUN),
        "roll_back": may_promote,
        "promote": may_promote and not version.is_demo and version.status != Status.PRODUCTION,
    }
