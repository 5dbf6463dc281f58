"""The whole way: train, judge, promote; when it is skipped; and the tasks that are its doors."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from classifier.inference import load
from classifier.models import ModelArtifact, ModelVersion, Ticket
from mlops import promotion, queueing, retraining, runs
from mlops.gathering import gather
from mlops.models import Promotion, TrainingRun
from tests.mlops.making import NOW, label_tickets, make_trained, noon, poor_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
Status = TrainingRun.Status


@pytest.fixture(autouse=True)
def _tickets():
    label_tickets()


def retrain(**options) -> retraining.Outcome:
    return retraining.run(**{"trigger": "command", "clock": noon, **options})


def reason_to_skip(recipe: str = "word_char") -> str:
    return retraining.reason_to_skip(gather(), recipe=recipe)


def statuses():
    return dict(ModelVersion.objects.values_list("number", "status"))


def test_retrain_promotes_a_first_version_that_passes():
    outcome = retrain()

    assert outcome.decision == "promoted"
    assert statuses() == {1: "production"}
    assert outcome.promotion == Promotion.objects.get()
    assert outcome.promotion.reason.startswith("Retrained (command). Its macro-F1 on 6 test tickets is")
    assert outcome.promotion.created_at == NOW
    assert "Promoted to production" in TrainingRun.objects.get().outcome


def test_retrain_promotes_what_is_better_than_production():
    make_trained(poor_fit().model, status="production")

    outcome = retrain()

    assert outcome.decision == "promoted"
    assert statuses() == {1: "archived", 2: "production"}
    assert "a gain of +0." in outcome.words


def test_retrain_keeps_what_the_gate_refuses_as_a_candidate():
    make_trained(status="production")  # it knows the test tickets by heart

    outcome = retrain()

    assert outcome.decision == "kept"
    assert statuses() == {1: "production", 2: "candidate"}
    assert not outcome.verdict.passed
    assert "Kept as a candidate: On the same 6 test tickets" in outcome.run.outcome


def test_retrain_with_auto_promote_off_keeps_what_passed(settings):
    settings.AUTO_PROMOTE = False

    outcome = retrain()

    assert (outcome.decision, outcome.verdict.passed) == ("kept", True)
    assert "AUTO_PROMOTE is off" in outcome.words
    assert statuses() == {1: "candidate"}


def test_retrain_with_nothing_changed_is_skipped_with_the_reason():
    retrain()

    outcome = retrain()

    assert (outcome.decision, outcome.run.status) == ("skipped", Status.SKIPPED)
    assert outcome.run.outcome == (
        "Unchanged: labelled tickets, recipe, seed, min_tickets_per_category, train_on_api_labels are those of version "
        "1, which is in production."
    )
    assert outcome.run.ended_at == NOW
    assert ModelVersion.objects.count() == 1


@pytest.mark.parametrize(("name", "value"), [("SEED", 1), ("MIN_TICKETS_PER_CATEGORY", 8)])
def test_retrain_with_another_setting_is_not_skipped(settings, name, value):
    retrain()
    setattr(settings, name, value)

    assert reason_to_skip() == ""


def test_retrain_with_another_recipe_or_other_tickets_is_not_skipped():
    retrain()
    unchanged = reason_to_skip()
    other_recipe = reason_to_skip("original")
    Ticket.objects.filter(pk=Ticket.objects.first().pk).delete()

    assert unchanged
    assert other_recipe == ""
    assert reason_to_skip() == ""


def test_retrain_reads_the_texts_once():
    shaping = retraining.training.settings_that_shape("word_char")
    make_trained(poor_fit().model, status="production", parameters=shaping)
    Ticket.objects.filter(pk=Ticket.objects.first().pk).delete()
    with CaptureQueriesContext(connection) as queries:
        retrain()

    read = [query["sql"] for query in queries if '"text"' in query["sql"] and '"classifier_label"' in query["sql"]]
    assert len(read) == 1


# --- What was judged and kept ---------------------------------------------------------------------
@pytest.fixture
def kept():
    """A retraining whose candidate was no better than the version in production, version 1."""
    make_trained(status="production")
    run = retrain().run
    assert run.decision == "kept"
    return run


def test_a_candidate_that_was_judged_and_kept_is_not_trained_again(kept):
    outcome = retrain()

    assert (outcome.decision, outcome.run.status) == ("skipped", Status.SKIPPED)
    first = "On the same 6 test tickets its macro-F1 is 1.000 and that of version 1 1.000"
    assert outcome.words.startswith(f"Unchanged since {kept}, whose version 2 was judged and kept: {first}")
    assert "promote" not in outcome.words
    assert ModelVersion.objects.count() == 2


def test_a_candidate_that_was_kept_by_a_gate_of_other_settings_is_one_to_promote(kept, settings):
    settings.GATE_MIN_GAIN = 0.05

    assert reason_to_skip().endswith(" The gate asks otherwise since: promote judges version 2 anew.")


def test_a_candidate_that_failed_while_nothing_was_in_production_is_not_trained_again(settings):
    settings.GATE_MIN_MACRO_F1 = 1.01
    retrain()

    outcome = retrain()

    assert outcome.decision == "skipped"
    assert "Its macro-F1 on 6 test tickets is" in outcome.words


def test_a_candidate_that_passed_is_kept_until_auto_promote_is_on(settings):
    settings.AUTO_PROMOTE = False
    run = retrain().run
    words = reason_to_skip()
    settings.AUTO_PROMOTE = True

    assert (
        words
        == f"Unchanged since {run}, whose version 1 was judged and kept: it passed the gate, and AUTO_PROMOTE is off."
    )
    assert retrain().decision == "promoted"


def test_a_kept_candidate_is_trained_again_after_a_promotion(kept):
    other = make_trained(poor_fit().model)
    promotion.promote(other, reason="Try it.", force=True, now=NOW)

    outcome = retrain()

    assert outcome.decision == "promoted"


@pytest.mark.parametrize("change", ["tickets", "seed", "recipe"])
def test_a_kept_candidate_is_no_reason_to_skip_once_something_changed(kept, settings, change):
    if change == "tickets":
        Ticket.objects.filter(pk=Ticket.objects.first().pk).delete()
    if change == "seed":
        settings.SEED = 7

    assert reason_to_skip("original" if change == "recipe" else "word_char") == ""


def test_train_trains_although_the_candidate_was_judged_and_kept(kept):
    retraining.carry_out(runs.Order(kind="train", trigger="command", recipe="word_char"), clock=noon)

    assert ModelVersion.objects.count() == 3


def test_retrain_on_bad_tickets_is_rejected():
    Ticket.objects.exclude(labels__category__slug="billing").delete()

    outcome = retrain()

    assert (outcome.decision, outcome.run.status) == ("rejected", Status.REJECTED)
    assert outcome.words == outcome.run.outcome


def test_settle_first_leaves_a_candidate_alone_while_something_is_in_production():
    make_trained(status="production")
    candidate = make_trained(poor_fit().model)

    assert retraining.settle_first(candidate.run) is None
    assert statuses() == {1: "production", 2: "candidate"}


def test_settle_first_promotes_whether_or_not_auto_promote_is_on(settings):
    settings.AUTO_PROMOTE = False

    outcome = retraining.settle_first(make_trained().run)

    assert outcome.decision == "promoted"
    assert outcome.promotion.reason.startswith("The first version.")


def test_settle_first_keeps_a_first_version_that_fails(settings):
    settings.GATE_MIN_MACRO_F1 = 1.0

    outcome = retraining.settle_first(make_trained(poor_fit().model).run)

    assert outcome.decision == "kept"
    assert statuses() == {1: "candidate"}


def test_retrain_writes_decision_verdict_and_steps_to_its_run():
    run = retrain(reason="Asked for.").run

    assert (run.kind, run.status, run.decision, run.reason) == ("retrain", Status.SUCCEEDED, "promoted", "Asked for.")
    assert run.verdict["passed"]
    names = "validate fit refit score solve keep record judge"
    assert [step["name"] for step in run.steps] == names.split()
    assert Promotion.objects.get().reason.startswith("Retrained (command): Asked for. ")


def test_retrain_does_not_undo_a_roll_back_with_the_very_model_that_was_taken_out():
    promotion.promote(make_trained(poor_fit().model), reason="First.", force=True)
    retrain()
    promotion.roll_back(reason="It answers wrongly in practice.")

    outcome = retrain()

    assert (outcome.decision, statuses()[1]) == ("kept", "production")
    assert "it is the very model of version 2, which was rolled back on" in outcome.words
    assert "It answers wrongly in practice." in outcome.words


def test_retrain_after_a_roll_back_is_not_trained_again_and_again():
    promotion.promote(make_trained(poor_fit().model), reason="First.", force=True)
    retrain()
    promotion.roll_back(reason="It answers wrongly in practice.")
    retrain()

    outcome = retrain()

    assert outcome.decision == "skipped"
    assert outcome.words.endswith("it passed the gate, and its model was rolled back.")


def test_retrain_with_a_damaged_production_makes_its_bytes_again():
    version = retrain().run.version
    version.path.write_bytes(b"no model")
    ModelArtifact.objects.update(content=b"no model")

    outcome = retrain()

    assert outcome.run.status == Status.SUCCEEDED
    assert load(version).categories == tuple(version.categories)


def test_retrain_after_the_rolled_back_model_was_promoted_again_is_free_to_promote():
    promotion.promote(make_trained(poor_fit().model), reason="First.", force=True)
    taken = retrain().run.version
    promotion.roll_back(reason="It answers wrongly.")
    assert retraining.rolled_back(taken) is not None
    taken.refresh_from_db()
    promotion.promote(taken, reason="It was not the model.", force=True)

    assert retraining.rolled_back(taken) is None


def test_retrain_whose_production_changed_while_it_judged_keeps_its_candidate(monkeypatch):
    late = make_trained(poor_fit().model)
    real = retraining.judging.judge

    def judge_slowly(candidate):
        verdict = real(candidate)
        ModelVersion.objects.filter(pk=late.pk).update(status="production")
        return verdict

    monkeypatch.setattr(retraining.judging, "judge", judge_slowly)
    outcome = retrain()

    assert (outcome.decision, outcome.run.status) == ("kept", Status.SUCCEEDED)
    assert "somebody promoted in between" in outcome.words


def test_retrain_that_dies_between_promotion_and_its_own_decision_has_done_neither(monkeypatch):
    def fail(*_given, **_named):
        raise MemoryError("no room")

    monkeypatch.setattr(retraining, "_settled", fail)
    with pytest.raises(MemoryError):
        retrain()

    assert (TrainingRun.objects.get().decision, Promotion.objects.count()) == ("", 0)
    assert statuses() == {1: "candidate"}


def test_retrain_that_dies_while_judging_is_failed_with_its_candidate_on_record(monkeypatch):
    def fail(candidate):
        raise MemoryError("no room")

    monkeypatch.setattr(retraining.judging, "judge", fail)
    with pytest.raises(MemoryError):
        retrain()

    run = TrainingRun.objects.get()
    assert (run.status, run.version.number) == (Status.FAILED, 1)
    assert run.outcome == "MemoryError: no room"


def queued(kind: str = "retrain", **fields) -> TrainingRun:
    order = runs.Order(kind=kind, trigger="api", recipe="word_char", **fields)
    return queueing.enqueue(order, now=NOW)


def test_a_queued_retraining_is_carried_out_to_the_end():
    outcome = retraining.carry_out(queued(), clock=noon)

    assert (outcome.decision, outcome.run.status) == ("promoted", Status.SUCCEEDED)
    assert statuses() == {1: "production"}


def test_a_queued_training_stops_at_the_candidate_while_something_is_in_production():
    make_trained(poor_fit().model, status="production")

    outcome = retraining.carry_out(queued("train"), clock=noon)

    assert (outcome.decision, outcome.run.status) == ("", Status.SUCCEEDED)
    assert statuses() == {1: "production", 2: "candidate"}


def test_a_queued_training_that_is_the_first_goes_to_production():
    outcome = retraining.carry_out(queued("train"), clock=noon)

    assert (outcome.decision, statuses()) == ("promoted", {1: "production"})
