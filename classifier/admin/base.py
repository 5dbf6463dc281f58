"""What all pages of the admin share: facts stay as they are, long tables stay quick, a typed address does no harm."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.admin import ShowFacets
from django.core.paginator import Paginator
from django.db.models import CASCADE, PROTECT, DateField, DateTimeField, Model, QuerySet
from django.db.models.deletion import get_candidate_relations_to_delete
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.functional import cached_property
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from classifier.admin.sheets import Sheet

COUNTED = 10_000  # rows; counting a million predictions takes longer than the rest of the page together
SEARCH_CHARACTERS = 200  # SQLite refuses a pattern of more than 50,000 bytes
ID_DIGITS = 18  # a longer one is above every id, and no database takes it
SEARCH_WORDS = 8  # each is a condition of its own, and SQLite refuses an expression deeper than 1,000


Deletion = tuple[list[str], dict[str, int], set[str], list[str]]  # rows, what goes with them, permissions, what stays


class CountingPaginator(Paginator):
    """Counts to COUNTED and no further; whoever wants an older row searches or filters."""

    template_name = "admin/counted_pages.html"

    @cached_property
    def rows_up_to_limit(self) -> int:
        # Unordered: the database may take the first rows it finds.
        return self.object_list.order_by().values("pk")[: COUNTED + 1].count()

    @cached_property
    def count(self) -> int:
        return min(self.rows_up_to_limit, COUNTED)

    @property
    def has_more(self) -> bool:
        return self.rows_up_to_limit > COUNTED

    @property
    def count_in_words(self) -> str:
        return f"more than {COUNTED:,}" if self.has_more else f"{self.count:,}"


def without_nul(typed: QueryDict) -> QueryDict:
    """The query string without NUL characters, which Postgres refuses anywhere in a statement."""
    if not any("\0" in value for values in typed.lists() for value in [values[0], *values[1]]):
        return typed
    clean = QueryDict(mutable=True)
    for name, values in typed.lists():
        clean.setlist(name.replace("\0", ""), [value.replace("\0", "") for value in values])
    return clean


def bounded(search: str) -> str:
    """The first words of what was typed into the search box, without NUL characters."""
    return " ".join(search.replace("\0", " ")[:SEARCH_CHARACTERS].split()[:SEARCH_WORDS])


def number_in(search: str) -> int | None:
    """The row's number that was typed, with or without a hash sign before it; None for anything else.

    >>> number_in("#12"), number_in("refund"), number_in("9" * 40)
    (12, None, None)
    """
    digits = search.removeprefix("#")
    return int(digits) if digits.isdecimal() and len(digits) <= ID_DIGITS else None


class CarefulList(ChangeList):
    """A list of rows without their heavy columns, whose heading counts only what was searched out."""

    def __init__(self, request: HttpRequest, *given: Any, **named: Any) -> None:
        super().__init__(request, *given, **named)
        self.title = capfirst(self.opts.verbose_name_plural)  # Django says "Select ticket to change"

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet:
        return self.model_admin.for_list(super().get_queryset(request, exclude_parameters))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.paginator.has_more or not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count


class CarefulAdmin(ModelAdmin):
    """A page over a table that may be long, at an address that anybody may type."""

    empty = "Nothing yet."  # what an empty page says, and what to do next

    counted: tuple[str, str] | None = None  # one row and many, where the model's own names cannot be counted
    list_per_page = 50
    list_max_show_all = 50
    paginator = CountingPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # one count a choice of each filter
    list_before_template = "admin/list_style.html"
    change_form_outer_after_template = "admin/sheets.html"
    actions: Any = None  # nothing is done to many rows at once unless a page says what

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        request.GET = without_nul(request.GET)
        return super().changelist_view(request, extra_context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The page's own actions. Rows are removed one at a time, on a page that says what goes with them."""
        return {name: kept for name, kept in super().get_actions(request).items() if name != "delete_selected"}

    def get_changelist(self, request: HttpRequest, **named: Any) -> type[ChangeList]:
        return CarefulList

    def for_list(self, queryset: QuerySet) -> QuerySet:
        """The rows as the list needs them: without columns that it does not show."""
        return queryset

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        return super().get_object(request, object_id.replace("\0", ""), from_field)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return super().get_search_results(request, queryset, bounded(search_term))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allows what the page's own filters send; anything else is refused with 400."""
        return any(lookup in self._sent_by(entry) for entry in self.get_list_filter(request))

    def _sent_by(self, entry: Any) -> set[str]:
        """The names that an entry of `list_filter` puts into the query string.

        Nothing else may be asked by address: `__regex` with half a regular expression is a 500, a foreign key without
        `__id` overflows, and `hashed_key__startswith` would spell a key's hash out letter by letter.
        """
        if hasattr(entry, "parameter_name"):
            return {entry.parameter_name}
        field = self.opts.get_field(entry)
        if field.is_relation:
            return {f"{entry}__{field.target_field.name}__exact", f"{entry}__isnull"}
        if isinstance(field, DateField):
            return {f"{entry}__gte", f"{entry}__lt", f"{entry}__isnull"}
        return {entry, f"{entry}__exact", f"{entry}__isnull"}

    def sheet(self, row: Any) -> Sheet | None:
        """The figures and tables below the row's form."""
        return None

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *given: Any, **named: Any) -> Any:
        if context.get("original") is not None:
            context["sheet"] = self.sheet(context["original"])
        return super().render_change_form(request, context, *given, **named)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **named: Any) -> Any:
        """Says at a time that is typed which zone it is meant in."""
        field = super().formfield_for_dbfield(db_field, request, **named)
        if field is not None and isinstance(db_field, DateTimeField):
            field.help_text = f"{field.help_text} Times here are {settings.DISPLAY_TIME_ZONE}.".strip()
        return field

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Counts what hangs on the rows, where Django would load and list every one of 100,000 predictions.

        Whether the rows themselves may go is asked before; what goes with them asks no permission of its own.
        """
        goes, stays = {}, []
        for relation in get_candidate_relations_to_delete(self.opts):
            options = relation.related_model._meta
            if options.auto_created:
                continue  # the table between two models that point at each other; it says nothing to a person
            related = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": objs}).count()
            name = str(options.verbose_name_plural)
            if related and relation.on_delete is PROTECT:
                stays.append(f"{related:,} {name if related > 1 else options.verbose_name}")
            elif related and relation.on_delete is CASCADE:
                goes[name] = related
        return [str(row) for row in objs], goes, set(), stays


class FactAdmin(CarefulAdmin):
    """A page over rows that are facts: to be read, and neither added, changed nor removed by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *given: Any, **named: Any) -> Any:
        context["show_history"] = False  # nobody changes it here, so there is none
        return super().render_change_form(request, context, *given, **named)
