"""Try it: a text is answered by the version in production, explained in its own words, and may be corrected."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from classifier import inference, labelling
from classifier.inference import NoActiveCategory, NoModelInProduction
from classifier.ml.artifact import DamagedModel
from classifier.models import Category, Label, ModelVersion, Prediction, Ticket
from classifier.problems import FieldError
from classifier.storing import RequestFacts
from classifier.ticketbody import MAX_CHARACTERS, check_text
from mlops.dashboards import trying
from mlops.places import LABEL, PREDICT, READ
from mlops.views.base import forbidden, needs, person, show
from mlops.views.filters import number_of

TITLE = "Try it"
ROUTE = "try"  # of its ApiRequest row: not the API's route, so it counts in none of the service's figures
# In words of a page; what else the API refuses is told in its own.
WORDS = {"blank": "Write a ticket first: there is no visible character."}


@needs(PREDICT)
def try_it(request: HttpRequest) -> HttpResponse:
    """What would the model say, and why?"""
    if request.method == "POST" and "category" in request.POST:
        return _correct(request)
    if request.method == "POST":
        return _ask(request)
    number = request.GET.get("prediction", "")
    if number:
        return _stored(request, number_of(number))
    example = number_of(request.GET.get("example", ""))
    text = trying.EXAMPLES[example] if example is not None and example < len(trying.EXAMPLES) else ""
    return _form(request, text=text)


def _form(request: HttpRequest, *, text: str = "", error: str = "", status: int = 200, **more: Any) -> HttpResponse:
    """The page with its form, and below it what `more` tells of an answer."""
    context = {"given": text, "error": error, "most": MAX_CHARACTERS, "examples": enumerate(trying.EXAMPLES)}
    if "best" not in more:
        context["has_model"] = ModelVersion.objects.in_production().exists()
    return show(request, "pages/try.html", title=TITLE, status=status, **context, **more)


def fault_of(text: str) -> str:
    """What is wrong with a text, in words; "" if it can be answered."""
    errors: list[FieldError] = []
    check_text(text, "text", errors)
    if errors:
        return WORDS.get(errors[0].code, errors[0].detail)
    return "" if any(map(str.isalnum, text)) else "There is no letter and no number in it, so nothing to go by."


def _ask(request: HttpRequest) -> HttpResponse:
    """Answers the text: a kept one leads to its own address, one that is not kept is shown at once."""
    text = request.POST.get("text", "").replace("\r\n", "\n")
    is_kept = "unkept" not in request.POST
    error = fault_of(text)
    if error:
        return _form(request, text=text, error=error, status=400, is_unkept=not is_kept)
    try:
        if not is_kept:
            answered = inference.answer([text])
            about = request.POST.get("about", "")
            told = trying.answer(trying.told(text, answered), answered.serving, about=about)
            return _form(request, text=text, is_unkept=True, is_answered=True, **told)
        facts = RequestFacts(
            route=ROUTE,
            started=getattr(request, "started", None) or time.perf_counter(),
            user=person(request).pk,
            source=Ticket.Source.PAGE,
        )
        answered = inference.predict([text], external_ids=[None], request=facts, now=timezone.now())
    except (NoModelInProduction, NoActiveCategory, DamagedModel) as problem:
        return _form(request, text=text, error=str(problem), status=503)
    assert answered.stored is not None  # noqa: S101 (predict always stores; this tells mypy)
    return HttpResponseRedirect(f"{reverse('try')}?prediction={answered.stored.prediction_ids[0]}")


# --- A kept one -----------------------------------------------------------------------------------
def _find(number: int | None) -> Prediction | None:
    rows = Prediction.objects.select_related("ticket", "category", "version", "request")
    return rows.defer(*ModelVersion.heavy("version")).filter(pk=number or 0, is_demo=False).first()


def _may_see(request: HttpRequest, prediction: Prediction) -> bool:
    """Who may read all tickets, and whoever asked about this one."""
    asked = prediction.request
    return request.user.has_perm(READ) or (asked is not None and asked.user_id == request.user.pk)


def _stored(request: HttpRequest, number: int | None) -> HttpResponse:
    prediction = _find(number)
    if prediction is None:
        return _form(request, error="There is no answer with this number.", status=404)
    if not _may_see(request, prediction):
        return forbidden(request)
    try:
        using: inference.Serving | None = inference.serving()
    except (NoModelInProduction, NoActiveCategory, DamagedModel):
        using = None
    if using is not None and (using.version_id != prediction.version_id or prediction.ticket.text_removed_at):
        using = None  # another version would say something else
    label = Label.objects.current().select_related("category", "by", "key").filter(ticket=prediction.ticket).first()
    told = trying.answer(trying.told_of(prediction), using, about=request.GET.get("about", ""))
    return _form(
        request,
        is_answered=True,
        prediction=prediction,
        can_label=request.user.has_perm(LABEL) and prediction.ticket.text_removed_at is None,
        label=trying.label_in_words(label, now=timezone.now()),
        is_replaced=using is None,
        **told,
    )


def _correct(request: HttpRequest) -> HttpResponse:
    """Labels the ticket of a kept answer, and shows it again."""
    prediction = _find(number_of(request.POST.get("prediction", "")))
    if prediction is None:
        return _form(request, error="There is no answer with this number.", status=404)
    if not request.user.has_perm(LABEL) or not _may_see(request, prediction):
        return forbidden(request)
    category = Category.objects.filter(slug=request.POST["category"].replace("\0", "")).first()
    if category is None:
        messages.error(request, "That is no category. Choose one of these.")
    else:
        _label(request, prediction.ticket, category)
    return HttpResponseRedirect(f"{reverse('try')}?prediction={prediction.pk}")


def _label(request: HttpRequest, ticket: Ticket, category: Category) -> None:
    try:
        said = labelling.set_label(
            ticket,
            category,
            source=Label.Source.AGENT,
            by=person(request),
            now=timezone.now(),
            seed=settings.SEED,
        )
    except (labelling.LabelOutranked, labelling.CategoryRetired, labelling.TextRemoved) as refused:
        messages.error(request, str(refused))
    except Ticket.DoesNotExist:
        messages.error(request, "The ticket was deleted meanwhile.")
    else:
        words = "" if said.is_new else " It had that label already."
        messages.success(request, f"Labelled {category.name}.{words}")
