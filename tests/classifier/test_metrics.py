"""What the answers leave in the counters of /metrics."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

pytestmark = pytest.mark.django_db


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def test_stored_answers_are_counted_by_category_and_decision_with_their_confidence(production, post):
    def figures():
        return (
            sum(
                sample.value
                for family in REGISTRY.collect()
                for sample in family.samples
                if sample.name == "ticket_predictions_total" and sample.labels["category"] == "billing"
            ),
            counted("ticket_confidence_count"),
            counted("ticket_inference_seconds_count"),
        )

    before = figures()

    answer = post({"tickets": ["I was charged twice", "My card was charged two times"]}).json()

    assert [result["predicted_label"] for result in answer["results"]] == ["billing", "billing"]
    assert [now - then for now, then in zip(figures(), before, strict=True)] == [2, 2, 1]


def test_confidence_falls_into_its_bucket(production, post):
    before = [counted("ticket_confidence_bucket", le=f"{bound / 10}") for bound in range(1, 11)]

    (result,) = post({"tickets": ["I was charged twice"]}).json()["results"]

    after = [counted("ticket_confidence_bucket", le=f"{bound / 10}") for bound in range(1, 11)]
    grown = [now - then for now, then in zip(after, before, strict=True)]
    assert grown == [float(result["confidence"] <= bound / 10) for bound in range(1, 11)]


def test_refused_call_counts_no_ticket(production, post):
    before = counted("ticket_inference_seconds_count")

    assert post({"tickets": []}).status_code == 400

    assert counted("ticket_inference_seconds_count") == before
