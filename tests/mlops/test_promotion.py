"""The gate and the change of the version in production."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from django.db import connection

from classifier.ml.model import Answers, TextModel
from classifier.models import Category, ModelArtifact, ModelVersion
from mlops import judging, promotion, tracking
from mlops.models import Dataset, Frozen, Promotion, TrainingRun
from mlops.promotion import GateSaysNo, NotPromotable, PromotionConflict
from tests import factories
from tests.mlops.making import NOW, good_fit, label_tickets, make_trained, poor_fit, small_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def tickets():
    label_tickets()


def rule(verdict, name):
    return next(rule for rule in verdict.reasons if rule.name == name)


def statuses():
    return dict(ModelVersion.objects.values_list("number", "status"))


def with_coefficients(values) -> TextModel:
    model = good_fit().model
    return TextModel(**{**vars(model), "coefficients": values})


# --- The gate -------------------------------------------------------------------------------------
def test_judge_a_first_version_by_the_absolute_rules(tickets):
    verdict = judging.judge(make_trained())

    assert verdict.passed
    assert [rule.name for rule in verdict.reasons] == ["artifact_whole", "self_test", "least_macro_f1"]
    assert verdict.in_words() == "All rules are met."
    assert verdict.production is None


def test_judge_says_how_far_below_the_least_macro_f1_a_version_is(tickets):
    verdict = judging.judge(make_trained(poor_fit().model))

    failed = rule(verdict, "least_macro_f1")
    assert not verdict.passed
    assert failed.wanted == 0.6
    assert failed.found < 0.6
    assert f"is {failed.found:.3f}, and 0.600 is the least" in verdict.in_words()


def test_judge_scores_candidate_and_production_on_the_same_test_tickets(tickets):
    old = make_trained(poor_fit().model, status="production")
    verdict = judging.judge(make_trained())

    gain = rule(verdict, "gain")
    assert gain.passed
    assert verdict.production == old.number
    assert "On the same 6 test tickets" in gain.words
    assert gain.found == pytest.approx(1 - old.metrics["test"]["macro_f1"])


def test_judge_refuses_a_tie(tickets):
    make_trained(status="production")

    verdict = judging.judge(make_trained())

    assert not verdict.passed
    assert rule(verdict, "gain").found == 0.0


def test_judge_asks_for_the_gain_that_is_set(tickets, settings):
    settings.GATE_MIN_GAIN = -0.01
    make_trained(status="production")

    assert judging.judge(make_trained()).passed


def test_judge_compares_on_the_categories_both_know(tickets):
    from classifier.ml.pipeline import refit

    few = [(text, label) for text, label in factories.shipped() if label in {"billing", "shipping"}]
    small = refit([t for t, _ in few], [label for _, label in few], recipe="word_char", c=1.0, temperature=1.0).model
    make_trained(status="production")
    Category.objects.filter(slug__in=("technical",)).update(active=False)

    verdict = judging.judge(make_trained(small))

    assert "On the same 4 test tickets" in rule(verdict, "gain").words


def test_judge_without_a_common_category_does_not_compare(tickets):
    other = with_other_categories()
    make_trained(status="production")

    verdict = judging.judge(make_trained(other))

    assert not rule(verdict, "gain").passed
    assert "no category" in rule(verdict, "gain").words


def with_other_categories() -> TextModel:
    return TextModel(**{**vars(good_fit().model), "categories": ("a", "b", "c", "d", "e")})


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda found: np.full_like(found, np.nan), "not finite"),
        (lambda found: found * 0 + np.inf, "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_self_test_refuses_numbers_that_are_none(broken, words):
    factories.make_categories()

    found = judging.self_test(with_coefficients(broken(good_fit().model.coefficients)))

    assert not found.passed
    assert words in found.words


def test_self_test_refuses_probabilities_that_do_not_sum_to_1():
    factories.make_categories()

    class Doubled(TextModel):
        """Softmax cannot do this; a model of another kind might."""

        def predict(self, texts):
            answers = super().predict(texts)
            return Answers(**{**vars(answers), "probabilities": answers.probabilities * 2})

    found = judging.self_test(Doubled(**vars(good_fit().model)))

    assert found.words == "Its probabilities do not sum to 1."


def test_self_test_refuses_a_model_that_answers_categories_that_there_are_not():
    factories.make_categories(("billing",))

    found = judging.self_test(good_fit().model)

    assert not found.passed
    assert "account, general, shipping, technical" in found.words


def test_judge_a_damaged_artifact_fails_in_words(tickets):
    version = make_trained()
    ModelArtifact.objects.filter(pk=version.artifact_id).update(content=b"nothing")

    verdict = judging.judge(version)

    assert [rule.name for rule in verdict.reasons] == ["artifact_whole"]
    assert "damaged" in verdict.in_words()


def test_judge_with_a_damaged_version_in_production_cannot_compare(tickets):
    old = make_trained(poor_fit().model, status="production")
    candidate = make_trained()
    ModelArtifact.objects.filter(pk=old.artifact_id).update(content=b"nothing")

    verdict = judging.judge(candidate)

    assert not verdict.passed
    assert rule(verdict, "gain").found is None


def test_judge_a_version_without_a_dataset_fails():
    verdict = judging.judge(factories.make_version())

    assert rule(verdict, "test_tickets").passed is False


def test_a_verdict_is_kept_as_plain_numbers_and_words(tickets):
    found = judging.judge(make_trained()).as_dict()

    assert found["passed"] is True
    assert found["reasons"][2]["name"] == "least_macro_f1"
    assert found["reasons"][2]["found"] == 1.0


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


# --- MLflow's alias -------------------------------------------------------------------------------
def test_promote_moves_the_alias_once_it_is_committed(
    tickets, mlflow_home, tmp_path, django_capture_on_commit_callbacks
):
    fitted = small_fit()
    (tmp_path / "reports").mkdir()
    recorded = tracking.record(
        tracking.Facts("v", {}, {}, {}, tmp_path / "reports", fitted.pipeline, fitted.temperature)
    )
    version = make_trained(mlflow_version=recorded.version)

    with django_capture_on_commit_callbacks(execute=True):
        promotion.promote(version, reason="Good")
        before = tracking.production_alias()

    assert (before, tracking.production_alias()) == (None, recorded.version)


@pytest.mark.parametrize(("mlflow_version", "words"), [(None, "not in MLflow"), (7, "was not moved")])
def test_promote_goes_on_when_the_alias_cannot_be_moved(
    tickets, caplog, django_capture_on_commit_callbacks, mlflow_version, words
):
    with django_capture_on_commit_callbacks(execute=True):
        promotion.promote(make_trained(mlflow_version=mlflow_version), reason="Good")

    assert statuses() == {1: "production"}
    assert words in caplog.text
    assert Dataset.objects.count() == TrainingRun.objects.count() == 1
