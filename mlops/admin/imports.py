"""The page of files that were imported by hand: to be read here. They are uploaded and begun on the Imports page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from unfold.decorators import display

from classifier.admin.base import FactAdmin
from classifier.admin.cells import NOTHING, excerpt, figure, link, moment, paragraph
from classifier.admin.sheets import Sheet
from mlops.admin import reports
from mlops.admin.live import LiveAdmin
from mlops.admin.slots import seconds_between
from mlops.models import ImportJob

COLOURS = {"succeeded": "success", "running": "info", "queued": "info", "failed": "danger"}
created = moment("created_at", "uploaded")


@admin.register(ImportJob)
class ImportJobAdmin(LiveAdmin, FactAdmin):
    """Each file that somebody uploaded: what is in it, where its import is, what came of it."""

    empty = "No file was uploaded yet. Import one on the Imports page, or with manage.py import_tickets FILE."
    at_work = (ImportJob.Status.QUEUED, ImportJob.Status.RUNNING)
    list_display = ("name", "standing", "file_name", "by", "progress", "came_of_it", "took", created)
    list_filter = ("status", "created_at")
    search_fields = ("file_name__startswith", "by__username__exact")
    search_help_text = "The beginning of a file's name, or a person's name"
    list_select_related = ("by",)
    sortable_by = ()
    fieldsets = (
        (None, {"fields": ("standing", "whole_outcome", "progress", "step")}),
        ("The file", {"fields": ("file_name", "size", "who", created)}),
        ("How it went", {"fields": ("attempt", moment("started_at", "started"), moment("ended_at", "ended"), "took")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer("content", "refused")

    def for_list(self, queryset: QuerySet) -> QuerySet:
        return queryset.defer(*ImportJob.HEAVY)

    @display(description="import", ordering="id")
    def name(self, job: ImportJob) -> str:
        return f"#{job.pk}"

    @display(description="status", label=COLOURS)
    def standing(self, job: ImportJob) -> str:
        return job.status

    @display(description="by")
    def who(self, job: ImportJob) -> str:
        return link(job.by)

    @display(description="rows")
    def progress(self, job: ImportJob) -> str:
        if not job.n_rows:
            return NOTHING
        is_at_work = job.status == ImportJob.Status.RUNNING
        return f"{job.n_done:,} of {job.n_rows:,}" if is_at_work else figure(job.n_rows)

    @display(description="outcome")
    def came_of_it(self, job: ImportJob) -> str:
        return excerpt(job.step if job.status == ImportJob.Status.RUNNING else job.outcome) or NOTHING

    @display(description="outcome")
    def whole_outcome(self, job: ImportJob) -> str:
        return paragraph(job.outcome)

    @display(description="size")
    def size(self, job: ImportJob) -> str:
        return filesizeformat(job.n_bytes)

    @display(description="seconds")
    def took(self, job: ImportJob) -> str:
        return seconds_between(job.started_at, job.ended_at)

    def sheet(self, row: ImportJob) -> Sheet:
        asked = reports.settings_table(row.options, "How it is read")
        return Sheet(tables=(asked, reports.settings_table(_counted(row.report), "What the import did")))


def _counted(report: dict[str, Any]) -> dict[str, Any]:
    """The report without its lists, which may name thousands of rows; the Imports page has them to download."""
    return {name: value for name, value in report.items() if not isinstance(value, list)}
