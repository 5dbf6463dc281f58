"""The pages of django-celery-beat's schedules, made to look like the others."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Max
from django.http import HttpRequest
from django.utils.html import format_html
from django_celery_beat import admin as beat  # importing it registers its own pages, which are taken down here
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from classifier.admin.base import CarefulAdmin, CarefulList
from classifier.admin.cells import NOTHING, excerpt, link, moment, when
from classifier.admin.sheets import Sheet, Table
from mlops import tasks  # noqa: F401 (see TaskSelect)
from mlops.admin.slots import COLOURS, log_of, seconds_between
from mlops.models import Slot

SHOWN_SLOTS = 10

# Solar schedules need the package ephem, which is not installed: one of them would keep beat from starting.
admin.site.unregister([ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule])


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The choice of our tasks; importing their module has registered them."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()
        if "description" in self.fields:  # who may only see it gets a form without fields of the row
            self.fields["name"].help_text = "What the schedule log calls it."
            self.fields["description"].help_text = "What it is for, in a sentence."


class ScheduleList(CarefulList):
    """Brings what came of each schedule last, for the rows of the page.

    As a subquery of each row Postgres reads the whole log backwards for every schedule that was never due.
    """

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        log = Slot.objects.filter(name__in=[row.name for row in rows]).order_by()
        newest = log.values("name").annotate(newest=Max("pk")).values("newest")
        lines = {slot.name: slot for slot in Slot.objects.filter(pk__in=[line["newest"] for line in newest])}
        for row in rows:
            row.newest = lines.get(row.name)
        self.result_list = rows


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, CarefulAdmin):
    """What beat starts by itself, and when."""

    form = PeriodicTaskForm
    change_form_template = None  # the package's own has an inline script, for a field that is not shown here
    empty = "Nothing runs by itself yet. Add a task, and a schedule for it."
    list_display = ("name", "enabled", "scheduler", "last", "last_due", "one_off", moment("start_time", "not before"))
    list_filter = ("enabled", "one_off")
    date_hierarchy = None
    actions = ("enable_tasks", "disable_tasks")
    fieldsets = (
        (None, {"fields": ("name", "regtask", "task", "enabled", "description")}),
        ("When", {"fields": ("interval", "crontab", "clocked", "start_time", "one_off")}),
        ("Arguments", {"fields": ("args", "kwargs"), "classes": ("collapse",)}),
        ("How it is sent", {"fields": ("expires", "expire_seconds", "queue", "priority"), "classes": ("collapse",)}),
    )
    readonly_fields = ()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Switching on and off for whoever may change schedules; the package would let everybody who sees them."""
        return super().get_actions(request) if self.has_change_permission(request) else {}

    def get_changelist(self, request: HttpRequest, **named: Any) -> type[ChangeList]:
        return ScheduleList

    @display(description="last", label=COLOURS)
    def last(self, task: PeriodicTask) -> str | None:
        return task.newest and task.newest.status.replace("_", " ")

    @display(description="was due")
    def last_due(self, task: PeriodicTask) -> str:
        return log_of(task.name, when(task.newest.due_at)) if task.newest else NOTHING

    def sheet(self, row: PeriodicTask) -> Sheet:
        newest = Slot.objects.filter(name=row.name).order_by("-due_at")[:SHOWN_SLOTS]
        rows = [
            (
                link(slot, when(slot.due_at, to_the_second=True)),
                slot.status.replace("_", " "),
                seconds_between(slot.started_at, slot.ended_at),
                excerpt(slot.words),
            )
            for slot in newest
        ]
        table = Table(
            title="What came of it",
            headers=("Due", "Status", "Seconds", "What came of it"),
            rows=rows,
            note=format_html(
                "Its newest moments. {} has all of the last seven days.", log_of(row.name, "The schedule log")
            ),
            empty="It was not due yet, or beat does not run: manage.py up starts it.",
            numbers=frozenset({2}),
            prose=frozenset({3}),
        )
        return Sheet(tables=(table,))


class TaskInline(TabularInline):
    """The tasks that follow a schedule."""

    model = PeriodicTask
    fields = ("name", "task", "enabled")
    readonly_fields = fields
    can_delete = False
    extra = 0
    show_change_link = True
    verbose_name_plural = "tasks that follow it"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(IntervalSchedule)
class IntervalAdmin(CarefulAdmin):
    """Every so many minutes, hours or days."""

    inlines = (TaskInline,)


@admin.register(CrontabSchedule)
class CrontabAdmin(CarefulAdmin):
    """At fixed times of fixed days."""

    list_display = ("__str__", "human_readable", "timezone")
    fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone", "human_readable")
    readonly_fields = ("human_readable",)
    inlines = (TaskInline,)


@admin.register(ClockedSchedule)
class ClockedAdmin(CarefulAdmin):
    """Once, at a moment."""

    list_display = (moment("clocked_time", "time"),)
    fields = ("clocked_time",)
    inlines = (TaskInline,)
