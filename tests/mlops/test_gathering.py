"""What a training is given: which tickets, what is left out with which words, and that it is frozen."""

from __future__ import annotations

import pytest

from classifier.models import Category, Label, Ticket
from mlops import gathering
from mlops.models import Dataset, Frozen
from mlops.training import settings_that_shape
from tests import factories
from tests.mlops.making import NOW, label_tickets

pytestmark = pytest.mark.django_db


def label(ticket, slug, **fields):
    category = Category.objects.get(slug=slug)
    return Label.objects.create(ticket=ticket, category=category, source="import", created_at=NOW, **fields)


def messages(material):
    return [finding.message for finding in material.left_out]


def test_gather_takes_current_confirmed_labels_that_have_a_split():
    label_tickets(7, categories=("billing", "shipping"))
    skipped = [
        factories.make_ticket("no split"),
        factories.make_ticket("excluded", split="excluded", group=0),
        factories.make_ticket("demo", split="train", group=0, is_demo=True),
    ]
    for ticket in skipped:
        label(ticket, "billing")
    ended = factories.make_ticket("ended", split="train", group=0)
    label(ended, "billing", ended_at=NOW)
    by_api = factories.make_ticket("by api", split="train", group=0)
    Label.objects.create(ticket=by_api, category=Category.objects.get(slug="billing"), source="api")

    material = gathering.gather()

    assert len(material.labelled) == 14
    assert material.categories == ("billing", "shipping")
    assert material.left_out == ()


@pytest.mark.parametrize(("wanted", "expected"), [(False, 14), (True, 15)])
def test_gather_takes_labels_of_a_key_alone_only_where_a_setting_says_so(settings, wanted, expected):
    settings.TRAIN_ON_API_LABELS = wanted
    label_tickets(7, categories=("billing", "shipping"))
    by_api = factories.make_ticket("by api", split="train", group=0)
    Label.objects.create(ticket=by_api, category=Category.objects.get(slug="billing"), source="api")

    assert len(gathering.gather().labelled) == expected
    assert settings_that_shape("word_char")["train_on_api_labels"] is wanted


def test_gather_leaves_out_small_empty_and_one_sided_categories_with_a_warning():
    label_tickets(7, categories=("billing", "shipping"))
    label_tickets(6, categories=("general",))
    factories.make_categories(("account", "technical"))
    for number in range(8):
        label(factories.make_ticket(f"Same {number}", split="train", group=1), "technical")
    factories.make_categories(("retired",))
    Category.objects.filter(slug="retired").update(active=False)

    material = gathering.gather()

    account, general, technical = messages(material)
    assert material.categories == ("billing", "shipping")
    assert "'account' needs 7 labelled tickets to enter a training; it has 0" in account
    assert "it has 6" in general
    assert "validation has none" in technical
    assert {finding.level for finding in material.left_out} == {"warning"}


def test_the_order_of_tickets_is_that_of_the_frozen_dataset():
    from mlops.evaluation import frozen_tickets

    label_tickets(14, categories=("billing", "shipping"))
    material = gathering.gather()

    dataset = gathering.freeze(material)

    assert frozen_tickets(dataset, ("train", "validation")) == material.of("train", "validation")
    assert dataset.counts["test"] == {"billing": 2, "shipping": 2}


def test_freeze_gives_the_same_row_until_something_changes():
    label_tickets(14, categories=("billing", "shipping"))
    first = gathering.freeze(gathering.gather())

    again = gathering.freeze(gathering.gather())
    moved = Ticket.objects.filter(split="test").first()
    Ticket.objects.filter(pk=moved.pk).update(split="train")
    after_a_move = gathering.freeze(gathering.gather())

    assert again == first
    assert after_a_move != first
    assert after_a_move.fingerprint == first.fingerprint


def test_a_frozen_dataset_cannot_be_changed_or_removed():
    label_tickets(7, categories=("billing", "shipping"))
    dataset = gathering.freeze(gathering.gather())

    with pytest.raises(Frozen):
        dataset.save()
    with pytest.raises(Frozen):
        dataset.delete()
    assert Dataset.objects.count() == 1


def test_validate_reports_refusals_findings_and_what_was_left_out():
    label_tickets(7, categories=("billing", "shipping"))
    label_tickets(3, categories=("general",))
    ticket = Ticket.objects.filter(split="train", labels__category__slug="billing").first()
    label(factories.make_ticket(ticket.text, split="train", group=0), "shipping")
    refusal = gathering.Finding("error", "unknown_label", "Line 3: no such category.", (3,), 1)

    report = gathering.validate(gathering.gather(), refusals=(refusal,))

    assert not report.ok
    assert [(finding.level, finding.code) for finding in report.findings] == [
        ("error", "unknown_label"),
        ("error", "conflict"),
        ("warning", "category_left_out"),
    ]
    assert report.fingerprint == gathering.gather().fingerprint
