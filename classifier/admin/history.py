"""The page of what people changed by hand in the admin. What was promoted and labelled stands on pages of its own."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import capfirst
from unfold.decorators import display

from classifier.admin.base import FactAdmin, bounded, number_in
from classifier.admin.cells import NOTHING, excerpt, link, moment, paragraph
from classifier.models import User

DEEDS = {ADDITION: "added", CHANGE: "changed", DELETION: "removed"}
COLOURS = {"added": "success", "changed": "info", "removed": "danger"}
FOUND_PEOPLE = 100  # of those whose name holds what was typed
time = moment("action_time", "time", to_the_second=True)


class Deed(admin.SimpleListFilter):
    """By what was done; Django's own choices speak of additions and deletions."""

    title = "what was done"
    parameter_name = "deed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(deed, deed.capitalize()) for deed in DEEDS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        flags = [flag for flag, deed in DEEDS.items() if deed == self.value()]
        return queryset.filter(action_flag__in=flags) if flags else queryset


class Kind(admin.SimpleListFilter):
    """By what the change was made to, of what has a page here."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        changeable = [
            model for model, page in model_admin.admin_site._registry.items() if not isinstance(page, FactAdmin)
        ]
        return sorted(
            ((model._meta.label_lower, capfirst(model._meta.verbose_name_plural)) for model in changeable),
            key=lambda pair: pair[1],
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() is None:
            return queryset
        app, _dot, model = self.value().partition(".")
        # The id first: it has an index, and a condition on the joined table reads both whole.
        return queryset.filter(content_type__in=list(ContentType.objects.filter(app_label=app, model=model)))


@admin.register(LogEntry)
class ChangeByHandAdmin(FactAdmin):
    """Who added, changed or removed what, and when. Django writes it with each form that is saved."""

    empty = "Nobody has changed anything here yet. Each form that is saved leaves a line."
    list_display = (time, "who", "deed", "kind", "which", "in_short")
    list_display_links = (time,)
    list_filter = (Deed, Kind, "action_time")
    search_fields = ("object_repr",)  # what is done with it stands in get_search_results
    search_help_text = "A person, a name or a number"
    list_select_related = ("user", "content_type")
    ordering = ("-id",)
    sortable_by = ()
    fields = (time, "who", "deed", "kind", "which", "whole")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        name = bounded(search_term)
        if not name:
            return queryset, False
        people = User.objects.filter(username__icontains=name).values_list("pk", flat=True)[:FOUND_PEOPLE]
        number = number_in(name)
        named = Q(object_repr__icontains=name) if number is None else Q(object_id=str(number))
        return queryset.filter(named | Q(user__in=list(people))), False

    @display(description="by")
    def who(self, entry: LogEntry) -> str:
        return link(entry.user)

    @display(description="done", label=COLOURS)
    def deed(self, entry: LogEntry) -> str:
        return DEEDS.get(entry.action_flag, NOTHING)

    @display(description="to")
    def kind(self, entry: LogEntry) -> str:
        model = entry.content_type and entry.content_type.model_class()
        return NOTHING if model is None else str(model._meta.verbose_name)

    @display(description="named")
    def which(self, entry: LogEntry) -> str:
        address = None if entry.action_flag == DELETION else entry.get_admin_url()
        name = excerpt(entry.object_repr, 60)
        return format_html('<a class="text-link" href="{}">{}</a>', address, name) if address else name

    @display(description="what was changed")
    def in_short(self, entry: LogEntry) -> str:
        return excerpt(entry.get_change_message()) or NOTHING

    @display(description="what was changed")
    def whole(self, entry: LogEntry) -> str:
        return paragraph(entry.get_change_message())
