"""The buttons that make and remove sample data: for staff, and on the embedded database alone."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from classifier.models import User
from mlops import samples, tasks
from mlops.views.base import forbidden

AWAY = "The worker was not reached, and nothing was {}. Check that manage.py up runs, and try again."


def sample_buttons(user: User | AnonymousUser) -> dict[str, bool]:
    """What templates/pages/sample_buttons.html needs: whether its buttons are shown, and which."""
    may = may_make(user)
    return {"may_make_samples": may, "has_samples": may and samples.are_there()}


def may_make(user: Any) -> bool:
    try:
        samples.demand_the_place()
    except samples.NotThePlace:
        return False
    return bool(user.is_active and user.is_staff)


@require_POST
@login_required
def samples_make(request: HttpRequest) -> HttpResponse:
    """Has a worker make them."""
    if not may_make(request.user):
        return forbidden(request)
    if samples.are_there():
        messages.warning(request, "There are sample data already. Remove them first, to have fresh ones.")
    elif tasks.call(tasks.make_samples):
        messages.success(request, "Sample data are being made: the pages show them in some seconds, with ?demo=1.")
    else:
        messages.error(request, AWAY.format("made"))
    return redirect("overview")


@require_POST
@login_required
def samples_remove(request: HttpRequest) -> HttpResponse:
    """Has a worker remove them."""
    if not may_make(request.user):
        return forbidden(request)
    if tasks.call(tasks.remove_samples):
        messages.success(request, "Sample data are being removed: in some seconds they are gone.")
    else:
        messages.error(request, AWAY.format("removed"))
    return redirect("overview")
