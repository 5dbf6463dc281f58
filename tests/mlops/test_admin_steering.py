"""The admin's two buttons that ask before they act: a training run is started, production is rolled back."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.urls import reverse

from classifier.models import ModelVersion
from mlops import promotion, queueing
from mlops.admin.steering import ReasonForm, RunForm
from mlops.admin.versions import PromotionForm
from mlops.models import MAX_REASON, Promotion, TrainingRun
from mlops.runs import Order
from tests import factories
from tests.mlops.making import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
START = "admin:mlops_trainingrun_start"
BACK = "admin:mlops_promotion_roll_back"


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def promote(count: int) -> None:
    for _ in range(count):
        promotion.promote(factories.make_version(), reason="Onwards.", force=True)


# --- Start a run ----------------------------------------------------------------------------------
def test_list_of_runs_has_the_button_and_its_page_asks_first(at):
    listed = at.get(reverse("admin:mlops_trainingrun_changelist")).content.decode()
    asked = at.get(reverse(START)).content.decode()

    assert reverse(START) in listed
    assert "Start a training run" in asked
    assert not TrainingRun.objects.exists()


def test_start_puts_a_run_on_record_in_the_persons_name_and_calls_the_worker(
    at, boss, rung, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        response = at.post(reverse(START), {"kind": "retrain", "recipe": "word_char", "reason": "New labels."})

    run = TrainingRun.objects.get()
    assert (run.kind, run.status, run.trigger, run.by, run.reason) == (
        "retrain",
        "queued",
        "admin",
        boss,
        "New labels.",
    )
    assert rung == [("mlops.tasks.carry_out", run.pk)]
    assert said(response) == [f"Run {run.pk} waits for the worker, which begins it in a moment."]
    assert response.url == reverse("admin:mlops_trainingrun_change", args=[run.pk])


def test_start_while_one_waits_says_which(at, rung):
    other = queueing.enqueue(Order(kind="train", trigger="api", recipe="word_char"), now=NOW)

    page = at.post(reverse(START), {"kind": "retrain", "recipe": "word_char"}).content.decode()

    assert f"run {other.pk} waits for the worker" in page
    assert (TrainingRun.objects.count(), rung) == (1, [])


@pytest.mark.parametrize(
    "sent", [{"kind": "predict", "recipe": "word_char"}, {"kind": "train", "recipe": "forest"}, {}]
)
def test_start_of_what_there_is_not_is_refused(at, rung, sent):
    assert at.post(reverse(START), sent).status_code == 200
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize("name", [START, BACK])
def test_who_has_no_permission_sees_no_button_and_no_page(client, name):
    promote(2)
    user = factories.make_user("sam")
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_trainingrun", "view_promotion"]))
    client.force_login(user)
    address = reverse(name)

    listed = client.get(address.rsplit("/", 2)[0] + "/").content.decode()

    assert address not in listed
    assert client.post(address, {"reason": "x", "kind": "train", "recipe": "word_char"}).status_code == 403
    assert not TrainingRun.objects.exists()
    assert Promotion.objects.count() == 2


# --- Reasons --------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", [RunForm, ReasonForm, partial(PromotionForm, may_force=False)])
def test_reason_of_every_form_has_the_same_limit(form):
    said = [form({"reason": "x" * length}).errors.get("reason") for length in (MAX_REASON, MAX_REASON + 1)]

    assert said == [None, ["Ensure this value has at most 2000 characters (it has 2001)."]]


# --- Roll back ------------------------------------------------------------------------------------
def test_roll_back_says_which_version_comes_back_before_it_does(at):
    promote(2)

    page = at.get(reverse(BACK)).content.decode()

    assert "Roll back to version 1" in page
    assert "Version 2 answers now." in page
    assert ModelVersion.objects.in_production().get().number == 2


def test_roll_back_with_a_reason_puts_the_version_before_into_production(at, boss):
    promote(2)

    response = at.post(reverse(BACK), {"reason": "Complaints."})

    row = Promotion.objects.first()
    assert (row.kind, row.version.number, row.by, row.reason) == ("roll_back", 1, boss, "Complaints.")
    assert said(response) == ["Version 1 answers again from now on."]


def test_roll_back_without_a_reason_is_refused(at):
    promote(2)

    assert "needs a reason" in at.post(reverse(BACK), {"reason": " "}).content.decode()
    assert Promotion.objects.count() == 2


@pytest.mark.parametrize("count", [0, 1])
def test_roll_back_with_nothing_before_says_so(at, count):
    promote(count)

    response = at.get(reverse(BACK))

    assert response.url == reverse("admin:mlops_promotion_changelist")
    assert "A roll-back needs a version that was in production before" in said(response)[0]


def test_list_of_promotions_tells_roll_backs_from_promotions(at):
    promote(2)
    promotion.roll_back(reason="Complaints.")

    text = at.get(reverse("admin:mlops_promotion_changelist")).content.decode()

    assert "roll-back" in text
    assert "forced" in text


def test_roll_back_of_another_production_than_was_shown_changes_nothing_and_shows_what_is(at):
    promote(3)

    page = at.post(reverse(BACK), {"reason": "Complaints.", "expected": "2"}).content.decode()

    assert "believes version 2 to be in production; version 3 is" in page
    assert 'name="expected" value="3"' in page
    assert "Complaints." in page
    assert Promotion.objects.count() == 3


# --- From the list of versions --------------------------------------------------------------------
def test_promotion_chosen_in_the_list_leads_to_the_page_that_asks(at):
    version = factories.make_version()

    answer = at.post(
        reverse("admin:classifier_modelversion_changelist"),
        {"action": "promote_chosen", "_selected_action": [version.pk]},
    )

    assert answer.url == reverse("admin:classifier_modelversion_promote", args=[version.pk])
    assert not Promotion.objects.exists()


def test_promotion_of_two_chosen_in_the_list_is_refused_in_words(at):
    chosen = [factories.make_version().pk for _ in range(2)]

    answer = at.post(
        reverse("admin:classifier_modelversion_changelist"), {"action": "promote_chosen", "_selected_action": chosen}
    )

    assert said(answer) == ["One version answers at a time. Choose one, then promote it."]


def test_promotion_page_promotes_only_over_what_it_has_shown(at):
    promote(1)
    version = factories.make_version()
    address = reverse("admin:classifier_modelversion_promote", args=[version.pk])
    assert 'name="expected" value="1"' in at.get(address).content.decode()

    page = at.post(address, {"reason": "Now.", "force": "on", "expected": "7"}).content.decode()

    assert "believes version 7 to be in production; version 1 is" in page
    assert Promotion.objects.count() == 1
