"""Where things stand in the admin: sidebar, tabs and front page. settings.UNFOLD names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from classifier.models import ApiKey, ApiRequest, Category, Label, ModelVersion, Prediction, Ticket, User
from mlops.models import AliasMove, Dataset, DriftSnapshot, Promotion, RetrainDecision, Slot, TrainingRun


@dataclass(frozen=True)
class Place:
    """A page of rows: its name, its Material symbol and a line that says what is there."""

    model: type[Model]
    title: str
    icon: str
    line: str

    @property
    def address(self) -> str:
        return reverse(f"admin:{self.model._meta.app_label}_{self.model._meta.model_name}_changelist")

    def is_open_to(self, request: HttpRequest) -> bool:
        return bool(admin.site.get_model_admin(self.model).has_view_permission(request))


GROUPS = {
    "Tickets": (
        Place(Ticket, "Tickets", "confirmation_number", "What was asked. Search them, read them, set their label."),
        Place(Label, "Labels", "sell", "What was right, by whom, since when."),
        Place(Prediction, "Predictions", "forum", "What versions answered, and how sure they were."),
        Place(Category, "Categories", "category", "What a ticket can be."),
    ),
    "Model": (
        Place(ModelVersion, "Versions", "model_training", "What answers, with its scores. Promote another here."),
        Place(TrainingRun, "Training runs", "fitness_center", "Each attempt to make a version, with its log."),
        Place(Promotion, "Promotions", "rocket_launch", "Which version went to production when, by whom and why."),
        Place(
            AliasMove, "MLflow alias", "push_pin", "Where MLflow's alias was moved, by us or by hand, and the answer."
        ),
        Place(Dataset, "Datasets", "dataset", "The tickets that runs trained on, frozen."),
    ),
    "Watch": (
        Place(DriftSnapshot, "Drift", "monitoring", "Whether recent tickets are like those it was validated on."),
        Place(
            RetrainDecision,
            "Retraining decisions",
            "rule",
            "Whether a retraining began by itself, and why, or why not.",
        ),
        Place(PeriodicTask, "Schedules", "schedule", "What runs by itself, and when."),
        Place(Slot, "Schedule log", "event_note", "What ran when, how long it took, and what came of it."),
    ),
    "Access": (
        Place(ApiKey, "API keys", "key", "Which clients may ask, and for what."),
        Place(ApiRequest, "API requests", "swap_vert", "Who asked, and how it went."),
        Place(User, "Users", "person", "The people who sign in."),
        Place(Group, "Groups", "group", "The roles, and other permissions that people share."),
        Place(AccessAttempt, "Failed sign-ins", "lock_clock", "Who tried in vain, from where, and who is locked out."),
    ),
}
SCHEDULES = {
    PeriodicTask: "Tasks",
    IntervalSchedule: "Intervals",
    CrontabSchedule: "Crontabs",
    ClockedSchedule: "Moments",
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of pages that the person may see, as Unfold wants them."""
    groups = []
    for title, places in GROUPS.items():
        items = [
            {"title": place.title, "icon": place.icon, "link": place.address, "line": place.line}
            for place in places
            if place.is_open_to(request)
        ]
        if items:
            groups.append({"title": title, "separator": bool(groups), "items": items})
    return groups


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """The kinds of schedules, side by side above their pages."""
    labels = {model: model._meta.label_lower for model in SCHEDULES}
    items = [
        {"title": title, "link": reverse(f"admin:{labels[model].replace('.', '_')}_changelist")}
        for model, title in SCHEDULES.items()
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
