"""The pages of django-celery-beat's schedules, made to look like the others."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django_celery_beat import admin as beat  # importing it registers its own pages, which are taken down here
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from classifier.admin.base import CarefulAdmin
from classifier.admin.cells import moment
from mlops import tasks  # noqa: F401 (see TaskSelect)

# Solar schedules need the package ephem, which is not installed: one of them would keep beat from starting.
admin.site.unregister([ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule])


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The choice of our tasks; importing their module has registered them."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, CarefulAdmin):
    """What beat starts by itself, and when."""

    form = PeriodicTaskForm
    empty = "Nothing runs by itself yet. Add a task, and a schedule for it."
    list_display = ("name", "enabled", "scheduler", "one_off", moment("start_time", "not before"))
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
