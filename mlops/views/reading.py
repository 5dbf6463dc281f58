"""The pages that are read: the runbook and the concepts, from the Markdown of docs/."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from mlops import runbook as texts
from mlops.places import READ
from mlops.views.base import needs, show


@needs(READ)
def runbook(request: HttpRequest) -> HttpResponse:
    """How is it done?"""
    return _page(
        request, "runbook", title="Runbook", question="How is it done, and what to do when something is wrong?"
    )


@needs(READ)
def concepts(request: HttpRequest) -> HttpResponse:
    """How does it work, and why so?"""
    return _page(
        request, "concepts", title="Concepts", question="How does it work, why in this way, and where is more?"
    )


def _page(request: HttpRequest, name: str, *, title: str, question: str) -> HttpResponse:
    try:
        text, missing = texts.text(name), ""
    except texts.NoText as error:
        text, missing = None, str(error)
    return show(request, "pages/reading.html", title=title, text=text, missing=missing, asked=question)
