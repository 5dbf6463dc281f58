"""What all pages share: who may open them, what stands around their content, and how they are rendered."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from classifier.models import Scope, User
from classifier.wording import local

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
READ, PREDICT, LABEL = (f"classifier.scope_{scope}" for scope in (Scope.READ, Scope.PREDICT, Scope.LABEL))
PROMOTE, RUN = (f"classifier.scope_{scope}" for scope in (Scope.PROMOTE, Scope.RUN))
IMPORT, EXPORT = "classifier.import_tickets", "classifier.export_rows"
REFRESH_SECONDS = 30


@dataclass(frozen=True)
class Place:
    """A page of the navigation: the name of its address, what it is called, its symbol, and what it takes."""

    name: str
    title: str
    symbol: str
    permission: str


GROUPS = {
    "Watch": (
        Place("overview", "Overview", "space_dashboard", READ),
        Place("quality", "Model quality", "verified", READ),
        Place("monitoring", "Monitoring", "monitoring", READ),
        Place("drift", "Drift", "trending_up", READ),
    ),
    "Work": (
        Place("try", "Try it", "edit_note", PREDICT),
        Place("queue", "Label queue", "checklist", LABEL),
        Place("imports", "Import", "upload_file", IMPORT),
        Place("exports", "Export", "download", EXPORT),
    ),
    "Read": (
        Place("runbook", "Runbook", "menu_book", READ),
        Place("concepts", "Concepts", "school", READ),
    ),
}


def needs(*permissions: str) -> Callable[[View[P]], View[P]]:
    """Lets those in who are signed in and have one of the permissions; tells others in words what is missing."""

    def wrap(view: View[P]) -> View[P]:
        @functools.wraps(view)
        def inner(request: HttpRequest, *arguments: P.args, **named: P.kwargs) -> HttpResponse:
            if any(request.user.has_perm(permission) for permission in permissions):
                return view(request, *arguments, **named)
            return forbidden(request)

        return cast("View[P]", login_required(inner))

    return wrap


def forbidden(request: HttpRequest) -> HttpResponse:
    """The page that says who may open this one, and whom to ask."""
    return show(request, "pages/forbidden.html", title="Not for your role", status=403)


def show(request: HttpRequest, template: str, *, title: str, status: int = 200, **context: Any) -> HttpResponse:
    """A page in the frame that all have. title: its h1 and, with the program's name, its window's title."""
    now = timezone.now()
    around = {
        "title": title,
        "navigation": navigation(request),
        "now": now,
        "shown_at": f"{local(now):%H:%M:%S}",
        "zone": f"{local(now):%Z}",
        "refresh_seconds": REFRESH_SECONDS,
        "is_embedded": settings.EMBEDDED_DATABASE,
    }
    return render(request, template, {**around, **context}, status=status)


def navigation(request: HttpRequest) -> list[tuple[str, list[dict[str, Any]]]]:
    """The groups of pages that the person may open."""
    user = request.user
    groups = []
    for title, places in GROUPS.items():
        open_ = [
            {"place": place, "address": address, "is_here": request.path == address}
            for place in places
            if isinstance(user, User) and user.has_perm(place.permission) and (address := address_of(place))
        ]
        if open_:
            groups.append((title, open_))
    return groups


def address_of(place: Place) -> str:
    try:
        return reverse(place.name)
    except NoReverseMatch:
        return ""
