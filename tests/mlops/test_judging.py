"""The gate: each rule seen to pass and to fail, on models and tickets where the answer is known beforehand."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from classifier.ml.model import Answers, TextModel
from classifier.ml.pipeline import refit
from classifier.models import Category, Label, ModelArtifact, Ticket
from mlops import judging
from mlops.models import Dataset, TrainingRun
from mlops.timing import Latencies
from tests import factories
from tests.mlops.making import (
    good_fit,
    label_tickets,
    make_trained,
    of_three,
    poor_fit,
    small_fit,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
ABSOLUTE = ["artifact_whole", "self_test", "least_macro_f1", "unseen_tickets"]
RELATIVE = ["gain", "likely_loss", "recall_loss", "calibration_loss", "lost_categories", "latency"]


@pytest.fixture
def tickets():
    label_tickets()


@pytest.fixture
def many_tickets():
    """56 of each category, of which eight test: enough that a lost category is no chance."""
    label_tickets(56)


def rule(verdict, name):
    return next(rule for rule in verdict.reasons if rule.name == name)


def failed(verdict):
    return [rule.name for rule in verdict.reasons if not rule.passed]


def changed(model=None, **fields) -> TextModel:
    return TextModel(**{**vars(model or good_fit().model), **fields})


def taught(**lies) -> TextModel:
    """A model of the shipped tickets of three categories, taught that of some categories 24 in 25 are another."""
    texts, labels = of_three()
    seen = Counter()
    for place, label in enumerate(labels):
        seen[label] += 1
        if label in lies and seen[label] % 25:
            labels[place] = lies[label]
    return refit(texts, labels, recipe="word_char", c=100.0, temperature=0.9).model


def of_categories(*slugs) -> TextModel:
    rows = [(text, label) for text, label in factories.shipped() if label in slugs]
    return refit([t for t, _ in rows], [label for _, label in rows], recipe="word_char", c=100.0, temperature=0.9).model


# --- A first version ------------------------------------------------------------------------------
def test_judge_a_first_version_by_the_absolute_rules(tickets):
    verdict = judging.judge(make_trained())

    assert verdict.passed
    assert [rule.name for rule in verdict.reasons] == ABSOLUTE
    assert verdict.in_words() == "All rules are met."
    assert verdict.production is None


def test_judge_says_how_far_below_the_least_macro_f1_a_version_is(tickets):
    verdict = judging.judge(make_trained(poor_fit().model))

    found = rule(verdict, "least_macro_f1")
    assert not verdict.passed
    assert found.wanted == 0.6
    assert found.found < 0.6
    assert f"is {found.found:.3f}, and 0.600 is the least. It fails by {0.6 - found.found:.3g}." in verdict.in_words()


def test_judge_a_damaged_artifact_fails_in_words(tickets):
    version = make_trained()
    ModelArtifact.objects.filter(pk=version.artifact_id).update(content=b"nothing")

    verdict = judging.judge(version)

    assert [rule.name for rule in verdict.reasons] == ["artifact_whole"]
    assert "damaged" in verdict.in_words()


def test_judge_never_passes_a_demo_version(tickets):
    verdict = judging.judge(make_trained(is_demo=True))

    assert failed(verdict) == ["not_demo"]
    assert "demonstration" in verdict.in_words()


def test_judge_a_version_without_a_dataset_fails():
    verdict = judging.judge(factories.make_version())

    assert failed(verdict) == ["test_tickets"]


def test_judge_finds_a_dataset_that_tests_on_what_it_trains_on(tickets):
    version = make_trained()
    members = version.run.dataset.members
    members["train"]["billing"] += members["test"]["billing"]
    TrainingRun.objects.update(
        dataset=Dataset.objects.create(fingerprint="f", counts=version.run.dataset.counts, members=members)
    )

    verdict = judging.judge(version)

    assert failed(verdict) == ["unseen_tickets"]
    assert rule(verdict, "unseen_tickets").found == 2
    assert "2 of them, so that the scores flatter. It fails by 2." in verdict.in_words()


# --- Against the version in production ------------------------------------------------------------
def test_judge_scores_candidate_and_production_on_the_same_test_tickets(tickets):
    old = make_trained(poor_fit().model, status="production")

    verdict = judging.judge(make_trained())

    gain = rule(verdict, "gain")
    assert verdict.passed
    assert [rule.name for rule in verdict.reasons] == ABSOLUTE + RELATIVE
    assert verdict.production == old.number
    assert "On the same 6 test tickets" in gain.words
    assert gain.found == pytest.approx(1 - old.metrics["test"]["macro_f1"])


def test_judge_refuses_a_tie(tickets):
    make_trained(status="production")

    verdict = judging.judge(make_trained())

    assert failed(verdict) == ["gain"]
    assert rule(verdict, "gain").found == 0.0
    assert "a tie does not pass" in verdict.in_words()


def test_judge_asks_for_the_gain_that_is_set(tickets, settings):
    settings.GATE_MIN_GAIN = 0.9
    make_trained(poor_fit().model, status="production")

    verdict = judging.judge(make_trained())

    assert failed(verdict) == ["gain"]
    assert "where more than +0.900 is wanted. It fails by" in verdict.in_words()


def test_judge_finds_a_candidate_that_trained_on_test_tickets(many_tickets):
    """The gate's numbers look splendid: only the ids tell."""
    make_trained(poor_fit().model, status="production")
    moved = list(Ticket.objects.filter(split="test").values_list("pk", flat=True)[:5])
    Ticket.objects.filter(pk__in=moved).update(split="train")

    verdict = judging.judge(make_trained())

    assert failed(verdict) == ["unseen_tickets"]
    assert rule(verdict, "unseen_tickets").found == 5


def test_judge_finds_a_production_that_trained_on_the_test_tickets(many_tickets):
    moved = list(Ticket.objects.filter(split="test").values_list("pk", flat=True)[:4])
    Ticket.objects.filter(pk__in=moved).update(split="validation")
    make_trained(poor_fit().model, status="production")
    Ticket.objects.filter(pk__in=moved).update(split="test")

    assert rule(judging.judge(make_trained()), "unseen_tickets").found == 4


def test_judge_finds_the_text_of_a_test_ticket_under_another_id(many_tickets):
    make_trained(poor_fit().model, status="production")
    tested = Ticket.objects.filter(split="test").first()
    category = tested.labels.get().category
    twin = factories.make_ticket(f" {tested.text.upper()} ", split="train", group=0)
    Label.objects.create(ticket=twin, category=category, source=Label.Source.IMPORT)

    verdict = judging.judge(make_trained())

    assert failed(verdict) == ["unseen_tickets"]
    assert rule(verdict, "unseen_tickets").found == 1


def test_judge_refuses_a_gain_that_ruins_a_category(many_tickets, settings):
    settings.GATE_MIN_MACRO_F1 = 0.3
    make_trained(taught(billing="shipping", shipping="billing"), status="production")

    verdict = judging.judge(make_trained(taught(technical="billing")))

    ruined = rule(verdict, "recall_loss")
    assert rule(verdict, "gain").passed
    assert rule(verdict, "likely_loss").passed
    assert not ruined.passed
    assert ruined.found > 0.5
    assert ruined.words.startswith("The category that loses most is technical: 8 of its 8 test tickets are right with ")


def test_judge_refuses_a_gain_that_is_badly_calibrated(many_tickets):
    make_trained(taught(billing="shipping"), status="production")

    verdict = judging.judge(make_trained(changed(temperature=50.0)))

    assert rule(verdict, "gain").passed
    assert failed(verdict) == ["calibration_loss"]
    assert rule(verdict, "calibration_loss").found > 0.3


def test_judge_with_a_damaged_version_in_production_cannot_compare(tickets):
    old = make_trained(poor_fit().model, status="production")
    candidate = make_trained()
    ModelArtifact.objects.filter(pk=old.artifact_id).update(content=b"nothing")

    verdict = judging.judge(candidate)

    assert failed(verdict) == ["comparable"]
    assert verdict.in_words().startswith("Version 1 cannot be compared with: ")
    assert rule(verdict, "comparable").found is None


def test_judge_against_a_version_without_frozen_tickets_cannot_compare(tickets):
    factories.make_version(model=small_fit().model, status="production")

    assert failed(judging.judge(make_trained())) == ["comparable"]


# --- Other categories -----------------------------------------------------------------------------
def test_judge_compares_on_the_categories_both_know(tickets):
    make_trained(status="production")
    Category.objects.filter(slug="technical").update(active=False)

    verdict = judging.judge(make_trained(of_categories("billing", "shipping")))

    assert "On the same 4 test tickets" in rule(verdict, "gain").words
    assert rule(verdict, "lost_categories").passed  # a retired one is no loss


def test_judge_refuses_a_candidate_that_does_not_know_an_active_category(tickets):
    make_trained(taught(billing="shipping"), status="production")

    verdict = judging.judge(make_trained(of_categories("billing", "shipping")))

    assert not rule(verdict, "lost_categories").passed
    assert "It does not know technical, which version 1 answers" in verdict.in_words()


def test_judge_lets_a_new_category_in_that_is_found(many_tickets):
    make_trained(changed(of_categories("billing", "shipping"), temperature=1.0), status="production")

    found = rule(judging.judge(make_trained()), "new_recall")

    assert found.passed
    assert found.found == 1.0
    assert "The new category technical has recall 1.000 on 8 test tickets" in found.words


def test_judge_refuses_a_new_category_that_is_not_found(many_tickets):
    make_trained(of_categories("billing", "shipping"), status="production")

    verdict = judging.judge(make_trained(taught(technical="billing")))

    assert "new_recall" in failed(verdict)
    assert rule(verdict, "new_recall").found < 0.5
    assert "0.500 is the least. It fails by" in rule(verdict, "new_recall").words


def test_judge_counts_tickets_that_a_new_category_draws_away(many_tickets):
    """Answered as billing's by nobody any more: wrong, though both know billing and only one of them technical."""
    make_trained(of_categories("billing", "shipping"), status="production")

    verdict = judging.judge(make_trained(taught(billing="technical")))

    assert rule(verdict, "gain").found < 0
    assert rule(verdict, "recall_loss").words.startswith("The category that loses most is billing")


def test_judge_without_a_common_category_does_not_compare(tickets):
    make_trained(status="production")

    verdict = judging.judge(make_trained(changed(categories=("a", "b", "c"))))

    assert not rule(verdict, "comparable").passed
    assert "no category" in rule(verdict, "comparable").words


def test_judge_with_every_common_ticket_gone_does_not_compare(tickets):
    make_trained(of_categories("billing", "shipping"), status="production")
    candidate = make_trained()
    Ticket.objects.filter(split="test", labels__category__slug__in=("billing", "shipping")).delete()

    verdict = judging.judge(candidate)

    assert "No test ticket is left of a category that version 1 knows" in verdict.in_words()


# --- Which tickets --------------------------------------------------------------------------------
def test_verdict_names_the_tickets_and_their_dataset(tickets):
    make_trained(poor_fit().model, status="production")
    candidate = make_trained()

    verdict = judging.judge(candidate)

    wanted = sorted(Ticket.objects.filter(split="test").values_list("pk", flat=True))
    assert list(verdict.ids) == list(verdict.compared) == wanted
    assert verdict.as_dict()["dataset"] == candidate.run.dataset_id
    assert (verdict.as_dict()["n_tickets"], verdict.as_dict()["n_compared"]) == (6, 6)


def test_judge_tells_of_deleted_test_tickets_and_goes_on_with_the_others(tickets):
    candidate = make_trained()
    Ticket.objects.filter(split="test").first().delete()

    verdict = judging.judge(candidate)

    assert verdict.passed
    assert len(verdict.ids) == 5
    assert "1 more of dataset" in rule(verdict, "least_macro_f1").words


def test_judge_refuses_what_no_ticket_of_a_category_can_tell_of(tickets):
    candidate = make_trained()
    Ticket.objects.filter(split="test", labels__category__slug="billing").delete()

    verdict = judging.judge(candidate)

    assert failed(verdict) == ["test_tickets"]
    assert "All test tickets of billing were deleted" in verdict.in_words()


def test_judge_does_not_ask_for_tickets_of_a_retired_category(tickets):
    candidate = make_trained()
    Ticket.objects.filter(split="test", labels__category__slug="billing").delete()
    Category.objects.filter(slug="billing").update(active=False)

    assert judging.judge(candidate).passed


def test_judge_without_any_test_ticket_left_fails(tickets):
    candidate = make_trained()
    Ticket.objects.filter(split="test", labels__category__slug="billing").delete()
    Category.objects.exclude(slug="billing").update(active=False)

    verdict = judging.judge(candidate)

    assert failed(verdict) == ["test_tickets"]
    assert "none that was not deleted since, or retired" in verdict.in_words()


def test_judge_takes_the_least_macro_f1_as_it_would_be_in_service(tickets):
    """A model that prefers a category to all others answers with the likeliest of the others once it is retired."""
    model = good_fit().model
    preferred = np.array([20.0 * (slug == "technical") for slug in model.categories])
    candidate = make_trained(changed(intercepts=(model.intercepts + preferred).astype(model.intercepts.dtype)))
    before = rule(judging.judge(candidate), "least_macro_f1")
    Category.objects.filter(slug="technical").update(active=False)

    verdict = judging.judge(candidate)

    after = rule(verdict, "least_macro_f1")
    assert before.found < 0.7
    assert after.found == 1.0
    assert after.words.startswith("Its macro-F1 on 4 test tickets is 1.000")
    assert len(verdict.ids) == 4


def test_judge_lets_each_version_answer_the_test_tickets_once(tickets, monkeypatch):
    make_trained(of_categories("billing", "shipping"), status="production")
    candidate = make_trained()
    asked = []
    monkeypatch.setattr(judging.comparing.timing, "compare", lambda *models, **options: Latencies(1.0, 1.0))
    real = TextModel.predict

    def count(model, texts):
        asked.append(len(texts))
        return real(model, texts)

    monkeypatch.setattr(TextModel, "predict", count)
    judging.judge(candidate)

    assert asked == [4, 6, 4]  # the self-test; the candidate with the new category's two; production


RULES = "MIN_MACRO_F1 MIN_GAIN MAX_LIKELY_LOSS MAX_RECALL_LOSS MAX_CALIBRATION_LOSS MIN_NEW_RECALL MAX_LATENCY_RATIO"


@pytest.mark.parametrize("name", RULES.split())
def test_a_gate_that_asks_otherwise_than_a_stored_verdict_is_told(tickets, settings, name):
    make_trained(of_categories("billing", "shipping"), status="production")
    verdict = judging.judge(make_trained()).as_dict()
    before = judging.asks_otherwise(verdict)
    setattr(settings, f"GATE_{name}", getattr(settings, f"GATE_{name}") + 0.125)

    assert (before, judging.asks_otherwise(verdict)) == (False, True)


def test_a_verdict_is_kept_as_plain_numbers_and_words(tickets):
    make_trained(poor_fit().model, status="production")

    found = json.loads(json.dumps(judging.judge(make_trained()).as_dict(), allow_nan=False))

    assert found["passed"] is True
    assert found["reasons"][2] == {
        "name": "least_macro_f1",
        "passed": True,
        "wanted": 0.6,
        "found": 1.0,
        "words": "Its macro-F1 on 6 test tickets is 1.000, and 0.600 is the least.",
    }
    assert all(reason["words"] for reason in found["reasons"])


# --- The self-test --------------------------------------------------------------------------------
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

    found = judging.self_test(changed(coefficients=broken(good_fit().model.coefficients)))

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
    assert "shipping, technical" in found.words


def test_judge_asks_nothing_more_of_a_version_that_fails_the_self_test(tickets):
    version = make_trained(changed(categories=("billing", "shipping", "unheard")))
    Category.objects.filter(slug="unheard").delete()

    verdict = judging.judge(version)

    assert [rule.name for rule in verdict.reasons] == ["artifact_whole", "self_test"]
    assert "categories that there are not: unheard" in verdict.in_words()
