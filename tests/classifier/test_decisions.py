"""Which answers are automatic: what the API says, what is stored, and that new thresholds take effect."""

from __future__ import annotations

import pytest
from django.urls import reverse
from prometheus_client import REGISTRY

from classifier import inference
from classifier.ml import deciding
from classifier.models import Category, ModelVersion, Prediction
from tests import factories

pytestmark = pytest.mark.django_db
PLAIN = "I was double charged for my subscription"


def thresholds(**least: float | None) -> dict:
    """Thresholds as a version keeps them: 0.5 for every category that is not named."""
    return {
        "target": 0.95,
        "unknown_limit": 0.4,
        "least_margin": 0.2,
        "per_category": {slug: {"threshold": least.get(slug, 0.5)} for slug in factories.SLUGS},
    }


@pytest.fixture
def tuned(db):
    return factories.make_version(status="production", thresholds=thresholds())


def decided(post, text: str) -> tuple[str, str | None]:
    (result,) = post({"tickets": [text]}).json()["results"]
    assert set(result) - {"reason"} == {
        "id", "prediction_id", "text", "predicted_label", "confidence", "model_version", "decision",
    }  # fmt: skip
    return result["decision"], result.get("reason")


# --- What the API says ----------------------------------------------------------------------------
def test_predict_answers_a_plain_ticket_automatically(tuned, post):
    assert decided(post, PLAIN) == ("auto", None)


@pytest.mark.parametrize("text", ["Kartimdan iki kez para çekildi", "blorp fizzle grumtang wexel", "fee", "??? !!!"])
def test_predict_sends_what_it_cannot_read_to_review(tuned, post, text):
    assert decided(post, text) == ("review", "unknown_words")


def test_predict_sends_a_confidence_below_the_threshold_to_review(tuned, post):
    tuned.thresholds = thresholds(billing=1.0)
    tuned.save()

    assert decided(post, PLAIN) == ("review", "below_threshold")


def test_predict_sends_a_category_for_review_only_to_review(tuned, post):
    tuned.thresholds = thresholds(billing=None)
    tuned.save()

    assert decided(post, PLAIN) == ("review", "below_threshold")


def test_predict_sends_two_close_categories_to_review(tuned, post):
    tuned.thresholds |= {"least_margin": 1.0}
    tuned.save()

    assert decided(post, PLAIN) == ("review", "ambiguous")


def test_predict_sends_an_answer_in_place_of_a_retired_category_to_review(tuned, post):
    Category.objects.filter(slug="billing").update(active=False)

    assert decided(post, PLAIN) == ("review", "category_retired")
    assert decided(post, "Where is my parcel? The courier lost it") == ("auto", None)


@pytest.mark.parametrize("kept", [{}, {"target": 0.95}])
def test_predict_of_a_version_without_thresholds_sends_all_to_review(tuned, post, kept):
    tuned.thresholds = kept
    tuned.save()

    assert decided(post, PLAIN) == ("review", "below_threshold")


def test_predict_decides_for_each_ticket_of_a_call(tuned, post):
    results = post({"tickets": [PLAIN, "fee", PLAIN]}).json()["results"]

    assert [result["decision"] for result in results] == ["auto", "review", "auto"]
    assert ["reason" in result for result in results] == [False, True, False]


# --- What is stored and counted -------------------------------------------------------------------
def test_predict_stores_decision_and_reason(tuned, post):
    post({"tickets": [PLAIN, "fee"]})

    assert list(Prediction.objects.order_by("id").values_list("decision", "reason")) == [
        ("auto", ""),
        ("review", "unknown_words"),
    ]


def test_predict_counts_answers_by_decision(tuned, post):
    def counted(decision: str) -> float:
        labels = {"category": "billing", "decision": decision}
        return REGISTRY.get_sample_value("ticket_predictions_total", labels) or 0.0

    before = counted("auto"), counted("review")

    results = post({"tickets": [PLAIN, "fee", PLAIN]}).json()["results"]

    assert [result["predicted_label"] for result in results] == ["billing"] * 3
    assert (counted("auto") - before[0], counted("review") - before[1]) == (2, 1)


def test_reasons_are_those_that_a_prediction_may_have():
    assert set(deciding.REASONS) == set(Prediction.Reason.values)
    assert Prediction.Decision.values == [inference.AUTO, inference.REVIEW]


# --- Taking effect --------------------------------------------------------------------------------
def test_new_thresholds_take_effect_after_half_a_second_without_loading_the_model(tuned, post, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(inference.time, "monotonic", lambda: clock[0])
    assert decided(post, PLAIN) == ("auto", None)
    model = inference.serving().model
    ModelVersion.objects.filter(pk=tuned.pk).update(thresholds=thresholds(billing=None))
    before = decided(post, PLAIN)
    clock[0] += 0.51

    after = decided(post, PLAIN)

    assert (before, after) == (("auto", None), ("review", "below_threshold"))
    assert inference.serving().model is model


def test_looking_up_what_serves_reads_no_heavy_column(tuned, django_assert_num_queries):
    inference.serving()
    inference._current = None

    with django_assert_num_queries(2) as looked:
        inference.serving()

    columns = looked.captured_queries[0]["sql"]
    assert "thresholds" in columns
    assert not [name for name in ("validation_answers", "metrics", "parameters") if name in columns]


# --- The schema and the pages ---------------------------------------------------------------------
def test_schema_names_decisions_and_reasons(client):
    client.force_login(factories.make_user(is_superuser=True))

    schema = client.get("/api/schema/?format=json").json()

    result = schema["components"]["schemas"]["PredictResult"]
    assert {"decision"} <= set(result["required"])
    assert "reason" in result["properties"]
    assert "reason" not in result["required"]
    enums = [set(found["enum"]) for found in schema["components"]["schemas"].values() if "enum" in found]
    assert set(Prediction.Decision.values) in enums
    assert set(Prediction.Reason.values) in enums


@pytest.fixture
def answered(tuned, post):
    post({"tickets": [PLAIN, "Kartimdan iki kez para çekildi"]})


def test_list_of_predictions_is_filtered_by_decision_and_reason(client, answered):
    client.force_login(factories.make_user(is_superuser=True))
    page = reverse("admin:classifier_prediction_changelist")

    def found(**chosen: str) -> list[str]:
        return [row.decision for row in client.get(page, chosen).context["cl"].result_list]

    assert found() == ["review", "auto"]
    assert found(decision__exact="auto") == ["auto"]
    assert found(reason__exact="unknown_words") == ["review"]
    assert found(reason__exact="ambiguous") == []
    assert "review: unknown words" in client.get(page).content.decode()


def test_list_of_predictions_is_filtered_by_version(client, answered, tuned):
    client.force_login(factories.make_user(is_superuser=True))
    page = reverse("admin:classifier_prediction_changelist")

    found = {chosen: len(client.get(page, {"version": chosen}).context["cl"].result_list) for chosen in ("1", "2", "x")}

    assert found == {"1": 2, "2": 0, "x": 0}


def test_page_of_a_ticket_shows_the_decision_on_each_answer(client, answered):
    client.force_login(factories.make_user(is_superuser=True))
    ticket = Prediction.objects.latest("id").ticket_id

    sheet = client.get(reverse("admin:classifier_ticket_change", args=[ticket])).context["sheet"]

    (predictions,) = [table for table in sheet.tables if table.title == "Predictions"]
    assert predictions.headers[2] == "Decision"
    assert [row[2].value for row in predictions.cells] == ["review: unknown words"]


def test_category_gets_a_target_of_its_own_on_its_page(client, tuned):
    client.force_login(factories.make_user(is_superuser=True))
    category = Category.objects.get(slug="billing")
    page = reverse("admin:classifier_category_change", args=[category.pk])
    fields = {"name": "Billing", "description": "", "active": "on"}

    refused = client.post(page, {**fields, "target_precision": "95"})
    accepted = client.post(page, {**fields, "target_precision": "0.98"})

    category.refresh_from_db()
    assert (refused.status_code, accepted.status_code) == (200, 302)
    assert category.target_precision == 0.98
