"""Where things stand in the admin: sidebar, tabs and front page. settings.UNFOLD names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from classifier.models import ApiKey, ApiRequest, Category, Label, ModelVersion, Prediction, Ticket, User
from mlops import places
from mlops.models import AliasMove, Dataset, DriftSnapshot, ImportJob, Promotion, RetrainDecision, Slot, TrainingRun


@dataclass(frozen=True)
class Place:
    """A page of rows: its Material symbol and a line that says what is there. Its rows' name is its own."""

    model: type[Model]
    icon: str
    line: str

    @property
    def title(self) -> str:
        return str(capfirst(self.model._meta.verbose_name_plural))

    @property
    def address(self) -> str:
        return reverse(f"admin:{self.model._meta.app_label}_{self.model._meta.model_name}_changelist")

    def is_open_to(self, request: HttpRequest) -> bool:
        return bool(admin.site.get_model_admin(self.model).has_view_permission(request))


GROUPS = {
    "Tickets": (
        Place(Ticket, "confirmation_number", "What was asked. Search them, read them, set their label."),
        Place(Label, "sell", "What was right, by whom, since when."),
        Place(Prediction, "forum", "What versions answered, and how sure they were."),
        Place(Category, "category", "What a ticket can be."),
        Place(ImportJob, "drive_folder_upload", "Files that were imported by hand, and what came of them."),
    ),
    "Model": (
        Place(ModelVersion, "model_training", "What answers, with its scores. Promote another here."),
        Place(TrainingRun, "fitness_center", "Each attempt to make a version, with its log."),
        Place(Promotion, "rocket_launch", "Which version went to production when, by whom and why."),
        Place(AliasMove, "push_pin", "Where MLflow's alias was moved, by us or by hand, and the answer."),
        Place(Dataset, "dataset", "The tickets that runs trained on, frozen."),
    ),
    "Watch": (
        Place(DriftSnapshot, "ssid_chart", "Whether recent tickets are like those it was validated on."),
        Place(
            RetrainDecision,
            "rule",
            "Whether a retraining began by itself, and why, or why not.",
        ),
        Place(PeriodicTask, "schedule", "What runs by itself, and when."),
        Place(Slot, "event_note", "What ran when, how long it took, and what came of it."),
    ),
    "Access": (
        Place(ApiKey, "key", "Which clients may ask, and for what."),
        Place(ApiRequest, "swap_vert", "Who asked, and how it went."),
        Place(User, "person", "The people who sign in."),
        Place(Group, "group", "The roles, and other permissions that people share."),
        Place(AccessAttempt, "lock_clock", "Who tried in vain, from where, and who is locked out."),
        Place(LogEntry, "history", "Who added, changed or removed what in the admin, and when."),
    ),
}
SCHEDULES = (PeriodicTask, IntervalSchedule, CrontabSchedule, ClockedSchedule)  # tabs of one page


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of pages that the person may see, as Unfold wants them."""
    pages = [
        {"title": page.title, "icon": page.symbol, "link": page.address, "line": page.line, "active": False}
        for pages in places.GROUPS.values()
        for page in pages
        if page.is_open_to(request.user)
    ]
    groups = [{"title": "Dashboard", "items": pages}] if pages else []
    for title, lists in GROUPS.items():
        items = [
            {"title": place.title, "icon": place.icon, "link": place.address, "line": place.line}
            for place in lists
            if place.is_open_to(request)
        ]
        if items:
            groups.append({"title": title, "separator": bool(groups), "items": items})
    return groups


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """The kinds of schedules, side by side above their pages."""
    labels = {model: model._meta.label_lower for model in SCHEDULES}
    items = [
        {
            "title": capfirst(model._meta.verbose_name_plural),
            "link": reverse(f"admin:{labels[model].replace('.', '_')}_changelist"),
        }
        for model in SCHEDULES
        if admin.site.get_model_admin(model).has_view_permission(request)
    ]
    return [{"models": list(labels.values()), "items": items}]


def front(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the front page says above the groups: which version answers."""
    context["title"] = "Start"
    if admin.site.get_model_admin(ModelVersion).has_view_permission(request):
        context["answering"] = ModelVersion.objects.in_production().only("number", "recipe").first()
        context["may_see_versions"] = True
    return context
