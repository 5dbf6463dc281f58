"""What people say on the pages on quality: that a label is right, that the answer was, or that it is a third one."""

from __future__ import annotations

import re

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from classifier import labelling
from classifier.api.labels import REVIEWS
from classifier.ml.artifact import DamagedModel
from classifier.models import Category, Label, ModelVersion, Split, Ticket, User
from classifier.naming import MAX_LENGTH, CategoryNames
from mlops import evaluation
from mlops.places import LABEL, RUN
from mlops.views.base import needs, person
from mlops.views.filters import number_of

# What a label is good for depends on where its ticket stands; one among near-duplicates of two splits is for nothing.
USE: dict[str | None, str] = {
    Split.TRAIN: "The next training learns it.",
    Split.VALIDATION: "The next training learns it.",
    Split.TEST: "It is a test ticket: the next version is tested by it.",
}


@require_POST
@needs(LABEL)
def label(request: HttpRequest) -> HttpResponse:
    """Gives the ticket the category that the person chose, and goes back to where it stands."""
    ticket = Ticket.objects.filter(pk=number_of(request.POST.get("ticket", "")) or 0).first()
    if ticket is None:
        messages.error(request, "This ticket is not there any more. Nothing was changed.")
        return _back(request)
    names = CategoryNames(Category.objects.all())
    said = request.POST.get("category", "").strip()[:MAX_LENGTH]
    category = names.find(said)
    if category is None:
        near = names.nearest(said) if said else None
        wanted = f"Did you mean {near}?" if near else "Choose one of the list."
        messages.error(request, f"No category is called “{said}”. {wanted} Nothing was changed.")
        return _back(request)
    try:
        messages.success(request, _say(ticket, category, by=person(request)))
    except (labelling.LabelOutranked, labelling.CategoryRetired, labelling.TextRemoved) as error:
        messages.error(request, str(error))
    except Ticket.DoesNotExist:  # deleted since it was looked up
        messages.error(request, "This ticket was deleted a moment ago. Nothing was changed.")
    return _back(request)


def _say(ticket: Ticket, category: Category, *, by: User) -> str:
    """Sets the label with the rank that the API gives the person, and tells what holds now."""
    source = Label.Source.REVIEWER if by.has_perm(REVIEWS) else Label.Source.AGENT
    said = labelling.set_label(ticket, category, source=source, by=by, now=timezone.now(), seed=settings.SEED)
    if said.is_new:
        return f"{ticket} is {category.name}, by your word. {USE.get(ticket.split, '')}".strip()
    return f"{ticket} was {category.name} already, by the word of {said.label.source}. Nothing was changed."


@require_POST
@needs(RUN)
def keep_answers(request: HttpRequest) -> HttpResponse:
    """Has an older version say once more what it says of its test tickets, so that cells lead to them."""
    version = ModelVersion.objects.filter(number=number_of(request.POST.get("version", "")) or 0).first()
    if version is None:
        messages.error(request, "There is no version with this number.")
        return _back(request)
    try:
        n = evaluation.restore_test_answers(version)
    except (evaluation.NothingToScore, DamagedModel) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Kept what {version} says of {n:,} test tickets.")
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    """To the place that the form came from, if it is on one of these pages."""
    asked, home = request.POST.get("back", ""), reverse("quality")
    path = re.split("[?#]", asked, maxsplit=1)[0]
    return HttpResponseRedirect(asked if path in (home, reverse("quality_tickets")) else home)
