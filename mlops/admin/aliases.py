"""The page of the moves of MLflow's alias `production`: what moved it, and what was answered."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from classifier.admin.base import FactAdmin
from classifier.admin.cells import NOTHING, excerpt, link, moment, paragraph
from classifier.models import ModelVersion
from mlops.models import AliasMove

COLOURS = {
    "followed": "success",
    "taken over": "info",
    "put back": "warning",
}


@admin.register(AliasMove)
class AliasMoveAdmin(FactAdmin):
    """Each move of the alias that we made, found or undid, the newest first."""

    empty = "The alias has not moved yet. It follows the first promotion, or run manage.py reconcile."
    counted = ("move", "moves")
    list_display = (moment("created_at", "time"), "answer", "came_from", "stands_on", "why", "promoted")
    list_filter = ("decision", "created_at")
    search_fields = ("words",)
    search_help_text = "Words of what was done"
    sortable_by = ()
    fields = (moment("created_at", "time"), "answer", "came_from", "stands_on", "whole_words", "promoted")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        moves = super().get_queryset(request).select_related("promotion__version")
        return moves.defer(*ModelVersion.heavy("promotion__version"))

    @display(description="decision", label=COLOURS)
    def answer(self, move: AliasMove) -> str:
        return move.decision.replace("_", " ")

    @display(description="from registered version")
    def came_from(self, move: AliasMove) -> str:
        return str(move.found or NOTHING)

    @display(description="to registered version")
    def stands_on(self, move: AliasMove) -> str:
        return str(move.left or NOTHING)

    @display(description="what was done")
    def why(self, move: AliasMove) -> str:
        return excerpt(move.words)

    @display(description="what was done")
    def whole_words(self, move: AliasMove) -> str:
        return paragraph(move.words)

    @display(description="promotion")
    def promoted(self, move: AliasMove) -> str:
        return link(move.promotion)
