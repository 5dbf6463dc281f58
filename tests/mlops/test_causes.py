"""What speaks for a retraining: new labels, drift, live quality, with figures computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from classifier.models import Category, Label, ModelVersion
from mlops import causes
from mlops.models import DriftSnapshot
from tests.factories import make_categories, make_version
from tests.mlops.answering import AN_HOUR, answer, answers, category_of, label
from tests.mlops.making import NOW, THREE, label_tickets, make_trained
from tests.mlops.watching import make_snapshot, newly_labelled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


# --- Labels ---------------------------------------------------------------------------------------
@pytest.fixture
def version() -> ModelVersion:
    """In production, of 42 labelled tickets; its run began and ended at NOW."""
    label_tickets()
    return make_trained(status="production")


def new_labels(version: ModelVersion) -> int:
    return causes.labels(version).figures["new_labels"]


def test_labels_that_the_version_learnt_from_are_not_new(version):
    found = causes.labels(version)

    assert (found.holds, found.figures) == (False, {"new_labels": 0, "new_labels_wanted": 200})
    assert found.words == "0 confirmed labels are new since version 1 was trained (200 begin a retraining)"


def test_labels_speak_for_it_from_the_number_of_the_setting_on(version, settings):
    settings.RETRAIN_NEW_LABELS = 3
    newly_labelled(2)
    before = causes.labels(version).holds
    newly_labelled(1)

    assert (before, causes.labels(version).holds) == (False, True)


def test_correction_is_a_new_label_and_one_that_was_taken_back_is_not(version):
    corrected, taken_back = Label.objects.filter(category__slug="billing")[:2]
    for old in (corrected, taken_back):
        Label.objects.filter(pk=old.pk).update(ended_at=NOW + AN_HOUR)
        Label.objects.create(
            ticket=old.ticket, category=category_of("shipping"), source="agent", created_at=NOW + AN_HOUR
        )
    Label.objects.filter(ticket=taken_back.ticket).update(ended_at=NOW + 2 * AN_HOUR)
    Label.objects.create(
        ticket=taken_back.ticket, category=category_of("billing"), source="reviewer", created_at=NOW + 2 * AN_HOUR
    )

    assert new_labels(version) == 1


def test_labels_that_may_not_train_are_not_counted(version):
    newly_labelled(1, source="api")
    newly_labelled(1, split="excluded")
    newly_labelled(1, is_demo=True)
    newly_labelled(1, slug="retired")
    Category.objects.filter(slug="retired").update(active=False)

    assert new_labels(version) == 0


def test_labels_of_the_api_count_where_they_train(version, settings):
    settings.TRAIN_ON_API_LABELS = True
    newly_labelled(2, source="api")

    assert new_labels(version) == 2


def test_labels_of_a_version_without_a_run_count_from_its_making_on():
    version = make_version(status="production", created_at=NOW)
    label_tickets(1)
    newly_labelled(1)
    Label.objects.filter(category__slug="technical").update(created_at=NOW - AN_HOUR)

    assert new_labels(version) == 3  # billing, shipping and the new one


def test_labels_ask_the_database_three_times(version, django_assert_num_queries):
    newly_labelled(2)

    with django_assert_num_queries(3):  # the run, the labels since, what its dataset says
        causes.labels(version)


# --- Drift ----------------------------------------------------------------------------------------
def drift(version: ModelVersion, given: DriftSnapshot | None = None) -> causes.Cause:
    return causes.drift(version, given=given)


def test_drift_speaks_for_it_when_the_newest_two_snapshots_are_drifted():
    version = make_version(status="production")
    make_snapshot(version, verdict="steady")
    first, second = make_snapshot(version, verdict="drifted"), make_snapshot(version, verdict="drifted")

    found = drift(version, second)

    assert (found.holds, found.snapshot, found.figures["snapshots"]) == (True, second, [second.pk, first.pk])
    assert found.words == (
        f"the newest 2 drift snapshots of version 1 are drifted, last snapshot {second.pk}: Longer texts"
    )


@pytest.mark.parametrize(
    ("verdicts", "why"),
    [
        ((), "has no drift snapshot yet"),
        (("drifted",), "is drifted, but not yet 2 in a row"),
        (("drifted", "steady", "drifted"), "is drifted, but not yet 2 in a row"),
        (("drifted", "too_few", "drifted"), "is drifted, but not yet 2 in a row"),
        (("drifted", "drifted", "steady"), "is steady"),
        (("drifted", "drifted", "too_few"), "has too few predictions to tell"),
    ],
)
def test_drift_does_not_speak_for_it_otherwise(verdicts, why):
    version = make_version(status="production")
    for verdict in verdicts:
        make_snapshot(version, verdict=verdict)

    found = drift(version)

    assert (found.holds, why in found.words) == (False, True), found.words


def test_drift_of_the_shares_alone_does_not_speak_for_it():
    version = make_version(status="production")
    shares = [{"name": "category_shares", "drifted": True}, {"name": "text", "drifted": False}]
    for number in (1, 2):
        make_snapshot(version, verdict="drifted", last_prediction=number, signals=shares)

    found = causes.drift(version, given=None)

    assert not found.holds
    assert found.words.endswith("is of the shares of the categories alone, which no training mends")


def test_drift_of_the_same_predictions_twice_is_one():
    version = make_version(status="production")
    make_snapshot(version, verdict="drifted", last_prediction=7)
    make_snapshot(version, verdict="drifted", last_prediction=7)
    before = drift(version).holds
    make_snapshot(version, verdict="drifted", last_prediction=9)

    assert (before, drift(version).holds) == (False, True)


def test_drift_of_another_version_or_of_a_demonstration_does_not_count():
    old, version = make_version(), make_version(status="production")
    for _ in range(2):
        make_snapshot(old, verdict="drifted")
        make_snapshot(version, verdict="drifted", is_demo=True)

    assert drift(version).holds is False


def test_drift_of_before_a_promotion_does_not_speak_for_it():
    old, version = make_version(), make_version(status="production")
    make_snapshot(version, verdict="drifted")
    make_snapshot(version, verdict="drifted")
    given = make_snapshot(old, verdict="drifted")

    found = drift(version, given)

    assert (found.holds, found.words) == (False, f"snapshot {given.pk} is not of version 2")


# --- Quality --------------------------------------------------------------------------------------
def quality(thresholds: dict[str, Any] | None = None) -> causes.Cause:
    version = ModelVersion.objects.in_production().get()
    ModelVersion.objects.filter(pk=version.pk).update(thresholds=thresholds or {})
    return causes.precision(ModelVersion.objects.in_production().light().get(), NOW)


@pytest.mark.parametrize(
    ("right", "wrong", "holds"),
    [
        # Of 50, the upper end of 44 is (0.88 + 0.03841 + 1.96 sqrt(0.002112 + 0.000384)) / 1.07683 = 0.9438.
        (44, 6, True),
        # That of 45: (0.9 + 0.03841 + 1.96 sqrt(0.0018 + 0.000384)) / 1.07683 = 0.9565.
        (45, 5, False),
        # Of 100, that of 90 is 0.9448 and that of 91 is 0.9519.
        (90, 10, True),
        (91, 9, False),
        (0, 49, False),
    ],
)
def test_quality_speaks_for_it_when_precision_is_below_the_target_by_more_than_chance(right, wrong, holds):
    answers(right + wrong, right=right, wrong=wrong)

    assert quality({"target": 0.95}).holds is holds


def test_quality_says_what_was_found():
    answers(51, right=44, wrong=6)

    found = quality({"target": 0.95})

    assert found.words == (
        "50 automatic answers of the last 7 days have a later label, and 88.0 % of them were right, "
        "at most 94.4 % by the 95 % interval, where 95.0 % are the target"
    )
    assert found.figures == {
        "n_automatic_labelled": 50,
        "precision": 0.88,
        "high": pytest.approx(0.9438, abs=5e-5),
        "target": 0.95,
    }


def test_quality_of_few_labels_tells_nothing():
    answers(1, wrong=1)

    found = quality()

    assert (found.holds, found.figures) == (False, {"n_automatic_labelled": 1, "precision": 0.0})
    assert found.words == (
        "1 automatic answer of the last 7 days has a later label, too few to tell their precision (50 are needed)"
    )


def test_quality_asks_for_what_each_category_was_solved_for():
    answers(50, right=44, wrong=6)
    for _ in range(25):
        given = answer("shipping")
        label(given, "shipping")
    solved = {"target": 0.95, "per_category": {"billing": {"target": 0.8}, "shipping": {"target": 0.95}}}

    found = quality(solved)

    # 50 answers at 0.8 and 25 at 0.95; 69 of 75 were right.
    assert (found.figures["target"], found.holds) == (pytest.approx(0.85), False)


def test_quality_of_answers_for_review_and_of_other_versions_does_not_count():
    answers(60, wrong=60, review=True)
    answers(60, wrong=60, version=make_version())

    assert quality().figures["n_automatic_labelled"] == 0


# --- Before anything is in production ---------------------------------------------------------------
def test_without_labels_there_is_nothing_to_retrain_and_words_say_what_to_do():
    make_categories(THREE)

    found = causes.first_version(is_scheduled=True)

    assert (found.holds, found.name) == (False, "schedule")
    assert found.words.startswith("no version is in production, so there is nothing to retrain")
    assert "at least two categories must have 7 different labelled tickets each" in found.words


def test_first_version_begins_by_itself_only_with_every_active_category():
    label_tickets()
    category_of("general")

    found = causes.first_version(is_scheduled=True)

    assert (found.holds, found.figures["missing_categories"]) == (False, ["general"])
    assert "never answers 'general', which does not begin by itself" in found.words


def test_first_version_begins_when_the_schedule_asks_and_labels_suffice():
    label_tickets()

    found = causes.first_version(is_scheduled=True)

    assert (found.holds, found.name) == (True, "schedule")
    assert found.words == "no version is in production, and 42 labelled tickets of 3 categories suffice for a first one"


def test_first_version_waits_for_the_schedule_or_a_person():
    label_tickets()

    found = causes.first_version(is_scheduled=False)

    assert (found.holds, found.name) == (False, "none")
    assert found.words.endswith("It begins when the schedule asks; manage.py train begins it now")


def test_listed_categories_are_named_up_to_three():
    label_tickets()
    make_categories(("account", "general", "refunds", "returns"))

    words = causes.first_version(is_scheduled=False).words

    assert "never answers 'account', 'general', 'refunds' and 1 more" in words
