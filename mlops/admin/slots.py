"""The page of what schedules did: each moment, who was late, and what came of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django_celery_beat.models import PeriodicTask
from unfold.decorators import display

from classifier.admin.base import FactAdmin
from classifier.admin.cells import NOTHING, code, excerpt, figure, link, moment, paragraph
from classifier.admin.filters import ByRowFilter
from mlops.models import Slot

due = moment("due_at", "due", to_the_second=True)  # two moments of the heartbeat are in a minute
COLOURS = {"done": "success", "failed": "danger", "not sent": "danger", "running": "info", "sent": "info"}


class OfSchedule(ByRowFilter):
    """By the schedule, of those that there are: naming all that there ever were reads the whole log."""

    title = "schedule"
    parameter_name = "name"

    def names(self) -> QuerySet[Any, Any]:
        return PeriodicTask.objects.order_by("name").values_list("name", flat=True)

    def narrowed(self, rows: QuerySet, name: str) -> QuerySet:
        return rows.filter(name=name)


@admin.register(Slot)
class SlotAdmin(FactAdmin):
    """Each moment at which a schedule was due, the newest first, and what came of it."""

    empty = "No schedule was due yet. They are followed while beat runs: manage.py up starts it."
    counted = ("line", "lines")
    list_display = (due, "named", "standing", "came_of_it", "took")
    list_display_links = (due,)
    list_filter = (OfSchedule, "status", "due_at")
    search_fields = ("words",)
    search_help_text = "Words of what came of it"
    sortable_by = ()
    fieldsets = (
        (None, {"fields": ("standing", "whole_words", "schedule")}),
        (
            "When",
            {"fields": (due, moment("sent_at", "sent", to_the_second=True), "waited", "took", "task_name")},
        ),
    )

    @display(description="schedule")
    def named(self, slot: Slot) -> str:
        return slot.name

    @display(description="status", label=COLOURS)
    def standing(self, slot: Slot) -> str:
        return slot.status.replace("_", " ")

    @display(description="what came of it")
    def came_of_it(self, slot: Slot) -> str:
        return excerpt(slot.words) or NOTHING

    @display(description="what came of it")
    def whole_words(self, slot: Slot) -> str:
        return paragraph(slot.words)

    @display(description="seconds")
    def took(self, slot: Slot) -> str:
        return seconds_between(slot.started_at, slot.ended_at)

    @display(description="seconds until a worker began")
    def waited(self, slot: Slot) -> str:
        return seconds_between(slot.due_at, slot.started_at)

    @display(description="task")
    def task_name(self, slot: Slot) -> str:
        return code(slot.task)

    @display(description="schedule")
    def schedule(self, slot: Slot) -> str:
        found = PeriodicTask.objects.filter(name=slot.name).first()
        return f"{slot.name}, removed since" if found is None else link(found, slot.name)


def seconds_between(begin: Any, end: Any) -> str:
    """Seconds from one time to another, or a dash if one of them has not come."""
    return figure((end - begin).total_seconds(), 1) if begin and end else NOTHING


def log_of(name: str, words: str) -> str:
    """A link to the lines of one schedule."""
    return format_html(
        '<a class="text-link whitespace-nowrap" href="{}?{}">{}</a>',
        reverse("admin:mlops_slot_changelist"),
        urlencode({"name": name}),
        words,
    )
