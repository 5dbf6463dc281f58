"""The rules of data, broken one by one: the database refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from classifier.models import ApiKey, Label, Prediction, Ticket
from classifier.models.access import check_scopes
from tests import factories

pytestmark = pytest.mark.django_db


def refused(name, action):
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        action()
    return name in str(caught.value)


def test_one_version_in_production():
    factories.make_version(status="production")

    with pytest.raises(IntegrityError):
        factories.make_version(status="production")


def test_a_demo_version_is_never_in_production():
    assert refused(
        "model_version_demo_never_in_production",
        lambda: factories.make_version(status="production", is_demo=True),
    )


def test_split_and_group_come_together():
    assert refused("ticket_split_and_group_together", lambda: factories.make_ticket(split="train"))


def test_a_ticket_has_a_text():
    assert refused("ticket_text_not_empty", lambda: factories.make_ticket(text=""))


def test_one_current_label_per_ticket():
    ticket, category = factories.make_ticket(), factories.make_categories(["billing"])[0]
    Label.objects.create(ticket=ticket, category=category, source="import")

    with pytest.raises(IntegrityError):
        Label.objects.create(ticket=ticket, category=category, source="agent")


def test_an_ended_label_makes_room():
    ticket, category = factories.make_ticket(), factories.make_categories(["billing"])[0]
    first = Label.objects.create(ticket=ticket, category=category, source="import")
    first.ended_at = first.created_at + timedelta(seconds=1)
    first.save(update_fields=["ended_at"])

    Label.objects.create(ticket=ticket, category=category, source="agent")

    assert Label.objects.current().count() == 1


def test_a_label_ends_after_it_began():
    ticket, category = factories.make_ticket(), factories.make_categories(["billing"])[0]

    assert refused(
        "label_ends_after_it_began",
        lambda: Label.objects.create(
            ticket=ticket, category=category, source="import", ended_at=datetime(2020, 1, 1, tzinfo=UTC)
        ),
    )


def test_only_labels_that_a_person_stands_behind_train():
    billing, shipping = factories.make_categories(["billing", "shipping"])
    shipping.active = False
    shipping.save()
    for number, (category, source, is_demo) in enumerate(
        [(billing, "import", False), (billing, "api", False), (billing, "agent", True), (shipping, "reviewer", False)]
    ):
        ticket = factories.make_ticket(text=f"text {number}", is_demo=is_demo)
        Label.objects.create(ticket=ticket, category=category, source=source)

    assert [label.ticket.text for label in Label.objects.for_training()] == ["text 0"]


def test_a_confidence_is_a_probability():
    version, ticket = factories.make_version(), factories.make_ticket()
    category = factories.make_categories(["billing"])[0]

    assert refused(
        "prediction_confidence_is_a_probability",
        lambda: Prediction.objects.create(
            ticket=ticket, version=version, category=category, confidence=1.5, n_words=1, unknown_share=0
        ),
    )


def test_a_text_is_found_again_however_it_is_typed():
    ticket = factories.make_ticket(text="Where is  my PARCEL?")

    assert Ticket.objects.with_digest_of(" where is my parcel?").get() == ticket


def test_labelled_tickets_have_a_current_label():
    ticket, other = factories.make_ticket(), factories.make_ticket(text="other")
    Label.objects.create(ticket=ticket, category=factories.make_categories(["billing"])[0], source="import")

    assert list(Ticket.objects.labelled()) == [ticket]
    assert other not in Ticket.objects.labelled()


@pytest.mark.parametrize("scopes", [[], ["everything"], "predict", None, [["predict"]]])
def test_unknown_scopes_are_refused(scopes):
    with pytest.raises(ValidationError, match="predict"):
        check_scopes(scopes)


def test_a_key_is_kept_hashed():
    row, key = factories.make_key()

    assert key.partition(".")[2] not in "".join(
        str(value) for value in ApiKey.objects.filter(pk=row.pk).values()[0].values()
    )


def test_a_key_is_touched_at_most_once_a_minute():
    row, _ = factories.make_key()
    start = datetime(2026, 1, 1, tzinfo=UTC)

    for seconds in (0, 59, 60):
        row.touch(start + timedelta(seconds=seconds))
        row.refresh_from_db()
        assert row.last_used_at == start + timedelta(seconds=0 if seconds < 60 else 60)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: factories.make_ticket(), "Ticket"),
        (lambda: factories.make_key()[0], "test"),
        (lambda: factories.make_version(), "version 1"),
        (lambda: factories.make_version().artifact, ""),
        (lambda: factories.make_categories(["billing"])[0], "billing"),
    ],
)
def test_rows_name_themselves_without_a_text(make, words):
    assert words in str(make())
    assert "parcel" not in str(make())
