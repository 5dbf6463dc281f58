"""One label at a time: which source outranks which, and where a newly labelled ticket stands."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections

from classifier.labelling import CategoryRetired, LabelOutranked, set_label
from classifier.ml.split import SPLITS
from classifier.models import Category, Label, Split, Ticket, TicketBand
from classifier.placing import PER_BAND
from tests.factories import make_categories, make_ticket, make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
# Two near-duplicates of BRIDGE (similarity 0.81 and 0.80) that are none of each other (0.68).
LEFT = "my parcel number has not arrived yet and I would like to know where it is now please ok thanks"
BRIDGE = "my parcel number has not arrived yet and I would like to know where it is now"
RIGHT = "hello dear people my parcel number has not arrived yet and I would like to know where it is now"


@pytest.fixture
def categories(db: None) -> dict[str, Category]:
    return {category.slug: category for category in make_categories()}


def label(ticket: Ticket, category: Category, source: str = "agent", *, now: datetime = NOW, **more: Any) -> Label:
    return set_label(ticket, category, source=source, now=now, **more).label


def place(text: str, *, split: str, category: Category) -> Ticket:
    """A ticket that is labelled and then, for the test, stands in a split of our choice."""
    ticket = make_ticket(text)
    label(ticket, category)
    Ticket.objects.filter(pk=ticket.pk).update(split=split)
    return ticket


# --- The label ------------------------------------------------------------------------------------
def test_set_label_gives_the_ticket_its_current_label(categories: dict[str, Category]) -> None:
    ticket, ada = make_ticket(), make_user()

    made = label(ticket, categories["shipping"], by=ada)

    assert list(Label.objects.values_list("ticket", "category__slug", "source", "by", "created_at", "ended_at")) == [
        (ticket.pk, "shipping", "agent", ada.pk, NOW, None)
    ]
    assert made == Label.objects.get()


def test_set_label_again_changes_nothing(categories: dict[str, Category]) -> None:
    ticket = make_ticket()
    first = label(ticket, categories["shipping"])

    again = label(ticket, categories["shipping"], now=LATER)
    weaker = label(ticket, categories["shipping"], "import", now=LATER)

    assert first == again == weaker
    assert Label.objects.count() == 1


def test_set_label_of_another_category_ends_the_old_label(categories: dict[str, Category]) -> None:
    ticket = make_ticket()
    old = label(ticket, categories["shipping"])

    new = label(ticket, categories["billing"], now=LATER)

    old.refresh_from_db()
    assert (old.ended_at, new.ended_at) == (LATER, None)
    assert list(Label.objects.current()) == [new]


def test_set_label_before_the_old_one_began_ends_that_where_it_began(categories: dict[str, Category]) -> None:
    ticket = make_ticket()
    old = label(ticket, categories["shipping"], now=LATER)

    label(ticket, categories["billing"], now=NOW)

    old.refresh_from_db()
    assert old.ended_at == LATER


@pytest.mark.parametrize(
    ("standing", "coming", "wins"),
    [
        ("reviewer", "agent", False),
        ("agent", "import", False),
        ("import", "api", False),
        ("reviewer", "reviewer", True),
        ("agent", "reviewer", True),
        ("import", "agent", True),
        ("api", "import", True),
    ],
)
def test_set_label_replaces_what_does_not_outrank_it(
    categories: dict[str, Category], standing: str, coming: str, wins: bool
) -> None:
    ticket = make_ticket()
    label(ticket, categories["shipping"], standing)

    if wins:
        label(ticket, categories["billing"], coming)
    else:
        with pytest.raises(LabelOutranked, match=f"labelled 'shipping' by {standing}, which outranks {coming}"):
            label(ticket, categories["billing"], coming)

    assert Label.objects.current().get().category.slug == ("billing" if wins else "shipping")


def test_set_label_of_the_same_category_by_a_better_source_confirms_it(categories: dict[str, Category]) -> None:
    ticket = make_ticket()
    label(ticket, categories["shipping"], "api")
    assert not Label.objects.for_training().exists()

    label(ticket, categories["shipping"], "reviewer", now=LATER)

    assert Label.objects.for_training().get().source == "reviewer"
    assert Label.objects.count() == 2


def test_set_label_of_a_retired_category_is_refused(categories: dict[str, Category]) -> None:
    categories["billing"].active = False

    with pytest.raises(CategoryRetired, match="'billing' is retired"):
        label(make_ticket(), categories["billing"])

    assert not Label.objects.exists()


def test_set_label_tries_again_when_another_was_faster(categories: dict[str, Category]) -> None:
    ticket, met = make_ticket(), []

    def rival(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('INSERT INTO "classifier_label"') and not met:
            met.append(sql)
            raise IntegrityError("label_one_current_per_ticket")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(rival):
        made = label(ticket, categories["shipping"])

    assert len(met) == 1
    assert list(Label.objects.current()) == [made]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_set_label_by_many_at_once_leaves_one_current_label() -> None:
    categories = make_categories()
    ticket = make_ticket()
    gate, errors = threading.Barrier(5), []

    def run(category: Category) -> None:
        try:
            gate.wait()
            label(Ticket.objects.get(pk=ticket.pk), category)
        except Exception as error:  # noqa: BLE001 -- a thread's error must reach the test
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[category]) for category in categories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert Label.objects.current().count() == 1
    assert TicketBand.objects.count() == 16


# --- The place ------------------------------------------------------------------------------------
def test_first_label_gives_group_split_and_bands(categories: dict[str, Category]) -> None:
    ticket = make_ticket()

    label(ticket, categories["shipping"])

    assert (ticket.group, ticket.split) == (ticket.pk, "train")  # a category's first ticket: train is furthest below
    assert TicketBand.objects.filter(ticket=ticket).count() == 16


def test_correction_moves_no_ticket(categories: dict[str, Category]) -> None:
    ticket = make_ticket()
    label(ticket, categories["shipping"])

    label(ticket, categories["billing"], now=LATER)

    place_before = (ticket.group, ticket.split)
    ticket.refresh_from_db()
    assert (ticket.group, ticket.split) == place_before
    assert TicketBand.objects.count() == 16


def test_seven_tickets_of_a_category_reach_every_split(categories: dict[str, Category]) -> None:
    texts = ["no signal", "cannot sign in", "where is it", "double charge", "opening hours", "broken lid", "thanks all"]

    for text in texts:
        label(make_ticket(text), categories["general"])

    assert {Ticket.objects.filter(split=split).count() for split in SPLITS} == {5, 1}


def test_near_duplicate_joins_group_and_split(categories: dict[str, Category]) -> None:
    first = place("Where is my parcel 12345?", split="test", category=categories["shipping"])
    second = make_ticket("where is my  parcel 99817?")

    label(second, categories["billing"])

    assert (second.group, second.split) == (first.pk, "test")


def test_unlabelled_near_duplicates_are_not_neighbours(categories: dict[str, Category]) -> None:
    make_ticket("Where is my parcel 12345?")
    second = make_ticket("where is my parcel 99817?")

    label(second, categories["shipping"])

    assert second.group == second.pk


def test_ticket_between_two_splits_is_excluded_and_draws_nobody(categories: dict[str, Category]) -> None:
    left = place(LEFT, split="train", category=categories["shipping"])
    right = place(RIGHT, split="test", category=categories["shipping"])
    assert left.group != right.group
    between, alike = make_ticket(BRIDGE), make_ticket(BRIDGE.upper())

    label(between, categories["shipping"])
    label(alike, categories["shipping"])

    assert (between.split, between.group) == (Split.EXCLUDED, between.pk)
    assert (alike.split, alike.group) == (Split.EXCLUDED, alike.pk)
    assert not TicketBand.objects.filter(ticket__in=[between, alike]).exists()


def test_ticket_between_two_groups_of_one_split_joins_the_older(categories: dict[str, Category]) -> None:
    left = place(LEFT, split="train", category=categories["shipping"])
    place(RIGHT, split="train", category=categories["shipping"])
    between = make_ticket(BRIDGE)

    label(between, categories["shipping"])

    assert (between.split, between.group) == ("train", left.pk)


def test_demo_ticket_stands_in_no_split(categories: dict[str, Category]) -> None:
    demo = make_ticket(is_demo=True)

    label(demo, categories["shipping"])

    assert (demo.group, demo.split) == (demo.pk, Split.EXCLUDED)
    assert not TicketBand.objects.exists()


def test_ticket_that_another_placed_meanwhile_is_not_placed_again(categories: dict[str, Category]) -> None:
    ticket = make_ticket()
    waited = []

    def rival(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('SELECT "classifier_category"."id"') and not waited:  # this is how a turn is waited for
            waited.append(sql)
            Ticket.objects.filter(pk=ticket.pk).update(split="test", group=ticket.pk)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(rival):
        label(ticket, categories["shipping"])

    assert len(waited) == 1
    assert (ticket.group, ticket.split) == (ticket.pk, "test")
    assert not TicketBand.objects.exists()


def test_bands_of_a_large_group_are_kept_for_a_few(categories: dict[str, Category]) -> None:
    for number in range(PER_BAND + 5):
        label(make_ticket(f"Where is my parcel {number:05}?"), categories["shipping"])

    assert Ticket.objects.values("group").distinct().count() == 1
    assert TicketBand.objects.count() == 16 * PER_BAND
