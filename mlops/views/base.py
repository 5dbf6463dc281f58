"""What all pages share: who may open them, what stands around their content, and how they are rendered."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from classifier.models import User
from classifier.wording import local
from mlops.places import GROUPS

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
REFRESH_SECONDS = 30


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


def person(request: HttpRequest) -> User:
    """Who is signed in, in a view that needs() guards."""
    assert isinstance(request.user, User)  # noqa: S101 (needs() lets nobody else in; this tells mypy)
    return request.user


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
    groups = []
    for title, places in GROUPS.items():
        open_ = [
            {"place": place, "address": place.address, "is_here": request.path == place.address}
            for place in places
            if place.is_open_to(request.user)
        ]
        if open_:
            groups.append((title, open_))
    return groups
