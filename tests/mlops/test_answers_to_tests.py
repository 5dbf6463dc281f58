"""What a version said of each test ticket: kept by a training, restored for older versions, made up for samples."""

from __future__ import annotations

from collections import Counter
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from classifier.models import ModelVersion, Ticket
from mlops import evaluation
from mlops.evaluation import NothingToScore, restore_test_answers
from mlops.samples.categories import places
from mlops.samples.versions import make_version as make_sample
from mlops.training import train
from tests.factories import make_version
from tests.mlops.making import label_tickets, make_trained, noon, poor_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
COLUMNS = ["ticket_ids", "truth", "guess", "confidence"]


def cells(version: ModelVersion) -> dict[tuple[str, str], int]:
    """The confusion's cells that are not 0, as the scores have them."""
    found = version.metrics["test"]["confusion"]
    names = found["categories"]
    return {
        (names[row], names[column]): n
        for row, counts in enumerate(found["matrix"])
        for column, n in enumerate(counts)
        if n
    }


def told(version: ModelVersion) -> dict[tuple[str, str], int]:
    return dict(Counter(zip(version.test_answers["truth"], version.test_answers["guess"], strict=True)))


def test_training_keeps_what_it_said_of_each_test_ticket():
    label_tickets()

    version = train(trigger="command", clock=noon).version

    tested = Ticket.objects.filter(split="test").order_by("pk")
    assert sorted(version.test_answers) == sorted(COLUMNS)  # jsonb has an order of its own
    assert version.test_answers["ticket_ids"] == [ticket.pk for ticket in tested]
    assert version.test_answers["truth"] == [ticket.labels.get().category.slug for ticket in tested]
    assert all(0 < confidence <= 1 for confidence in version.test_answers["confidence"])
    assert told(version) == cells(version)


def test_restore_gives_an_older_version_the_very_same_answers():
    label_tickets()
    version = train(trigger="command", clock=noon).version
    kept = version.test_answers
    ModelVersion.objects.update(test_answers={})
    version.refresh_from_db()

    n = restore_test_answers(version)

    version.refresh_from_db()
    assert n == 6
    assert version.test_answers == kept


def test_restore_leaves_out_what_was_deleted_since():
    label_tickets()
    version = make_trained(poor_fit().model)
    Ticket.objects.filter(split="test").first().delete()

    assert restore_test_answers(version) == 5
    assert len(version.test_answers["guess"]) == 5


def test_restore_refuses_answers_that_are_not_those_of_the_scores():
    label_tickets()
    version = make_trained(poor_fit().model)
    version.metrics["test"]["confusion"]["matrix"][0][0] += 1

    with pytest.raises(NothingToScore, match="it gives another"):
        restore_test_answers(version)
    version.refresh_from_db()
    assert version.test_answers == {}


def test_restore_without_a_training_run_or_a_ticket_says_so():
    label_tickets()
    version = make_trained()
    Ticket.objects.all().delete()

    with pytest.raises(NothingToScore, match="deleted since"):
        restore_test_answers(version)
    with pytest.raises(NothingToScore, match="needs its training run"):
        restore_test_answers(make_version())


def test_evaluate_on_test_has_an_older_version_keep_its_answers_once():
    label_tickets()
    version = make_trained()
    first, second, other = StringIO(), StringIO(), StringIO()

    call_command("evaluate", "--version", version.number, "--split", "validation", stdout=other)
    call_command("evaluate", "--version", version.number, "--split", stdout=first)
    call_command("evaluate", "--version", version.number, "--split", stdout=second)

    version.refresh_from_db()
    assert "Kept what it said of 6 test tickets" in first.getvalue()
    assert "Kept" not in second.getvalue() + other.getvalue()
    assert told(version) == cells(version)


def test_sample_version_has_answers_that_give_its_matrix_and_name_no_ticket(settings):
    version = make_sample(places(), seed=1, now=timezone.now())

    assert sorted(version.test_answers) == sorted(COLUMNS)  # jsonb has an order of its own
    assert told(version) == cells(version)
    assert set(version.test_answers["ticket_ids"]) == {None}
    assert len(version.test_answers["ticket_ids"]) == version.metrics["test"]["n_tickets"]


def test_confidences_are_those_of_the_answers_to_a_millionth():
    label_tickets()
    version = make_trained(poor_fit().model)

    restore_test_answers(version)

    texts = evaluation.texts_of(version.test_answers["ticket_ids"])
    answers = poor_fit().model.predict([texts[pk] for pk in version.test_answers["ticket_ids"]])
    assert version.test_answers["confidence"] == pytest.approx(list(answers.confidences), abs=1e-6)
