"""The page of decisions about retraining: whether one began by itself, and why, or why not."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from classifier.admin.base import FactAdmin
from classifier.admin.cells import NOTHING, excerpt, figure, link, moment, paragraph
from classifier.admin.sheets import Sheet
from mlops.admin import reports
from mlops.models import RetrainDecision

COLOURS = {
    "started": "success",
    "not needed": "",
    "unchanged": "warning",
    "switched off": "warning",
    "in progress": "info",
    "cooling down": "info",
    "enough for today": "info",
}


@admin.register(RetrainDecision)
class RetrainDecisionAdmin(FactAdmin):
    """Each time it was asked whether a retraining should begin by itself, and the answer."""

    empty = "Nothing was decided yet. It is asked after each drift snapshot and by the nightly schedule."
    list_display = (moment("created_at", "time"), "answer", "spoke", "why", "begun", "seen")
    list_filter = ("decision", "cause", "created_at")
    search_fields = ("words",)
    search_help_text = "Words of the reason"
    sortable_by = ()
    fields = (moment("created_at", "time"), "answer", "spoke", "whole_words", "begun", "seen")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        decisions = super().get_queryset(request).select_related("run", "snapshot")
        return decisions.only(*(field.name for field in self.opts.fields), "run__status", "snapshot__verdict")

    def for_list(self, queryset: QuerySet) -> QuerySet:
        return queryset.defer("figures")

    @display(description="decision", label=COLOURS)
    def answer(self, row: RetrainDecision) -> str:
        return row.decision.replace("_", " ")

    @display(description="cause")
    def spoke(self, row: RetrainDecision) -> str:
        return NOTHING if row.cause == RetrainDecision.Cause.NONE else row.cause

    @display(description="why")
    def why(self, row: RetrainDecision) -> str:
        return excerpt(row.words)

    @display(description="why")
    def whole_words(self, row: RetrainDecision) -> str:
        return paragraph(row.words)

    @display(description="run that it started")
    def begun(self, row: RetrainDecision) -> str:
        return link(row.run)

    @display(description="drift snapshot")
    def seen(self, row: RetrainDecision) -> str:
        return link(row.snapshot)

    def sheet(self, row: RetrainDecision) -> Sheet:
        shown = {name: _in_words(value) for name, value in row.figures.items()}
        return Sheet(tables=(reports.settings_table(shown, "What it was decided on"),))


def _in_words(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NOTHING
    return figure(value) if isinstance(value, float | None) else value
