"""`purge_demo`: every made-up row goes, no real one does, and what stays or goes along is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from classifier import rollups
from classifier.labelling import set_label
from classifier.models import (
    AnswerRollup,
    ApiRequest,
    Category,
    Label,
    ModelArtifact,
    ModelVersion,
    Prediction,
    RequestRollup,
    Ticket,
)
from mlops import samples
from mlops.models import DriftSnapshot, RetrainDecision
from tests.factories import make_categories, make_ticket, make_version
from tests.mlops.making import NOW

pytestmark = pytest.mark.django_db
TABLES = (Prediction, ApiRequest, Ticket, Label, DriftSnapshot, ModelVersion, ModelArtifact, Category)


def make_demo(n: int = 20) -> DriftSnapshot:
    """A log, its version, and a snapshot of it."""
    log = samples.make_log(n_predictions=n, seed=1, now=NOW)
    return samples.make_snapshot(log.version, seed=1, now=NOW)


def make_real() -> Prediction:
    """A ticket that was asked, answered by a version in production, and labelled."""
    version = make_version(status="production")
    category = Category.objects.get(slug="billing")
    request = ApiRequest.objects.create(route="predict", method="POST", status=200, latency_ms=3, n_tickets=1)
    prediction = predict(make_ticket(), version, category=category, request=request)
    set_label(prediction.ticket, category, source="agent", now=NOW)
    return prediction


def predict(ticket: Ticket, version: ModelVersion, *, category: Category, **fields: Any) -> Prediction:
    return Prediction.objects.create(
        ticket=ticket, version=version, category=category, confidence=0.9, n_words=4, unknown_share=0, **fields
    )


def counts() -> dict[str, int]:
    return {table.__name__: table.objects.count() for table in TABLES}


def test_purge_removes_what_was_made_up_and_nothing_else() -> None:
    make_real()
    before = counts()
    make_demo()

    done = samples.purge()

    assert counts() == before
    assert done.removed == {
        "predictions": 20, "requests": 20, "request_rollups": 0, "answer_rollups": 0, "tickets": 20,
        "drift_snapshots": 1, "versions": 1, "categories": 0,
    }  # fmt: skip
    assert (done.labels, done.kept) == (0, {})


def test_purge_takes_the_counts_of_made_up_rows_and_leaves_those_of_real_ones() -> None:
    real = make_real()
    Prediction.objects.filter(pk=real.pk).update(created_at=NOW - timedelta(hours=1))
    make_demo()
    rollups.roll_up(NOW)

    done = samples.purge()

    assert min(done.removed["request_rollups"], done.removed["answer_rollups"]) > 2
    assert not RequestRollup.objects.filter(is_demo=True).exists()
    assert sorted(AnswerRollup.objects.values_list("grain", "is_demo")) == [("hour", False), ("minute", False)]


def test_purge_works_through_more_rows_than_a_batch_holds() -> None:
    make_demo(1_100)

    done = samples.purge()

    assert done.removed["predictions"] == 1_100
    assert sum(counts().values()) == 0


def test_purge_dry_run_counts_the_same_and_removes_nothing() -> None:
    make_demo()
    before = counts()

    counted = samples.purge(dry_run=True)

    assert counts() == before
    assert counted == samples.purge()


def test_purge_of_nothing_removes_nothing() -> None:
    make_real()

    assert samples.purge().total == 0


def test_purge_takes_the_label_that_a_person_gave_to_a_made_up_ticket_and_says_so() -> None:
    make_real()
    make_demo()
    ticket = Ticket.objects.filter(is_demo=True)[0]
    set_label(ticket, Category.objects.get(slug="billing"), source="reviewer", now=NOW)

    done = samples.purge()

    assert done.labels == 1
    assert Label.objects.count() == 1  # that of the real ticket
    assert not Ticket.objects.filter(is_demo=True).exists()


def test_purge_keeps_a_made_up_ticket_that_was_really_answered() -> None:
    real = make_real()
    make_demo()
    ticket = Ticket.objects.filter(is_demo=True)[0]
    kept = predict(ticket, real.version, category=real.category)

    done = samples.purge()

    assert done.kept == {"tickets": 1}
    assert list(Ticket.objects.filter(is_demo=True)) == [ticket]
    assert Prediction.objects.filter(pk=kept.pk).exists()
    assert not Prediction.objects.filter(is_demo=True).exists()


def test_purge_keeps_a_snapshot_that_a_decision_refers_to_and_its_version() -> None:
    snapshot = make_demo()
    RetrainDecision.objects.create(
        cause="drift", decision="not_needed", words="It is made up.", snapshot=snapshot, created_at=NOW
    )

    done = samples.purge()

    assert done.kept == {"drift_snapshots": 1, "versions": 1}
    assert list(DriftSnapshot.objects.all()) == [snapshot]
    assert done.removed["predictions"] == 20


def test_purge_removes_the_categories_that_came_with_it() -> None:
    make_demo()
    assert Category.objects.count() == 5

    samples.purge()

    assert Category.objects.count() == 0


def test_purge_leaves_a_category_that_somebody_used_since() -> None:
    make_demo()
    set_label(make_ticket(), Category.objects.get(slug="billing"), source="agent", now=NOW)

    done = samples.purge()

    assert [category.slug for category in Category.objects.all()] == ["billing"]
    assert done.removed["categories"] == 4


def test_purge_leaves_categories_that_were_there_before() -> None:
    make_categories()
    make_demo()

    samples.purge()

    assert Category.objects.count() == 5
