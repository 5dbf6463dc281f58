"""Two buttons above lists, each with a page that asks before it acts: start a training run, and roll back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from classifier.models import ModelVersion, Scope
from mlops import promotion, queueing, tasks, training
from mlops.models import MAX_REASON, TrainingRun
from mlops.runs import Order, RunInProgress

KINDS = {
    TrainingRun.Kind.RETRAIN: "Train, judge, and promote what passes",
    TrainingRun.Kind.TRAIN: "Train, and stop at the candidate",
}


class RunForm(forms.Form):
    """What to train, and why."""

    kind = forms.ChoiceField(choices=KINDS.items(), widget=UnfoldAdminSelectWidget, label="What to do")
    recipe = forms.ChoiceField(
        choices=[(name, name) for name in training.RECIPES],
        widget=UnfoldAdminSelectWidget,
        help_text="How a text becomes numbers; original is the system that this one re-creates, for comparison.",
    )
    reason = forms.CharField(
        required=False,
        max_length=MAX_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Why, in a sentence, for those who ask later. It may stay empty.",
    )


class Seen(forms.Form):
    """What was in production when the page was shown: if somebody is faster, the click changes nothing."""

    expected = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)


class ReasonForm(Seen):
    """Why."""

    reason = forms.CharField(
        max_length=MAX_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One sentence for those who ask later. It is kept with the roll-back.",
        error_messages={"required": "A roll-back needs a reason, for those who ask later. Write one sentence."},
    )


class StartsRuns:
    """The button above the list of runs."""

    actions_list = ("start",)

    def has_start_permission(self, request: HttpRequest, _object_id: Any = None) -> bool:
        return request.user.has_perm(f"classifier.scope_{Scope.RUN}")

    @action(
        description="Start a run",
        url_path="start",
        permissions=["start"],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
    )
    def start(self, request: HttpRequest) -> HttpResponse:
        """Asks what to train; on POST puts the run on record and calls the worker."""
        form = RunForm(request.POST or None, initial={"recipe": settings.RECIPE})
        refusal = ""
        if request.method == "POST" and form.is_valid():
            order = Order(trigger=TrainingRun.Trigger.ADMIN, by=request.user, **form.cleaned_data)
            try:
                run = queueing.enqueue(order, now=timezone.now())
            except RunInProgress as error:
                refusal = str(error)
            else:
                tasks.ring(run)
                messages.success(request, f"{str(run).capitalize()} waits for the worker, which begins it in a moment.")
                return HttpResponseRedirect(reverse("admin:mlops_trainingrun_change", args=[run.pk]))
        return ask(
            self,
            request,
            form=form,
            refusal=refusal,
            title="Start a training run",
            intro="A run trains on all tickets whose label a person stands behind. It takes seconds to minutes, in the "
            "background; answers go on meanwhile.",
            button="Start",
            back=reverse("admin:mlops_trainingrun_changelist"),
        )


class RollsBack:
    """The button above the list of promotions."""

    actions_list = ("roll_back",)

    def has_roll_back_permission(self, request: HttpRequest, _object_id: Any = None) -> bool:
        return request.user.has_perm(f"classifier.scope_{Scope.PROMOTE}")

    @action(
        description="Roll back",
        url_path="roll-back",
        permissions=["roll_back"],
        icon="undo",
        variant=ActionVariant.DANGER,
    )
    def roll_back(self, request: HttpRequest) -> HttpResponse:
        """Says which version would come back and asks for a reason; on POST rolls back."""
        now_there = ModelVersion.objects.in_production().only("number").first()
        before = next(iter(promotion.versions_before()), None)
        back = reverse("admin:mlops_promotion_changelist")
        if now_there is None or before is None:
            messages.warning(request, str(promotion.NothingToRollBackTo(now_there)))
            return HttpResponseRedirect(back)
        form = ReasonForm(request.POST or None, initial={"expected": now_there.number})
        refusal = ""
        if request.method == "POST" and form.is_valid():
            try:
                row = promotion.roll_back(by=request.user, **form.cleaned_data)
            except (promotion.NotPromotable, promotion.PromotionConflict, promotion.NothingToRollBackTo) as error:
                refusal = str(error)
                form = ReasonForm(initial={**form.cleaned_data, "expected": now_there.number})
            else:
                tasks.let_alias_follow()
                messages.success(request, f"{str(row.version).capitalize()} answers again from now on.")
                return HttpResponseRedirect(reverse("admin:mlops_promotion_change", args=[row.pk]))
        return ask(
            self,
            request,
            form=form,
            refusal=refusal,
            title=f"Roll back to {before}",
            intro=f"{str(now_there).capitalize()} answers now. {str(before).capitalize()}, which was there before it, "
            "answers again within a second of your click, in every process.",
            button=f"Roll back to {before}",
            back=back,
        )


def ask(page: Any, request: HttpRequest, *, template: str = "admin/ask.html", **context: Any) -> HttpResponse:
    """A page with a question, a form and two buttons."""
    return TemplateResponse(request, template, {**page.admin_site.each_context(request), "opts": page.opts, **context})
