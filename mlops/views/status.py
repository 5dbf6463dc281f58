"""The status badge: a part of a page, asked for after it, so that no page waits for a broker that hangs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from mlops import health
from mlops.places import READ
from mlops.views.base import needs

WORDS = {
    "healthy": ("good", "Healthy"),
    "degraded": ("warn", "Degraded"),
    "no_model": ("bad", "No model"),
    "database_down": ("bad", "Database down"),
}


@needs(READ)
def status(request: HttpRequest) -> HttpResponse:
    """What /api/health says, as a badge with its reasons."""
    found = health.check(timezone.now())
    tone, words = WORDS[found.status]
    reasons = {name.replace("_", " "): said for name, said in found.checks.items() if said != health.OK}
    return render(
        request,
        "pages/status.html",
        {"tone": tone, "words": words, "reasons": reasons, "n_checks": len(found.checks), "version": found.version},
    )
