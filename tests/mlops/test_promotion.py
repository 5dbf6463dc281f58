"""The change of the version in production, and the record of it."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from django.db import connection
from django.utils import timezone

from classifier.models import ModelArtifact, ModelVersion
from mlops import judging, promotion
from mlops.models import Frozen, Promotion
from mlops.promotion import GateSaysNo, NotPromotable, PromotionConflict
from tests import factories
from tests.mlops.making import NOW, label_tickets, make_trained, poor_fit, small_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def tickets():
    label_tickets()


def statuses():
    return dict(ModelVersion.objects.values_list("number", "status"))


# --- Promotion ------------------------------------------------------------------------------------
def test_promote_archives_the_old_version_and_writes_down_why(tickets):
    old = make_trained(poor_fit().model, status="production")
    new = make_trained()
    ada = factories.make_user()

    row = promotion.promote(new, reason=" Better. ", by=ada, now=NOW)

    assert statuses() == {1: "archived", 2: "production"}
    assert (row.version, row.replaced, row.by, row.reason, row.forced) == (new, old, ada, "Better.", False)
    assert row.created_at == NOW
    assert row.verdict["passed"] is True
    assert new.status == "production"


def test_promote_refuses_what_the_gate_refuses(tickets):
    poor = make_trained(poor_fit().model)

    with pytest.raises(GateSaysNo, match="is the least") as caught:
        promotion.promote(poor, reason="Hope")

    assert not caught.value.verdict.passed
    assert statuses() == {1: "candidate"}
    assert not Promotion.objects.exists()


def test_promote_by_force_is_recorded_as_forced(tickets):
    row = promotion.promote(make_trained(poor_fit().model), reason="A trial", force=True)

    assert row.forced
    assert row.verdict["passed"] is False
    assert statuses() == {1: "production"}


def test_promote_by_force_what_passes_is_not_called_forced(tickets):
    assert promotion.promote(make_trained(), reason="Sure", force=True).forced is False


@pytest.mark.parametrize("reason", ["", "  "])
def test_promote_needs_a_reason(tickets, reason):
    with pytest.raises(ValueError, match="needs a reason"):
        promotion.promote(make_trained(), reason=reason)


def test_promote_never_takes_a_demo_version(tickets):
    with pytest.raises(NotPromotable, match="demonstration"):
        promotion.promote(make_trained(is_demo=True), reason="Why not", force=True)


def test_promote_never_takes_a_damaged_version(tickets):
    version = make_trained()
    ModelArtifact.objects.filter(pk=version.artifact_id).update(content=b"nothing")

    with pytest.raises(NotPromotable, match="cannot answer"):
        promotion.promote(version, reason="Why not", force=True)

    assert statuses() == {1: "candidate"}


def test_promote_the_version_that_is_there_says_so(tickets):
    version = make_trained(status="production")

    with pytest.raises(NotPromotable, match="in production already"):
        promotion.promote(version, reason="Again")


def test_promote_on_a_verdict_against_another_production_is_a_conflict(tickets):
    make_trained(poor_fit().model, status="production")
    one, other = make_trained(), make_trained()
    before = judging.judge(other)
    promotion.promote(one, reason="First", verdict=judging.judge(one))

    with pytest.raises(PromotionConflict, match=r"another production.*\(version 2\)"):
        promotion.promote(other, reason="Second", verdict=before, force=True)

    assert statuses() == {1: "archived", 2: "production", 3: "candidate"}
    assert Promotion.objects.count() == 1


def test_promote_what_somebody_else_promoted_a_moment_ago_is_a_conflict(tickets):
    version = make_trained()
    verdict = judging.judge(version)
    ModelVersion.objects.update(status="production")

    with pytest.raises(PromotionConflict, match="a moment ago"):
        promotion._swap(version, verdict)


def test_promote_that_meets_another_first_promotion_is_a_conflict(tickets, monkeypatch):
    def too_late(version, verdict):  # as on Postgres, where with nothing in production there is nothing to lock
        ModelVersion.objects.create(number=7, status="production", recipe="x", categories=[], artifact=version.artifact)
        ModelVersion.objects.filter(pk=version.pk).update(status="production")

    version = make_trained()
    monkeypatch.setattr(promotion, "_swap", too_late)

    with pytest.raises(PromotionConflict, match="another production"):
        promotion.promote(version, reason="Late")

    assert statuses() == {1: "candidate"}


def test_a_promotion_cannot_be_changed_or_removed(tickets):
    row = promotion.promote(make_trained(), reason="Good")

    with pytest.raises(Frozen):
        row.save()
    with pytest.raises(Frozen):
        row.delete()


@pytest.mark.django_db(transaction=True)
def test_two_promotions_at_once_end_with_one_and_a_conflict():
    label_tickets()
    versions = [make_trained(), make_trained()]
    together, ends = threading.Barrier(2), []

    def promote(version):
        verdict = judging.judge(version)
        together.wait(timeout=20)
        try:
            promotion.promote(version, reason="At once", verdict=verdict)
            ends.append("promoted")
        except PromotionConflict:
            ends.append("conflict")
        finally:
            connection.close()

    threads = [threading.Thread(target=promote, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(ends) == ["conflict", "promoted"]
    assert sorted(statuses().values()) == ["candidate", "production"]
    assert Promotion.objects.count() == 1


def test_promotion_is_in_force_from_when_it_has_its_lock(monkeypatch):
    """Whoever waits for the lock, 20 s on SQLite, does not answer yet: history must not say so."""
    version, real, swapped = factories.make_version(), promotion._swap, []

    def swap(*given):
        found = real(*given)
        swapped.append(timezone.now())
        return found

    monkeypatch.setattr(promotion, "_swap", swap)

    row = promotion.promote(version, reason="First.", force=True)

    assert row.created_at >= swapped[0]


def test_no_force_brings_a_model_before_tickets_that_answers_no_numbers():
    whole = small_fit().model
    broken = replace(whole, temperature=1e-308, coefficients=whole.coefficients * 1e20)  # each number is finite

    with pytest.raises(NotPromotable, match="answers with numbers that are not finite"):
        promotion.promote(factories.make_version(model=broken), reason="Now.", force=True)

    assert not ModelVersion.objects.in_production().exists()
