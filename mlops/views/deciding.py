"""Two pages that ask before they change what answers: promote a version, and roll back to the one before."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from classifier.models import ModelVersion
from mlops import judging, promotion, tasks
from mlops.judging import Verdict
from mlops.models import MAX_REASON
from mlops.places import PROMOTE
from mlops.views.base import needs, person, show
from mlops.views.filters import number_of

FORCE = "mlops.force_promotion"
REFUSALS = (promotion.NotPromotable, promotion.PromotionConflict, promotion.NothingToRollBackTo)


class ReasonForm(forms.Form):
    """Why, and what was in production when the page was shown: if somebody is faster, the click changes nothing."""

    expected = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One sentence for those who ask later. It is kept in the history.",
        error_messages={"required": "It needs a reason, for those who ask later. Write one sentence."},
    )


class PromotionForm(ReasonForm):
    """The same, and whether over the gate's head."""

    force = forms.BooleanField(
        required=False, label="Promote although the gate says no", help_text="It is recorded as forced."
    )


@needs(PROMOTE)
def roll_back(request: HttpRequest) -> HttpResponse:
    """Says which version would come back and asks for a reason; on POST rolls back."""
    now_there = ModelVersion.objects.in_production().light().first()
    before = next(iter(promotion.versions_before()), None)
    if now_there is None or before is None:
        messages.warning(request, str(promotion.NothingToRollBackTo(now_there)))
        return HttpResponseRedirect(reverse("quality"))
    form = ReasonForm(request.POST or None, initial={"expected": now_there.number})
    refusal = ""
    if request.method == "POST" and form.is_valid():
        try:
            row = promotion.roll_back(by=person(request), **form.cleaned_data)
        except REFUSALS as error:
            refusal = str(error)
            form = ReasonForm(initial={**form.cleaned_data, "expected": now_there.number})
        else:
            tasks.let_alias_follow()
            messages.success(request, f"{str(row.version).capitalize()} answers again from now on.")
            return HttpResponseRedirect(reverse("quality"))
    return show(
        request,
        "pages/decide.html",
        title=f"Roll back to {before}",
        form=form,
        refusal=refusal,
        intro=f"{str(now_there).capitalize()} answers now. {str(before).capitalize()}, which was there before it, "
        "answers again within a second of your click, in every process.",
        button=f"Roll back to {before}",
        back=reverse("quality"),
    )


@needs(PROMOTE)
def promote(request: HttpRequest) -> HttpResponse:
    """Shows the gate's verdict on the version and asks for a reason; on POST promotes."""
    asked = request.POST if request.method == "POST" else request.GET
    version = ModelVersion.objects.filter(number=number_of(asked.get("version", "")) or 0).first()
    if version is None:
        messages.error(request, "There is no version with this number. Choose one below.")
        return HttpResponseRedirect(reverse("quality"))
    there = ModelVersion.objects.in_production().values_list("number", flat=True).first() or promotion.NONE
    shape = PromotionForm if request.user.has_perm(FORCE) else ReasonForm
    form = shape(request.POST or None, initial={"expected": there})
    refusal, verdict = "", None
    if request.method == "POST" and form.is_valid():
        try:
            promotion.promote(version, by=person(request), **form.cleaned_data)
        except promotion.GateSaysNo as error:
            verdict = error.verdict  # what refused is what is shown: judged anew, it could be another
            refusal = f"The gate says no. {verdict.in_words()}"
        except REFUSALS as error:
            refusal = str(error)
            form = shape(initial={**form.cleaned_data, "expected": there})
        else:
            tasks.let_alias_follow()
            messages.success(request, f"{str(version).capitalize()} answers from now on.")
            return HttpResponseRedirect(reverse("quality"))
    return show(
        request,
        "pages/decide.html",
        title=f"Promote {version}",
        form=form,
        refusal=refusal,
        number=version.number,
        button=f"Promote {version}",
        back=f"{reverse('quality')}?version={version.number}",
        **_told(verdict or judging.judge(version)),
    )


def _told(verdict: Verdict) -> dict[str, Any]:
    """The gate's verdict for the page: whether all rules are met, and each of them in words."""
    against = f"version {verdict.production} on the same test tickets" if verdict.production else "fixed limits alone"
    says = "yes: all its rules are met" if verdict.passed else "no: below is why"
    return {
        "intro": f"Before a version answers tickets, a gate holds it against {against}. The gate says {says}.",
        "rules": [{"passed": rule.passed, "words": rule.words} for rule in verdict.reasons],
        "passed": verdict.passed,
    }
