"""The whole way: train, judge, promote; when it is skipped; and the tasks that are its doors."""

from __future__ import annotations

import pytest
from django.utils import timezone

from classifier.models import ModelVersion, Ticket
from mlops import retraining, runs, tasks
from mlops.models import Promotion, TrainingRun
from tests.mlops.making import NOW, label_tickets, make_trained, noon, poor_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
Status = TrainingRun.Status


@pytest.fixture(autouse=True)
def _tickets():
    label_tickets()


def retrain(**options) -> retraining.Outcome:
    return retraining.run(**{"trigger": "command", "clock": noon, **options})


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
    assert outcome.run.outcome.startswith("Unchanged: ")
    assert outcome.run.ended_at == NOW
    assert ModelVersion.objects.count() == 1


@pytest.mark.parametrize(("name", "value"), [("SEED", 1), ("MIN_TICKETS_PER_CATEGORY", 8)])
def test_retrain_with_another_setting_is_not_skipped(settings, name, value):
    retrain()
    setattr(settings, name, value)

    assert retraining.reason_to_skip("word_char") == ""


def test_retrain_with_another_recipe_or_other_tickets_is_not_skipped():
    retrain()
    unchanged = retraining.reason_to_skip("word_char")
    other_recipe = retraining.reason_to_skip("original")
    Ticket.objects.filter(pk=Ticket.objects.first().pk).delete()

    assert unchanged
    assert other_recipe == ""
    assert retraining.reason_to_skip("word_char") == ""


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


# --- Tasks ----------------------------------------------------------------------------------------
def test_the_task_retrain_goes_the_whole_way():
    tasks.retrain()

    assert statuses() == {1: "production"}
    assert TrainingRun.objects.get().trigger == "schedule"


def test_the_task_train_stops_at_the_candidate():
    tasks.train(trigger="api")

    assert statuses() == {1: "candidate"}


@pytest.mark.parametrize("name", ["train", "retrain"])
def test_a_task_that_finds_a_training_running_leaves_it_at_that(name):
    with runs.running(trigger="command", recipe="word_char", by=None, clock=timezone.now) as other:
        getattr(tasks, name)()
        runs.end(other, Status.REJECTED, outcome="Done.", now=timezone.now())

    assert TrainingRun.objects.filter(status=Status.SKIPPED).count() == 1


def test_trainings_have_a_queue_of_their_own():
    from ticketclf.celery import app

    routes = [app.amqp.router.route({}, task.name)["queue"].name for task in (tasks.train, tasks.retrain)]

    assert routes == ["training", "training"]
