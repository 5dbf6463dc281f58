"""Which tickets wait, in which order and folded how; what a choice writes, and what taking it back restores."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from classifier.labelling import AlreadyLabelled, set_label
from classifier.lining_up import SETTLED, catch_up
from classifier.models import Category, Claim, Label, LinedUp, Prediction, Ticket, User, Waiting
from classifier.reviewing import LabelEnded, choose, take_back
from classifier.waiting import CLAIM_LASTS, MOST_ALIKE, Fold, Reader, Wanted, first_of, folded, look, waiting
from tests.factories import make_categories, make_ticket, make_user, make_version
from tests.mlops.paging import make_answer

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
PARCEL = "Where is my parcel {}? It should have been here a week ago already."
# Two near-duplicates of BRIDGE that are none of each other.
LEFT = "my parcel number has not arrived yet and I would like to know where it is now please ok thanks"
BRIDGE = "my parcel number has not arrived yet and I would like to know where it is now"
RIGHT = "hello dear people my parcel number has not arrived yet and I would like to know where it is now"


@pytest.fixture
def production(db: None) -> Any:
    return make_version(status="production")


@pytest.fixture
def categories(production: Any) -> dict[str, Category]:
    return {category.slug: category for category in Category.objects.all()}


def asked(
    version: Any, text: str, *, confidence: float = 0.5, slug: str = "billing", is_review: bool = True, **more: Any
) -> Ticket:
    ticket = make_ticket(text, **more)
    make_answer(version, slug, at=NOW, ticket=ticket, confidence=confidence, is_review=is_review)
    return ticket


def in_order(wanted: Wanted | None = None) -> list[str]:
    """The texts of the tickets that wait, in their order."""
    catch_up(NOW)
    pairs = first_of(waiting(wanted or Wanted()), limit=100)
    return [Ticket.objects.get(pk=ticket).text for ticket, _ in pairs]


def fold_for(by: User, *, skipped: list[int] | None = None, now: datetime = NOW, **more: Any) -> Fold:
    found = look(Wanted(), Reader(by=by, skipped=skipped or []), now=now, **more).fold
    assert found is not None
    return found


# --- Who waits ------------------------------------------------------------------------------------
def test_review_comes_first_then_the_least_certain(production: Any) -> None:
    asked(production, "auto, sure", confidence=0.99, is_review=False)
    asked(production, "auto, less sure", confidence=0.8, is_review=False)
    asked(production, "review, sure", confidence=0.9)
    asked(production, "review, least sure", confidence=0.3)

    assert in_order() == ["review, least sure", "review, sure", "auto, less sure", "auto, sure"]


def test_labelled_demo_textless_and_never_asked_tickets_do_not_wait(categories: dict[str, Category]) -> None:
    version = make_version()
    set_label(asked(version, "labelled"), categories["billing"], source="agent", now=NOW)
    demo = make_ticket("demo", is_demo=True)
    make_answer(version, "billing", at=NOW, ticket=demo, is_demo=True)
    asked(version, "removed", text_removed_at=NOW)
    make_ticket("never asked")
    asked(version, "waits")

    assert in_order() == ["waits"]


def test_newest_answer_of_a_ticket_counts(production: Any) -> None:
    ticket = make_ticket()
    make_answer(make_version(), "billing", at=NOW, ticket=ticket)
    make_answer(production, "shipping", at=NOW, ticket=ticket)
    catch_up(NOW)
    assert Waiting.objects.get().category.slug == "shipping"

    make_answer(production, "general", at=NOW, ticket=ticket)
    catch_up(NOW)

    assert Waiting.objects.get().category.slug == "general"


def test_catching_up_goes_on_where_it_stopped(production: Any, django_assert_num_queries: Any) -> None:
    for text in ("one", "two"):
        asked(production, text)
    catch_up(NOW)
    assert not LinedUp.objects.exists()  # another answer with a lower id may not be seen yet
    catch_up(NOW + SETTLED * 2)
    assert LinedUp.objects.get().until == Prediction.objects.latest("pk").pk

    with django_assert_num_queries(1):
        catch_up(NOW + SETTLED * 3)


def test_what_was_labelled_elsewhere_is_met_once(production: Any, categories: dict[str, Category]) -> None:
    tickets = [asked(production, text, confidence=0.3) for text in ("one", "two", "three")]
    asked(production, "four", confidence=0.9)
    catch_up(NOW)
    for ticket in tickets:
        set_label(ticket, categories["billing"], source="api", now=NOW)

    assert first_of(waiting(Wanted()), limit=3) == [(row.ticket_id, row.prediction_id) for row in Waiting.objects.all()]
    assert Waiting.objects.count() == 1


def test_filters_narrow_what_waits(production: Any, categories: dict[str, Category]) -> None:
    other = make_version()
    asked(production, "billing", slug="billing")
    asked(production, "sure", slug="general", is_review=False)
    asked(other, "of the other", slug="shipping")

    assert in_order(Wanted(category=categories["billing"])) == ["billing"]
    assert in_order(Wanted(version=other)) == ["of the other"]
    assert set(in_order(Wanted(reason="below_threshold"))) == {"billing", "of the other"}
    assert in_order(Wanted(reason="ambiguous")) == []


def test_what_was_labelled_elsewhere_leaves_no_gap_in_the_count(
    production: Any, categories: dict[str, Category]
) -> None:
    tickets = [asked(production, f"number {number}", confidence=number / 10) for number in range(1, 6)]
    catch_up(NOW)
    set_label(tickets[0], categories["billing"], source="api", now=NOW)

    assert [ticket for ticket, _ in first_of(waiting(Wanted()), limit=3)] == [each.pk for each in tickets[1:4]]


def test_choice_takes_its_tickets_out_of_the_line_and_taking_back_lines_them_up(
    production: Any, categories: dict[str, Category]
) -> None:
    ticket = asked(production, "one")
    catch_up(NOW)

    label = choose(ticket, categories["billing"], by=make_user(), now=NOW).labels[0]
    assert not Waiting.objects.exists()
    take_back(label, now=LATER)

    assert Waiting.objects.get().ticket == ticket


# --- Folding --------------------------------------------------------------------------------------
def test_near_duplicates_and_equal_texts_are_one_fold(production: Any) -> None:
    first = asked(production, PARCEL.format(11111), confidence=0.3)
    near = asked(production, PARCEL.format(22222), confidence=0.5)
    equal = asked(production, PARCEL.format(11111).upper(), confidence=0.4)
    asked(production, "I was charged twice", confidence=0.35)

    fold = fold_for(make_user())

    assert fold.ticket == first
    assert fold.alike == [equal, near]


def test_long_texts_fold_only_with_equal_ones(production: Any) -> None:
    long = "word " * 500
    rows = [asked(production, text) for text in (long + "a", long + "A", long + "b")]

    folds = folded(list(Prediction.objects.select_related("ticket").order_by("pk")))

    assert [[fold.ticket, *fold.alike] for fold in folds] == [rows[:2], rows[2:]]


def test_fold_holds_only_what_is_near_its_first(production: Any) -> None:
    left = asked(production, LEFT, confidence=0.3)
    between = asked(production, BRIDGE, confidence=0.4)
    asked(production, RIGHT, confidence=0.5)

    fold = fold_for(make_user())

    assert (fold.ticket, fold.alike) == (left, [between])


# --- Whose turn -----------------------------------------------------------------------------------
def test_two_people_get_two_tickets(production: Any) -> None:
    first, second = asked(production, "first", confidence=0.3), asked(production, "second", confidence=0.4)
    ada, ben = make_user("ada"), make_user("ben")

    assert fold_for(ada).ticket == first
    assert fold_for(ben).ticket == second
    assert fold_for(ada).ticket == first
    assert Claim.objects.count() == 2


def test_last_ticket_is_given_to_both_and_an_old_claim_holds_nothing(production: Any) -> None:
    first = asked(production, "first", confidence=0.3)
    ada, ben = make_user("ada"), make_user("ben")
    fold_for(ada)

    assert fold_for(ben).ticket == first
    asked(production, "second", confidence=0.4)
    assert fold_for(ben, now=NOW + CLAIM_LASTS).ticket == first


def test_near_duplicate_of_what_another_looks_at_is_left_to_them(production: Any) -> None:
    asked(production, PARCEL.format(11111), confidence=0.3)
    asked(production, PARCEL.format(22222), confidence=0.35)
    other = asked(production, "I was charged twice", confidence=0.4)
    fold_for(make_user("ada"))

    assert fold_for(make_user("ben")).ticket == other


def test_skipped_ones_come_back_after_the_rest_in_the_order_of_their_skip(production: Any) -> None:
    first, second = asked(production, "first", confidence=0.3), asked(production, "second", confidence=0.4)
    ada = make_user()

    assert fold_for(ada, skipped=[first.pk]).ticket == second
    found = look(Wanted(), Reader(by=ada, skipped=[second.pk, first.pk]), now=NOW)
    assert found.fold is not None
    assert (found.fold.ticket, found.is_again, found.n_waiting) == (second, True, 2)


def test_ticket_asked_for_comes_first_if_it_waits(production: Any, categories: dict[str, Category]) -> None:
    first, second = asked(production, "first", confidence=0.3), asked(production, "second", confidence=0.4)
    ada = make_user()

    assert fold_for(ada, ticket_id=second.pk).ticket == second
    set_label(second, categories["billing"], source="agent", now=NOW)
    assert fold_for(ada, ticket_id=second.pk).ticket == first


def test_nothing_waits(production: Any) -> None:
    found = look(Wanted(), Reader(by=make_user()), now=NOW)

    assert (found.fold, found.n_waiting) == (None, 0)
    assert not Claim.objects.exists()


# --- A choice -------------------------------------------------------------------------------------
def test_choice_labels_ticket_and_fold_each_on_its_own(categories: dict[str, Category]) -> None:
    ticket, near, other = (make_ticket(text) for text in (PARCEL.format(1), PARCEL.format(2), "something else"))
    ada = make_user()

    choice = choose(ticket, categories["shipping"], alike=[near.pk, other.pk], by=ada, now=NOW)

    assert [label.ticket_id for label in choice.labels] == [ticket.pk, near.pk]
    assert choice.n_left == 0
    assert set(Label.objects.values_list("category__slug", "source", "by")) == {("shipping", "reviewer", ada.pk)}
    assert not other.labels.exists()  # it says something else, whatever a form may send


def test_choice_leaves_what_of_the_fold_was_labelled_meanwhile(categories: dict[str, Category]) -> None:
    ticket, near = make_ticket(PARCEL.format(1)), make_ticket(PARCEL.format(2))
    set_label(near, categories["general"], source="agent", now=NOW)

    choice = choose(ticket, categories["shipping"], alike=[near.pk], by=make_user(), now=NOW)

    assert (len(choice.labels), choice.n_left) == (1, 1)
    assert near.labels.get().category.slug == "general"


def test_choice_of_a_ticket_that_was_labelled_meanwhile_changes_nothing(categories: dict[str, Category]) -> None:
    ticket, near, ben = make_ticket(PARCEL.format(1)), make_ticket(PARCEL.format(2)), make_user("ben")
    set_label(ticket, categories["general"], source="agent", by=ben, now=NOW)

    with pytest.raises(AlreadyLabelled, match="has the label 'general' by now") as caught:
        choose(ticket, categories["shipping"], alike=[near.pk], by=make_user(), now=NOW)

    assert caught.value.label.by == ben
    assert Label.objects.count() == 1
    corrected = choose(ticket, categories["shipping"], by=make_user("eve"), now=NOW, is_first=False)
    assert corrected.labels == list(Label.objects.current())


def test_choice_looks_at_no_more_tickets_than_a_fold_has(categories: dict[str, Category]) -> None:
    tickets = [make_ticket(PARCEL.format(number)) for number in range(MOST_ALIKE + 3)]

    choice = choose(
        tickets[0], categories["shipping"], alike=[each.pk for each in tickets[1:]], by=make_user(), now=NOW
    )

    assert len(choice.labels) == MOST_ALIKE + 1


# --- Taking it back -------------------------------------------------------------------------------
def test_take_back_ends_the_label_and_keeps_the_place(categories: dict[str, Category]) -> None:
    ticket = make_ticket()
    label = choose(ticket, categories["billing"], by=make_user(), now=NOW).labels[0]
    ticket.refresh_from_db()
    place = (ticket.split, ticket.group)

    restored = take_back(label, now=LATER)

    ticket.refresh_from_db()
    assert restored is None
    assert (Label.objects.get().ended_at, (ticket.split, ticket.group)) == (LATER, place)
    assert not Ticket.objects.labelled().exists()
    assert ticket.split is not None


@pytest.mark.parametrize("source", ["api", "import", "agent", "reviewer"])
def test_take_back_restores_what_was_replaced_with_the_rank_it_had(
    categories: dict[str, Category], source: str
) -> None:
    ticket, ben = make_ticket(), make_user("ben")
    set_label(ticket, categories["general"], source=source, by=ben, now=NOW)
    label = choose(ticket, categories["billing"], by=make_user(), now=NOW, is_first=False).labels[0]

    restored = take_back(label, now=LATER)

    assert restored == Label.objects.current().get()
    assert (restored.category.slug, restored.source, restored.by, restored.created_at) == (
        "general",
        source,
        ben,
        LATER,
    )
    assert Label.objects.count() == 3
    assert Label.objects.for_training().exists() == (source != "api")


def test_take_back_twice_does_not_bring_back_what_was_taken_back(categories: dict[str, Category]) -> None:
    ticket, ada = make_ticket(), make_user()
    first = choose(ticket, categories["billing"], by=ada, now=NOW).labels[0]
    take_back(first, now=NOW + timedelta(minutes=1))
    second = choose(ticket, categories["general"], by=ada, now=NOW + timedelta(minutes=2)).labels[0]

    assert take_back(second, now=LATER) is None
    assert not Label.objects.current().exists()


def test_take_back_leaves_a_later_correction(categories: dict[str, Category]) -> None:
    ticket = make_ticket()
    label = choose(ticket, categories["billing"], by=make_user(), now=NOW).labels[0]
    set_label(ticket, categories["general"], source="reviewer", now=NOW)

    with pytest.raises(LabelEnded, match="was corrected since"):
        take_back(label, now=LATER)

    assert Label.objects.current().get().category.slug == "general"


def test_take_back_under_a_clock_that_was_set_back_ends_where_it_began(categories: dict[str, Category]) -> None:
    label = choose(make_ticket(), categories["billing"], by=make_user(), now=LATER).labels[0]

    take_back(label, now=NOW)

    assert Label.objects.get().ended_at == LATER


def test_labelling_anew_after_taking_back_gives_one_current_label(categories: dict[str, Category]) -> None:
    ticket, ada = make_ticket(), make_user()
    take_back(choose(ticket, categories["billing"], by=ada, now=NOW).labels[0], now=LATER)

    choose(ticket, categories["general"], by=ada, now=LATER)

    assert Label.objects.current().get().category.slug == "general"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_many_at_once_take_back_and_correct_and_one_current_label_is_left_at_most() -> None:
    general, billing = make_categories(("general", "billing"))
    ticket = make_ticket()
    label = choose(ticket, billing, by=make_user(), now=NOW).labels[0]
    gate, errors = threading.Barrier(6), []

    def run(number: int) -> None:
        try:
            gate.wait()
            if number % 2:
                set_label(Ticket.objects.get(pk=ticket.pk), general, source="reviewer", now=NOW)
            else:
                take_back(Label.objects.get(pk=label.pk), now=NOW)
        except LabelEnded:
            pass
        except Exception as error:  # noqa: BLE001 -- a thread's error must reach the test
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert Label.objects.current().get().category == general
    assert Label.objects.count() == 2
