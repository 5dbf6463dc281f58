"""The pages of model versions and their promotions. A status changes by promotion.promote and in no other way."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import FloatField, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanWidget

from classifier.admin.base import FactAdmin
from classifier.admin.cells import code, done_by, excerpt, figure, link, moment, paragraph, share
from classifier.admin.sheets import Sheet
from classifier.models import ModelVersion, Scope
from mlops import judging, promotion, tasks
from mlops.admin import reports
from mlops.admin.steering import RollsBack, Seen, ask
from mlops.models import MAX_REASON, Promotion, TrainingRun

LISTED_SCORES = ("macro_f1", "accuracy", "calibration_error")
STATUS_COLOURS = {"production": "success", "candidate": "info"}
created = moment("created_at", "created")
Status = ModelVersion.Status


class PromotionForm(Seen):
    """Why a version goes to production, and whether over the gate's head."""

    reason = forms.CharField(
        max_length=MAX_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One sentence for those who ask later. It is kept with the promotion.",
        error_messages={"required": "A promotion needs a reason, for those who ask later. Write one sentence."},
    )
    force = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget,
        label="Promote although the gate says no",
        help_text="It is recorded as forced.",
    )

    def __init__(self, *given: Any, may_force: bool, **named: Any) -> None:
        super().__init__(*given, **named)
        if not may_force:
            del self.fields["force"]


@admin.register(ModelVersion)
class ModelVersionAdmin(FactAdmin):
    """What answers, what could, and what did, with their scores."""

    empty = "No version yet. Import tickets with manage.py import_tickets FILE, then run manage.py train."
    list_display = ("name", "standing", "recipe", "macro_f1", "accuracy", "calibration", created)
    list_filter = ("status", "recipe", "is_demo")
    search_fields = ("number__exact", "recipe", "mlflow_run_id")
    search_help_text = "A number, a recipe or an MLflow run"
    sortable_by = ("name", "macro_f1")
    fieldsets = (
        (None, {"fields": ("standing", "recipe", created, "made_by", "answers", "in_mlflow")}),
        ("Its files", {"fields": ("digest", "size", "mlflow_run"), "classes": ("collapse",)}),
    )
    actions = ("promote_chosen", "compare_chosen")
    actions_detail = ("promote", "compare")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        # The database picks the numbers out: the scores are 100 kB of JSON a version at 77 categories.
        scores = {f"test_{name}": Cast(KT(f"metrics__test__{name}"), FloatField()) for name in LISTED_SCORES}
        # What it said of each validation ticket no page shows.
        return super().get_queryset(request).annotate(**scores).defer("validation_answers", "test_answers")

    def for_list(self, queryset: QuerySet) -> QuerySet:
        return queryset.defer(*ModelVersion.HEAVY)

    @display(description="version", ordering="number")
    def name(self, version: ModelVersion) -> str:
        return f"{str(version).capitalize()}{', made up' if version.is_demo else ''}"

    @display(description="status", label=STATUS_COLOURS)
    def standing(self, version: ModelVersion) -> str:
        return version.status

    @display(description="macro-F1", ordering="test_macro_f1")
    def macro_f1(self, version: Any) -> str:
        return figure(version.test_macro_f1)

    @display(description="accuracy")
    def accuracy(self, version: Any) -> str:
        return share(version.test_accuracy)

    @display(description="calibration error")
    def calibration(self, version: Any) -> str:
        return figure(version.test_calibration_error)

    @display(description="made by")
    def made_by(self, version: ModelVersion) -> str:
        if version.is_demo:
            return "Made up for demonstration; it never answers."
        return link(TrainingRun.objects.filter(version=version).only("pk").first())

    @display(description="answers")
    def answers(self, version: ModelVersion) -> str:
        named = version.categories
        return ", ".join(named) if len(named) <= reports.SHOWN_CATEGORIES else f"{len(named)} categories"

    @display(description="SHA-256")
    def digest(self, version: ModelVersion) -> str:
        return code(version.artifact_id)

    @display(description="bytes")
    def size(self, version: ModelVersion) -> str:
        return figure(type(version.artifact).objects.values_list("n_bytes", flat=True).get(pk=version.artifact_id))

    @display(description="MLflow")
    def in_mlflow(self, version: ModelVersion) -> str:
        if version.is_demo:
            return "Demonstration versions are not recorded."
        if version.mlflow_version is None:
            return "Not recorded: MLflow did not answer. It is tried again each minute, or by manage.py reconcile."
        return f"Recorded as registered version {version.mlflow_version}."

    @display(description="MLflow run")
    def mlflow_run(self, version: ModelVersion) -> str:
        return code(version.mlflow_run_id)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        version = self.get_object(request, str(object_id))
        hopeless = version is None or version.is_demo or version.status == Status.PRODUCTION
        return [] if hopeless else super().get_actions_detail(request, object_id)

    def sheet(self, row: ModelVersion) -> Sheet:
        test = row.metrics.get("test", {})
        scores = (reports.per_category(test), reports.confusion(test), reports.splits(row.metrics))
        decisions = reports.thresholds(row.thresholds)
        return Sheet(
            figures=[*reports.headline(test), *reports.automatic(row.metrics)],
            tables=(*scores, decisions, reports.settings_table(row.parameters)),
        )

    def has_promote_permission(self, request: HttpRequest, _object_id: Any = None) -> bool:
        # A method, not the permission's name: Unfold would look that up in the database at every start.
        return request.user.has_perm(f"classifier.scope_{Scope.PROMOTE}")  # as the API asks

    @admin.action(description="Promote to production", permissions=["promote"])
    def promote_chosen(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        """From the list to the page that asks: of the one version that is chosen there."""
        chosen = list(queryset.values_list("pk", flat=True)[:2])
        if len(chosen) == 1:
            return HttpResponseRedirect(reverse("admin:classifier_modelversion_promote", args=chosen))
        messages.warning(request, "One version answers at a time. Choose one, then promote it.")
        return None

    def has_compare_permission(self, request: HttpRequest, _object_id: Any = None) -> bool:
        return request.user.has_perm(f"classifier.scope_{Scope.READ}")  # as the page does that compares

    @admin.action(description="Compare two", permissions=["compare"])
    def compare_chosen(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        """From the list to the page that sets two versions side by side, the newer one first."""
        chosen = list(queryset.order_by("-number").values_list("number", flat=True)[:3])
        if len(chosen) == 2:
            return HttpResponseRedirect(side_by_side(*chosen))
        messages.warning(request, "Two versions are compared. Choose two, then compare them.")
        return None

    @action(description="Compare with production", url_path="compare", permissions=["compare"], icon="compare_arrows")
    def compare(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """From the version to the page that sets it beside the one that answers."""
        version = self.get_object(request, object_id)
        if version is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        there = ModelVersion.objects.in_production().values_list("number", flat=True).first()
        if there is not None:
            return HttpResponseRedirect(side_by_side(version.number, there))
        messages.warning(request, "No version is in production, so there is nothing to compare it with.")
        return HttpResponseRedirect(reverse("admin:classifier_modelversion_change", args=[version.pk]))

    @action(
        description="Promote to production",
        url_path="promote",
        permissions=["promote"],
        icon="rocket_launch",
        variant=ActionVariant.PRIMARY,
    )
    def promote(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Shows the gate's verdict and asks for a reason; on POST promotes."""
        version = self.get_object(request, object_id)
        if version is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        there = ModelVersion.objects.in_production().values_list("number", flat=True).first() or promotion.NONE
        may_force = request.user.has_perm("mlops.force_promotion")
        form = PromotionForm(request.POST or None, may_force=may_force, initial={"expected": there})
        refusal, verdict = "", None
        if request.method == "POST" and form.is_valid():
            try:
                row = promotion.promote(version, by=request.user, **form.cleaned_data)
            except promotion.GateSaysNo as error:
                verdict = error.verdict  # what refused is what is shown: judged anew, it could be another
                refusal = f"The gate says no. {verdict.in_words()}"
            except (promotion.NotPromotable, promotion.PromotionConflict) as error:
                refusal = str(error)
                form = PromotionForm(may_force=may_force, initial={**form.cleaned_data, "expected": there})
            else:
                tasks.let_alias_follow()
                messages.success(request, f"{str(version).capitalize()} answers from now on.")
                return HttpResponseRedirect(reverse("admin:mlops_promotion_change", args=[row.pk]))
        verdict = verdict or judging.judge(version)
        return ask(
            self,
            request,
            template="admin/promote.html",
            form=form,
            refusal=refusal,
            title=f"Promote {version} to production",
            original=version,
            passed=verdict.passed,
            sheet=Sheet(tables=(reports.rules(verdict.as_dict()),)),
            button=f"Promote {version}",
            back=reverse("admin:classifier_modelversion_change", args=[version.pk]),
        )


def side_by_side(version: int, against: int) -> str:
    """Where two versions stand side by side, by their numbers."""
    return f"{reverse('quality')}?{urlencode({'version': version, 'against': against})}"


@admin.register(Promotion)
class PromotionAdmin(RollsBack, FactAdmin):
    """Which version went to production, instead of which, since when, by whom and why."""

    empty = "No version was ever promoted. Train one with manage.py train."
    list_display = (moment("created_at", "time"), "went_in", "went_out", "what", "who", "why")
    list_filter = ("kind", "forced", "created_at")
    search_fields = ("reason", "version__number__exact")
    search_help_text = "Words of the reason, or a version's number"
    sortable_by = ()
    fields = (moment("created_at", "time"), "went_in", "went_out", "what", "who", "whole_reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).with_names()

    def for_list(self, queryset: QuerySet) -> QuerySet:
        return queryset.defer("verdict")

    @display(description="in")
    def went_in(self, row: Promotion) -> str:
        return link(row.version)

    @display(description="out")
    def went_out(self, row: Promotion) -> str:
        return link(row.replaced)

    @display(description="kind", label={"forced": "warning", "roll-back": "info"})
    def what(self, row: Promotion) -> str:
        if row.kind == Promotion.Kind.ROLL_BACK:
            return "roll-back"
        return "forced" if row.forced else "promotion"

    @display(description="by")
    def who(self, row: Promotion) -> str:
        return done_by(row)

    @display(description="reason")
    def why(self, row: Promotion) -> str:
        return excerpt(row.reason)

    @display(description="reason")
    def whole_reason(self, row: Promotion) -> str:
        return paragraph(row.reason)

    def sheet(self, row: Promotion) -> Sheet:
        return Sheet(tables=(reports.rules(row.verdict),))
