"""The pages of tickets and of the categories they can get."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Exists, Model, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from classifier import labelling
from classifier.admin.base import CarefulAdmin, Deletion, bounded, number_in
from classifier.admin.cells import (
    NOTHING,
    certainty,
    decision_in_words,
    done_by,
    excerpt,
    link,
    moment,
    paragraph,
    when,
)
from classifier.admin.filters import OfCategory
from classifier.admin.sheets import Sheet, Table
from classifier.models import Category, Label, Prediction, Ticket
from classifier.searching import search

# Found once: count and page are look-ups then.
FOUND_TICKETS = 200
SHOWN_ROWS = 20  # of a ticket's labels and answers on its page
SPLIT_COLOURS = {"train": "info", "validation": "warning", "test": "success", "excluded": "danger"}


@admin.register(Category)
class CategoryAdmin(CarefulAdmin):
    """Name, description, whether it is answered. The slug is given once: models and clients know a category by it."""

    list_display = ("slug", "name", "line", "active", moment("created_at", "created"))
    list_filter = ("active",)
    search_fields = ("slug", "name", "description")
    search_help_text = "Words of its name or description"
    fields = ("slug", "name", "description", "active", "target_precision")
    empty = "No category yet. Add one, or import tickets with manage.py import_tickets FILE --create-categories."
    ordering = ("slug",)

    @display(description="description")
    def line(self, category: Category) -> str:
        return excerpt(category.description)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **named: Any) -> Any:
        if db_field.name == "description":
            named["widget"] = UnfoldAdminTextareaWidget(attrs={"rows": 2})
        return super().formfield_for_dbfield(db_field, request, **named)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return () if obj is None else ("slug",)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        rows, goes, permissions, stays = super().get_deleted_objects(objs, request)
        return rows, goes, permissions, [*stays, "Retire it instead: switch off “Active”."] if stays else []


class LabelledAs(OfCategory):
    """By the current label: none, or one of the categories."""

    title = parameter_name = "label"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("none", "Not labelled"), *super().lookups(request, model_admin)]

    def narrowed(self, rows: QuerySet, name: str) -> QuerySet:
        current = Label.objects.current().filter(ticket=OuterRef("pk"))
        return rows.filter(~Exists(current) if name == "none" else Exists(current.filter(category__slug=name)))


class LabelForm(forms.ModelForm):
    """The one thing that a person decides about a ticket: its category."""

    label = forms.ModelChoiceField(
        queryset=Category.objects.none(),
        required=False,
        empty_label="Not labelled",
        widget=UnfoldAdminSelectWidget,
        help_text="What is right for this ticket, by your word as a reviewer; training learns from it. "
        "Saving the label that a program set by the API confirms it.",
    )

    class Meta:
        model = Ticket
        fields = ()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        current = self.instance.labels.current().first()
        self.is_unconfirmed = current is not None and current.source not in Label.CONFIRMED
        choices = Q(active=True)
        if current is not None:
            choices |= Q(pk=current.category_id)  # a retired one may stay
            self.initial["label"] = current.category_id
        self.fields["label"].queryset = Category.objects.filter(choices)
        # A label is corrected and never taken away.
        self.fields["label"].required = current is not None
        if self.instance.text_removed_at is not None:
            self.fields["label"].disabled = True
            self.fields["label"].help_text = str(labelling.TextRemoved(self.instance))

    @property
    def decided(self) -> Category | None:
        """The category, if it is another than before, or confirms what no person stood behind."""
        category = self.cleaned_data["label"]
        says_something = "label" in self.changed_data or self.is_unconfirmed
        return category if category is not None and category.active and says_something else None


created = moment("created_at", "created")


@admin.register(Ticket)
class TicketAdmin(CarefulAdmin):
    """What was asked, what was answered, what was right. A person sets the label; only a superuser removes a ticket."""

    form = LabelForm
    list_display = ("number", "beginning", "label", "prediction", "origin", "in_split", created)
    list_display_links = ("number", "beginning")
    list_filter = (LabelledAs, "source", "split", "is_demo", "created_at")
    search_fields = ("text",)
    search_help_text = "Words of the text, a number or an external id"
    sortable_by = ("number",)
    empty = "No ticket yet. Import some with manage.py import_tickets FILE, or ask for one's category at /api/predict."
    readonly_fields = ("words", "in_split", "duplicates", "external_id", "origin", created)
    fieldsets = (
        (None, {"fields": ("words", "label")}),
        (
            "Where it comes from, and where it stands in training",
            {"fields": readonly_fields[1:], "classes": ("collapse",)},
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # tickets come by import and by the API

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        newest = Prediction.objects.select_related("category").order_by("-id")[:1]
        current = Label.objects.current().select_related("category")
        tickets = super().get_queryset(request)
        return tickets.prefetch_related(
            Prefetch("labels", queryset=current, to_attr="current_labels"),
            Prefetch("predictions", queryset=newest, to_attr="newest_predictions"),
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        words = bounded(search_term)
        if not words:
            return queryset, False
        found = matching(queryset, words)
        if len(found) > FOUND_TICKETS:
            messages.info(
                request, f"More than {FOUND_TICKETS:,} tickets match; the newest {FOUND_TICKETS:,} are shown."
            )
        return queryset.filter(pk__in=found[:FOUND_TICKETS]), False

    @display(description="ticket", ordering="id")
    def number(self, ticket: Ticket) -> str:
        return f"#{ticket.pk}"

    @display(description="text")
    def beginning(self, ticket: Ticket) -> str:
        return excerpt(ticket.text)

    @display(description="text")
    def words(self, ticket: Ticket) -> str:
        return paragraph(ticket.text)

    @display(description="label")
    def label(self, ticket: Ticket) -> str:
        return ticket.current_labels[0].category.slug if ticket.current_labels else NOTHING

    @display(description="prediction")
    def prediction(self, ticket: Ticket) -> str:
        if not ticket.newest_predictions:
            return NOTHING
        newest = ticket.newest_predictions[0]
        return f"{newest.category.slug} {certainty(newest.confidence)}".replace(" ", "\N{NO-BREAK SPACE}")

    @display(description="from")
    def origin(self, ticket: Ticket) -> str:
        return f"{ticket.source}, made up" if ticket.is_demo else ticket.source

    @display(description="split", label=SPLIT_COLOURS)
    def in_split(self, ticket: Ticket) -> str | None:
        return ticket.split

    @display(description="near-duplicates")
    def duplicates(self, ticket: Ticket) -> str:
        if ticket.group is None:
            return "Looked for when it is labelled."
        others = Ticket.objects.filter(group=ticket.group).exclude(pk=ticket.pk).count()
        return f"{others:,} in the same split" if others else "No other ticket is like it."

    def save_model(self, request: HttpRequest, obj: Ticket, form: Any, change: bool) -> None:
        """Writes no column of the ticket: what a person decides here is its label."""
        category = form.decided
        if category is not None:
            reviewer = Label.Source.REVIEWER
            labelling.set_label(obj, category, source=reviewer, by=request.user, now=timezone.now(), seed=settings.SEED)

    def sheet(self, row: Ticket) -> Sheet:
        return Sheet(tables=(said_of(row), predicted_of(row)))


def matching(queryset: QuerySet, words: str) -> list[int]:
    """Ids of the newest FOUND_TICKETS tickets that hold all the words or are called so; one more if there are more."""
    number = number_in(words)
    called = Q(external_id=words) if number is None else Q(external_id=words) | Q(pk=number)
    found = dict.fromkeys(queryset.filter(called).values_list("pk", flat=True))
    holding = search(queryset, words).order_by("-pk").values_list("pk", flat=True)
    return list(found | dict.fromkeys(holding[: FOUND_TICKETS + 1]))[: FOUND_TICKETS + 1]


def said_of(ticket: Ticket) -> Table:
    labels = ticket.labels.select_related("category", "by", "key")[:SHOWN_ROWS]
    return Table(
        title="Labels",
        headers=("Category", "Source", "By", "From", "Until"),
        rows=[
            (
                row.category,
                row.source,
                done_by(row),
                when(row.created_at),
                "now" if row.ended_at is None else when(row.ended_at),
            )
            for row in labels
        ],
        note="What people and imports said it is, newest first. A correction ends a label and erases nothing.",
        empty="Not labelled yet. Set its label above.",
    )


def predicted_of(ticket: Ticket) -> Table:
    answers = ticket.predictions.select_related("category", "version").only(
        "ticket_id", "confidence", "decision", "reason", "created_at", "category__slug", "version__number"
    )[:SHOWN_ROWS]
    return Table(
        title="Predictions",
        headers=("Category", "Confidence", "Decision", "Version", "Given"),
        rows=[
            (row.category, certainty(row.confidence), decision_in_words(row), link(row.version), when(row.created_at))
            for row in answers
        ],
        note="What versions answered, newest first.",
        empty="No version was asked about it.",
        numbers=frozenset({1}),
    )
