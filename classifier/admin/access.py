"""The pages of who may ask by API, and of who asked: keys and requests."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from rest_framework_api_key.admin import APIKey  # importing it registers the package's own empty table ...
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from classifier.admin.base import CarefulAdmin, CarefulList, FactAdmin, bounded
from classifier.admin.cells import code, figure, link, moment
from classifier.models import ApiKey, ApiRequest, Scope

admin.site.unregister(APIKey)  # ... which nobody should mistake for ours

MAY = {
    Scope.PREDICT: "ask for the category of tickets",
    Scope.LABEL: "say what was right",
    Scope.READ: "read tickets, answers and figures",
    Scope.RUN: "start training runs",
    Scope.PROMOTE: "promote a version and roll back",
    Scope.METRICS: "scrape /metrics",
}


class KeyForm(forms.ModelForm):
    """A key's name, what it may do and until when. It is offered the scopes that its maker has, and no more."""

    offered: ClassVar[list[str]] = []  # set anew for each request: ApiKeyAdmin.get_form
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.value}: {words}") for scope, words in MAY.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What a client may do with the key. Give as little as it needs.",
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "expiry_date")
        help_texts: ClassVar = {"name": "Who or what uses it.", "expiry_date": "Empty: it holds until it is revoked."}

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        field = self.fields.get("scopes")  # a revoked key's form has none
        if field is not None:
            kept = self.instance.scopes  # another's key may keep what it has
            field.choices = [choice for choice in field.choices if choice[0] in (*self.offered, *kept)]


class KeyState(admin.SimpleListFilter):
    """By whether clients can use the key."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        expired = Q(expiry_date__lt=timezone.now())
        holds = Q(revoked=False)
        wanted = {"revoked": ~holds, "expired": holds & expired, "active": holds & ~expired}
        return queryset.filter(wanted.get(self.value() or "", Q()))


class KeyList(CarefulList):
    """Leads to a key by its prefix: its primary key holds the hash, which has no business in addresses and logs."""

    def url_for_result(self, result: ApiKey) -> str:
        return reverse("admin:classifier_apikey_change", args=[result.prefix])


SEARCHED_KEYS = 100  # of those whose name holds what was typed
expires = moment("expiry_date", "expires")
used = moment("last_used_at", "last used")


@admin.register(ApiKey)
class ApiKeyAdmin(CarefulAdmin):
    """Keys are made here and shown once; later they can be renamed, given other scopes, and revoked, never removed."""

    form = KeyForm
    empty = "No key yet. Add one for each client that asks, so that each can be revoked by itself."
    list_display = ("name", "start", "may", "state", used, expires)
    list_filter = (KeyState, "created")
    search_fields = ("name", "prefix__exact")
    search_help_text = "A name or a prefix"
    sortable_by = ("name",)
    readonly_fields = ("start", "state", moment("created", "created"), used)
    actions_detail = ("revoke",)

    def get_changelist(self, request: HttpRequest, **named: Any) -> type[ChangeList]:
        return KeyList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        return super().get_object(request, object_id.partition(".")[0], "prefix")

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return under_prefix(super().log_addition(request, obj, message), obj)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return under_prefix(super().log_change(request, obj, message), obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # its requests would lose their key; a revoked one harms nobody

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not getattr(obj, "revoked", False)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **named: Any) -> type[KeyForm]:
        form = super().get_form(request, obj, change, **named)  # a class of its own for each request
        form.offered = [scope for scope in Scope.values if request.user.has_perm(f"classifier.scope_{scope}")]
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        if obj is None:
            return ("name", "scopes", "expiry_date")
        written = ("name", "granted", expires) if obj.revoked else ("name", "scopes", "expiry_date")
        return (*written, *self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        return () if obj is None else self.readonly_fields

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        key = self.get_object(request, str(object_id))
        return [] if key is None or key.revoked else super().get_actions_detail(request, object_id)

    @display(description="prefix")
    def start(self, key: ApiKey) -> str:
        return code(key.prefix)

    @display(description="may", label=True)
    def may(self, key: ApiKey) -> list[str]:
        return key.scopes

    @display(description="scopes")
    def granted(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @display(description="state", label={"active": "success", "expired": "warning", "revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        return "revoked" if key.revoked else "expired" if key.has_expired else "active"

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            # Only what was changed: a key revoked or used in between must not be set back.
            obj.save(update_fields=form.changed_data)
        else:
            obj.shown_once = ApiKey.objects.assign_key(obj)  # never saved: only the hash is a column
            obj.save()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *given: Any, **named: Any) -> Any:
        context.update(show_save_and_add_another=False, show_save_and_continue=False)
        return super().render_change_form(request, context, *given, **named)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Shows the key in this very answer; a message would lie in a cookie, or in the database, until it is shown."""
        lines = [MAY[Scope(scope)] for scope in obj.scopes]
        context = {"title": "Key created", "key": obj, "opts": self.opts, "lines": lines}
        return TemplateResponse(request, "admin/key_created.html", self.admin_site.each_context(request) | context)

    @action(description="Revoke", url_path="revoke", permissions=["change"], icon="block", variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks, and on POST takes the key out of use for good."""
        key = self.get_object(request, object_id)
        if key is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        back = reverse("admin:classifier_apikey_change", args=[key.prefix])
        if request.method != "POST":
            context = {"title": f"Revoke {key}", "opts": self.opts, "key": key, "back": back}
            return TemplateResponse(request, "admin/key_revoke.html", self.admin_site.each_context(request) | context)
        key.revoked = True
        key.save(update_fields=["revoked"])
        self.log_change(request, key, "Revoked.")
        messages.success(request, f"The key {key} is revoked. Calls with it are refused from now on.")
        return HttpResponseRedirect(back)


def under_prefix(entry: LogEntry, key: ApiKey) -> LogEntry:
    """Keeps what was done to a key under its prefix, where its page looks for it."""
    entry.object_id = key.prefix
    entry.save(update_fields=["object_id"])
    return entry


class StatusClass(admin.SimpleListFilter):
    """By the kind of answer."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("2", "Answered (2xx)"), ("4", "Refused (4xx)"), ("5", "Failed (5xx)")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() not in {"2", "4", "5"}:
            return queryset
        low = int(self.value()) * 100
        return queryset.filter(status__gte=low, status__lt=low + 100)


@admin.register(ApiRequest)
class ApiRequestAdmin(FactAdmin):
    """Who asked what, and how it went."""

    empty = "Nobody has asked yet. Each call with a key leaves a line here."
    list_display = (moment("created_at", "time"), "call", "answered", "code", "tickets", "latency", "caller")
    list_filter = (StatusClass, "is_demo", "created_at")
    search_fields = ("key",)  # what is done with it stands in get_search_results
    search_help_text = "A key's name or prefix, or a route"
    list_select_related = ("key", "user")
    sortable_by = ()
    fields = (list_display[0], "call", "status", *list_display[3:])

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        name = bounded(search_term)
        if not name:
            return queryset, False
        # The keys first: they are few, and the requests of a key have an index.
        keys = ApiKey.objects.filter(Q(name__icontains=name) | Q(prefix=name)).values_list("prefix", flat=True)
        return queryset.filter(Q(key__in=list(keys[:SEARCHED_KEYS])) | Q(route=name)), False

    @display(description="call")
    def call(self, request: ApiRequest) -> str:
        return f"{request.method} {request.route}"

    @display(description="status", label={"2": "success", "4": "warning", "5": "danger"})
    def answered(self, request: ApiRequest) -> tuple[str, str]:
        return str(request.status)[0], str(request.status)

    @display(description="tickets")
    def tickets(self, request: ApiRequest) -> int:
        return request.n_tickets

    @display(description="milliseconds")
    def latency(self, request: ApiRequest) -> str:
        return figure(request.latency_ms, 1)

    @display(description="caller")
    def caller(self, request: ApiRequest) -> str:
        if request.is_demo:
            return "nobody, made up"
        if request.key is None:
            return link(request.user)
        return link(request.key, page=request.key.prefix)
