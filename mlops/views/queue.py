"""The label queue: one ticket at a time, a choice, a skip or an undo; each is a form, and leads to the next ticket."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from classifier import reviewing
from classifier.labelling import AlreadyLabelled, CategoryRetired, TextRemoved
from classifier.models import Category, Label, ModelVersion, Prediction, Ticket, User, doer
from classifier.waiting import Next, Reader, Wanted, look
from classifier.wording import ago, counted
from mlops.dashboards import filters as filtering
from mlops.dashboards.answers import IN_SHORT
from mlops.dashboards.filters import Filters
from mlops.dashboards.queue import queue as words_of
from mlops.places import LABEL
from mlops.views import sitting
from mlops.views.base import needs, person, show
from mlops.views.filters import kept, number_of, select
from mlops.views.sitting import Sitting, Step

OFFERS = ("category", "version", "reason")
MOST_VERSIONS = 30  # to choose from
TITLE = "Label queue"


@needs(LABEL)
def queue(request: HttpRequest) -> HttpResponse:
    """Which tickets should a person look at next?"""
    now = timezone.now()
    filters, reason = read_filters(request, now=now)
    remembered = sitting.read(request.session, now=now)
    if request.method == "POST":
        answer = _carry_out(request, filters, remembered, now=now)
        remembered.save(request.session)
        return answer
    by, categories = person(request), list(Category.objects.all())
    found = look(
        Wanted(category=filters.category, version=filters.version, reason=reason),
        Reader(by=by, skipped=list(remembered.skipped)),
        now=now,
        ticket_id=number_of(request.GET.get("ticket", "")),
    )
    return show(
        request,
        "pages/queue.html",
        title=TITLE,
        filters=filters,
        is_filtered=bool(filters.address() != "?"),
        selects=selects(filters, reason, categories),
        kept=kept(filters, *OFFERS),
        address=address(filters),
        last=remembered.done[-1] if remembered.done else None,
        **_shown(found, categories, by=by, now=now),
    )


def _shown(found: Next, categories: list[Category], *, by: User, now: datetime) -> dict[str, Any]:
    shown = words_of(found, categories, by=by, now=now)
    if found.fold is None:
        shown["has_model"] = ModelVersion.objects.in_production().exists()
    return shown


# --- Filters --------------------------------------------------------------------------------------
def read_filters(request: HttpRequest, *, now: datetime) -> tuple[Filters, str]:
    """The filters of the address, and the reason for review, one of Prediction.Reason or ""."""
    filters = filtering.read(request.GET, now=now, offers=OFFERS)
    reason = filters.given.get("reason", "")
    if reason and reason not in Prediction.Reason.values:
        told = f"The reason must be one of {', '.join(Prediction.Reason.values)}; the address says “{reason[:40]}”."
        return replace(filters, complaints=(*filters.complaints, f"{told} Shown is every reason.")), ""
    return filters, reason


def selects(filters: Filters, reason: str, categories: list[Category]) -> list[dict[str, Any]]:
    numbers = ModelVersion.objects.filter(is_demo=False).values_list("number", flat=True)[:MOST_VERSIONS]
    return [
        select(
            "category",
            "Guessed",
            [(category.slug, category.name) for category in categories],
            chosen=filters.category.slug if filters.category else "",
            any_="any category",
        ),
        select(
            "reason", "Why it waits", ((key.value, IN_SHORT[key]) for key in IN_SHORT), chosen=reason, any_="any reason"
        ),
        select(
            "version",
            "Asked was",
            ((str(number), f"version {number}") for number in numbers),
            chosen=str(filters.version.number) if filters.version else "",
            any_="any version",
        ),
    ]


def address(filters: Filters, **more: str) -> str:
    """The queue's address with its filters."""
    asked = {**filters.given, **more}
    return f"{reverse('queue')}?{urlencode(asked)}" if asked else reverse("queue")


# --- What a person does ---------------------------------------------------------------------------
def _carry_out(request: HttpRequest, filters: Filters, remembered: Sitting, *, now: datetime) -> HttpResponse:
    """A choice, a skip or an undo; then on to the next ticket."""
    if "undo" in request.POST:
        ticket_id = _undo(request, remembered, now=now)
        more = {"ticket": str(ticket_id)} if ticket_id else {}
        return HttpResponseRedirect(address(filters, **more))
    ticket = Ticket.objects.filter(pk=number_of(request.POST.get("ticket", "")) or 0, is_demo=False).first()
    alike = [number for text in request.POST.getlist("alike") if (number := number_of(text))]
    if ticket is None:
        messages.error(request, "There is no such ticket any more. Here is the next one.")
    elif "skip" in request.POST:
        remembered.skip([ticket.pk, *alike], now=now)
        messages.info(request, f"Skipped ticket {ticket.pk}: it comes back after the rest.")
    else:
        clash = _choose(request, ticket, alike if "fold" in request.POST else [], remembered, now=now)
        if clash is not None:
            return _tell_clash(request, clash, filters, now=now)
    return HttpResponseRedirect(address(filters))


def _choose(
    request: HttpRequest, ticket: Ticket, alike: list[int], remembered: Sitting, *, now: datetime
) -> Label | None:
    """Labels, and says so; gives the label that somebody else has set meanwhile, if it is another one."""
    category = Category.objects.filter(slug=request.POST.get("category", "").replace("\0", "")).first()
    if category is None:
        messages.error(request, "That is no category. Choose one of these.")
        return None
    try:
        choice = reviewing.choose(
            ticket,
            category,
            alike=alike,
            by=person(request),
            now=now,
            seed=settings.SEED,
            is_first="replace" not in request.POST,
        )
    except AlreadyLabelled as error:
        return error.label
    except (CategoryRetired, TextRemoved) as error:
        messages.error(request, str(error))
    except Ticket.DoesNotExist:
        messages.error(request, f"Ticket {ticket.pk} was deleted meanwhile. Here is the next one.")
    else:
        _tell(request, choice, ticket, category, remembered)
    return None


def _tell(
    request: HttpRequest, choice: reviewing.Choice, ticket: Ticket, category: Category, remembered: Sitting
) -> None:
    if not choice.labels:
        messages.info(request, f"Ticket {ticket.pk} had the label {category.name} already.")
        return
    remembered.do(Step([label.pk for label in choice.labels], ticket.pk, category.name))
    n = len(choice.labels)
    what = category.name if n == 1 else f"{counted(n, 'ticket')} as {category.name}"
    left = f" {counted(choice.n_left, 'ticket')} had a label by now and kept it." if choice.n_left else ""
    messages.success(request, f"Labelled {what}; undo with U.{left}")


def _undo(request: HttpRequest, remembered: Sitting, *, now: datetime) -> int | None:
    """Takes the last choice back, with all its labels, and gives the id of its ticket; None if there was none."""
    if not remembered.done:
        messages.info(request, "There is nothing to undo.")
        return None
    step = remembered.done.pop()
    remembered.skipped.pop(step.ticket_id, None)
    n_ended = 0
    for label in Label.objects.filter(pk__in=step.label_ids, by=person(request)).order_by("pk"):
        try:
            reviewing.take_back(label, now=now)
        except (reviewing.LabelEnded, Ticket.DoesNotExist):
            n_ended += 1
    if n_ended:
        told = f"{counted(n_ended, 'label')} of {step.category} had been corrected by somebody and stay corrected."
        messages.warning(request, told)
    if n_ended < len(step.label_ids):
        messages.success(request, f"Took {step.category} back for {counted(len(step.label_ids) - n_ended, 'ticket')}.")
    return step.ticket_id


def _tell_clash(request: HttpRequest, label: Label, filters: Filters, *, now: datetime) -> HttpResponse:
    """The page that asks what to do about a ticket that somebody else has labelled otherwise meanwhile."""
    wanted = Category.objects.get(slug=request.POST["category"])
    return show(
        request,
        "pages/queue_clash.html",
        title=TITLE,
        status=409,
        label=label,
        who=doer(label.by, label.key) or "An import",
        ago=ago(now, label.created_at),
        ticket=label.ticket,
        wanted=wanted,
        address=address(filters),
    )
