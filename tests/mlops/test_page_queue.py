"""The label queue as plain forms: a choice, a skip, an undo, and what two people at once are told."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from classifier.labelling import set_label
from classifier.models import Category, Label, Prediction, Ticket
from classifier.wording import local
from mlops.dashboards.answers import KEYS
from mlops.views import sitting
from tests.factories import make_categories, make_ticket, make_user, make_version
from tests.mlops.paging import make_answer

pytestmark = pytest.mark.django_db
PARCEL = "Where is my parcel {}? It should have been here a week ago already."


@pytest.fixture
def production(db: None) -> Any:
    return make_version(status="production", number=7)


def asked(version: Any, text: str, *, confidence: float, slug: str = "billing", is_review: bool = True) -> Ticket:
    ticket = make_ticket(text)
    make_answer(version, slug, at=timezone.now(), ticket=ticket, confidence=confidence, is_review=is_review)
    return ticket


def send(client: Client, ticket: Ticket | None = None, *, to: str = "/queue", **fields: Any) -> Any:
    """Sends a form and follows to the page it leads to."""
    more = {"ticket": ticket.pk} if ticket else {}
    return client.post(to, {**more, **fields}, follow=True)


def said(page: Any) -> list[str]:
    return [str(message) for message in page.context["messages"]]


def in_words(page: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


# --- What is shown --------------------------------------------------------------------------------
def test_empty_database_says_when_tickets_will_come(at):
    page = at.get("/queue")

    assert page.status_code == 200
    assert "Nothing waits" in page.text
    assert "No model answers yet" in page.text


def test_queue_without_tickets_says_how_they_come(at, production):
    assert "POST /api/predict" in at.get("/queue").text


def test_ticket_is_shown_with_its_guess_and_why_it_is_here(at, production):
    asked(production, "sure of this", confidence=0.9, is_review=False)
    ticket = asked(production, "What is <this>?", confidence=0.314)

    page = at.get("/queue")

    assert page.context["ticket"] == ticket
    assert "What is &lt;this&gt;?" in page.text
    words = in_words(page)
    assert "2 tickets wait . None labelled by you today yet." in words
    assert "Version 7 says Billing , 31.4 % sure. It is for review: it is not sure enough of this category" in words


def test_first_nine_categories_have_numbers_and_no_letter_means_two_things(at, production):
    make_categories([f"trade_{number:02}" for number in range(40)])
    asked(production, "a ticket", confidence=0.3)

    choices = at.get("/queue").context["choices"]

    keys = [choice.key for choice in choices if choice.key]
    assert [choice.key for choice in choices[:10]] == [*"123456789", "a"]
    assert len(set(keys)) == len(keys) == len(KEYS) == 33
    assert not {"s", "u"} & set(keys)
    assert [choice.slug for choice in choices if choice.is_guess] == ["billing"]


@pytest.mark.parametrize(
    "query",
    [
        "reason=%00",
        "category=nowhere",
        "version=" + "9" * 40,
        "ticket=x",
        "ticket=" + "9" * 18,
        "reason=tired&category=%00&version=-1",
    ],
)
def test_odd_query_is_no_failure(at, production, query):
    asked(production, "a ticket", confidence=0.3)

    assert at.get(f"/queue?{query}").status_code == 200


def test_unknown_reason_is_told_and_all_is_shown(at, production):
    asked(production, "a ticket", confidence=0.3)

    page = at.get("/queue?reason=tired")

    assert "The reason must be one of below_threshold, ambiguous" in page.text
    assert page.context["n_waiting"] == 1


def test_filter_stays_from_choice_to_choice(at, production):
    asked(production, "shipping?", confidence=0.2, slug="shipping")
    first = asked(production, "billing one", confidence=0.3)
    second = asked(production, "and another thing", confidence=0.4)

    page = at.get("/queue?category=billing")
    assert page.context["ticket"] == first
    page = send(at, first, to=page.context["address"], category="billing")

    assert page.context["ticket"] == second
    assert page.redirect_chain == [("/queue?category=billing", 302)]


def test_filter_that_leaves_nothing_says_so(at, production):
    asked(production, "a ticket", confidence=0.3)

    page = at.get("/queue?category=shipping")

    assert "Nothing waits with these filters" in page.text
    assert "Show all that waits" in page.text


# --- A choice -------------------------------------------------------------------------------------
def test_choice_is_a_label_by_a_reviewer_and_leads_to_the_next_ticket(at, boss, production):
    ticket, following = asked(production, "one", confidence=0.3), asked(production, "two", confidence=0.4)

    page = send(at, ticket, category="shipping")

    assert said(page) == ["Labelled Shipping; undo with U."]
    assert page.context["ticket"] == following
    assert page.context["today"] == "You labelled 1 ticket today."
    assert Label.objects.values_list("ticket", "category__slug", "source", "by").get() == (
        ticket.pk,
        "shipping",
        "reviewer",
        boss.pk,
    )


@pytest.mark.parametrize(("tick", "n"), [({"fold": "1"}, 3), ({}, 1)])
def test_fold_is_labelled_with_its_ticket_if_the_tick_stays(at, production, tick, n):
    first, *alike = (asked(production, PARCEL.format(number), confidence=0.3) for number in (111, 222, 333))
    page = at.get("/queue")
    assert [ticket.pk for ticket in page.context["alike"]] == [ticket.pk for ticket in alike]
    assert "Label the 2 alike, too" in page.text

    page = send(at, first, category="shipping", alike=[ticket.pk for ticket in alike], **tick)

    assert Label.objects.current().count() == n
    assert said(page) == [f"Labelled {'3 tickets as Shipping' if n > 1 else 'Shipping'}; undo with U."]
    page = send(at, undo="1")
    assert not Label.objects.current().exists()
    assert page.context["ticket"] == first


def test_ticket_that_somebody_labelled_meanwhile_is_not_overwritten(at, production):
    ticket, ben = asked(production, "one", confidence=0.3), make_user("ben")
    set_label(ticket, Category.objects.get(slug="general"), source="agent", by=ben, now=timezone.now())

    page = send(at, ticket, category="shipping")

    assert page.status_code == 409
    assert "ben labelled it General just now; you chose Shipping . Nothing was changed." in in_words(page)
    assert Label.objects.get().category.slug == "general"
    page = send(at, ticket, category="shipping", replace="1")
    assert said(page) == ["Labelled Shipping; undo with U."]
    send(at, undo="1")
    assert Label.objects.current().get().category.slug == "general"


def test_same_choice_as_somebody_elses_confirms_it(at, production):
    ticket, ben = asked(production, "one", confidence=0.3), make_user("ben")
    set_label(ticket, Category.objects.get(slug="shipping"), source="reviewer", by=ben, now=timezone.now())

    page = send(at, ticket, category="shipping")

    assert said(page) == [f"Ticket {ticket.pk} had the label Shipping already."]
    assert Label.objects.get().by == ben


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ticket": "x", "category": "billing"}, "There is no such ticket any more"),
        ({"ticket": "9" * 18, "category": "billing"}, "There is no such ticket any more"),
        ({"category": "nowhere"}, "That is no category"),
        ({"category": "\0"}, "That is no category"),
        ({}, "That is no category"),
        ({"category": "billing", "alike": ["x", "9" * 18], "fold": "1"}, "Labelled Billing"),
    ],
)
def test_odd_form_is_told_in_words(at, production, fields, told):
    ticket = asked(production, "one", confidence=0.3)

    page = at.post("/queue", {"ticket": ticket.pk, **fields}, follow=True)

    assert page.status_code == 200
    assert said(page)[0].startswith(told)


def test_retired_category_is_told(at, production):
    ticket = asked(production, "one", confidence=0.3)
    Category.objects.filter(slug="billing").update(active=False)

    page = send(at, ticket, category="billing")

    assert "'billing' is retired" in said(page)[0]
    assert not Label.objects.exists()


# --- Skip and undo --------------------------------------------------------------------------------
def test_skipped_ticket_comes_back_after_the_rest(at, production):
    first, second = asked(production, "one", confidence=0.3), asked(production, "two", confidence=0.4)

    page = send(at, first, skip="1")
    assert page.context["ticket"] == second
    page = send(at, second, category="billing")

    assert page.context["ticket"] == first
    assert "These are the tickets that you skipped" in page.text


def test_skip_is_forgotten_after_a_day(at, production):
    first = asked(production, "one", confidence=0.3)
    asked(production, "two", confidence=0.4)
    send(at, first, skip="1")
    session = at.session
    remembered = sitting.read(session, now=timezone.now())
    remembered.skipped = {pk: (timezone.now() - timedelta(hours=25)).timestamp() for pk in remembered.skipped}
    remembered.save(session)
    session.save()

    assert at.get("/queue").context["ticket"] == first


def test_several_choices_are_undone_one_by_one(at, production):
    tickets = [asked(production, text, confidence=place / 10) for place, text in enumerate(("one", "two", "three"), 1)]
    for ticket in tickets:
        send(at, ticket, category="billing")

    for ticket in reversed(tickets):
        page = send(at, undo="1")
        assert page.context["ticket"] == ticket
        assert said(page) == ["Took Billing back for 1 ticket."]

    assert said(send(at, undo="1")) == ["There is nothing to undo."]
    assert not Label.objects.current().exists()
    assert Label.objects.count() == 3


def test_undo_leaves_what_somebody_corrected(at, production):
    ticket = asked(production, "one", confidence=0.3)
    send(at, ticket, category="billing")
    set_label(ticket, Category.objects.get(slug="general"), source="reviewer", by=make_user("ben"), now=timezone.now())

    page = send(at, undo="1")

    assert said(page) == ["1 label of Billing had been corrected by somebody and stay corrected."]
    assert Label.objects.current().get().category.slug == "general"


def test_nobody_undoes_for_another_person(at, production):
    ticket = asked(production, "one", confidence=0.3)
    send(at, ticket, category="billing")
    Label.objects.update(by=make_user("ben"))

    send(at, undo="1")

    assert Label.objects.current().exists()


def test_memory_of_a_session_is_bounded():
    remembered, now = sitting.Sitting(), timezone.now()

    for number in range(2 * sitting.MOST_SKIPPED):
        remembered.skip([number], now=now)
        remembered.do(sitting.Step([number], number, "Billing"))

    assert list(remembered.skipped) == list(range(sitting.MOST_SKIPPED, 2 * sitting.MOST_SKIPPED))
    assert len(remembered.done) == sitting.MOST_STEPS


def test_today_counts_since_midnight_where_people_are(at, boss, production, settings):
    settings.DISPLAY_TIME_ZONE = "Pacific/Auckland"
    midnight = local(timezone.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    for moment in (midnight - timedelta(minutes=1), midnight):
        Label.objects.create(
            ticket=make_ticket(),
            category=Category.objects.first(),
            source="reviewer",
            by=boss,
            created_at=moment,
        )

    assert at.get("/queue").context["n_today"] == 1


# --- Who and what it costs ------------------------------------------------------------------------
def test_page_wants_a_person_who_may_label(client):
    assert client.get("/queue").status_code == 302

    client.force_login(make_user("eve"))

    assert client.get("/queue").status_code == client.post("/queue", {"undo": "1"}).status_code == 403


def test_cost_does_not_grow_with_the_rows(at, production, django_assert_max_num_queries):
    for number in range(30):
        asked(production, f"{number} things {number * 7} are {number * 13} wrong", confidence=number / 40)
    Prediction.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    at.get("/queue")

    with django_assert_max_num_queries(12):
        at.get("/queue")
    with django_assert_max_num_queries(14):  # two look the filters up
        at.get("/queue?category=billing&version=7")
