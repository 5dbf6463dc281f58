"""The pages of what was said of tickets: labels and predictions. Both are records, to be read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from classifier.admin.base import FactAdmin, bounded, number_in
from classifier.admin.cells import certainty, decision_in_words, done_by, excerpt, link, moment, paragraph, share
from classifier.admin.filters import OfCategory, OfVersion
from classifier.models import Label, ModelVersion, Prediction, Ticket

created = moment("created_at", "created")
ended = moment("ended_at", "ended")
DECISION_COLOURS = {"auto": "success", "review": "warning"}
SOURCE_COLOURS = {"reviewer": "success", "agent": "success", "import": "info", "api": "warning"}


class OfTicketAdmin(FactAdmin):
    """Rows that say something of a ticket, found by its number or external id."""

    search_fields = ("ticket",)  # what is done with it stands in get_search_results
    search_help_text = "A ticket's number or external id"
    sortable_by = ()

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        name = bounded(search_term)
        if not name:
            return queryset, False
        number = number_in(name)
        named = Q(external_id=name) if number is None else Q(external_id=name) | Q(pk=number)
        # Two look-ups by index, where a condition on the joined tables reads both whole.
        return queryset.filter(ticket__in=list(Ticket.objects.filter(named).values_list("pk", flat=True))), False

    @display(description="ticket")
    def number(self, row: Any) -> str:
        return link(row.ticket, f"#{row.ticket_id}")

    @display(description="text")
    def beginning(self, row: Any) -> str:
        return excerpt(row.ticket.text)

    @display(description="text")
    def whole(self, row: Any) -> str:
        return paragraph(row.ticket.text)


class Standing(admin.SimpleListFilter):
    """By whether the label still stands."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("current", "Current"), ("corrected", "Corrected since")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        return queryset.filter(ended_at__isnull=self.value() == "current")


@admin.register(Label)
class LabelAdmin(OfTicketAdmin):
    """Who said what is right for a ticket, from when to when. A label is set on its ticket's page."""

    empty = "No label yet. Set one on a ticket's page, or import labelled tickets with manage.py import_tickets FILE."
    list_display = ("category", "number", "beginning", "from_source", "who", created, ended)
    list_filter = (Standing, "source", OfCategory, "created_at")
    list_select_related = ("category", "by", "key", "ticket")
    fields = ("category", "number", "whole", "from_source", "who", created, ended)

    @display(description="source", label=SOURCE_COLOURS)
    def from_source(self, label: Label) -> str:
        return label.source

    @display(description="by")
    def who(self, label: Label) -> str:
        return done_by(label)


@admin.register(Prediction)
class PredictionAdmin(OfTicketAdmin):
    """What versions answered."""

    empty = "No prediction yet. Ask for a ticket's category at /api/predict."
    list_display = ("category", "certainty", "decided", "number", "beginning", "answered_by", created)
    list_filter = ("decision", "reason", OfCategory, OfVersion, "is_demo", "created_at")
    fields = (
        "category",
        "certainty",
        "decided",
        "number",
        "whole",
        "answered_by",
        created,
        "asked_in",
        "words",
        "unknown",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        # A version's scores are 100 kB of JSON at 77 categories, and each row would bring its own copy.
        predictions = super().get_queryset(request).select_related("category", "version", "ticket", "request")
        return predictions.defer(*ModelVersion.heavy("version"))

    @display(description="confidence")
    def certainty(self, prediction: Prediction) -> str:
        return certainty(prediction.confidence).replace(" ", "\N{NO-BREAK SPACE}")

    @display(description="decision", label=DECISION_COLOURS)
    def decided(self, prediction: Prediction) -> tuple[str, str]:
        return prediction.decision, decision_in_words(prediction)

    @display(description="version")
    def answered_by(self, prediction: Prediction) -> str:
        return link(prediction.version)

    @display(description="request")
    def asked_in(self, prediction: Prediction) -> str:
        return "Made up for demonstration" if prediction.is_demo else link(prediction.request)

    @display(description="words")
    def words(self, prediction: Prediction) -> int:
        return prediction.n_words

    @display(description="unknown words")
    def unknown(self, prediction: Prediction) -> str:
        return share(prediction.unknown_share)
