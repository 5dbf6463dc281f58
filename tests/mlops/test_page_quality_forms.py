"""What can be done on Model quality: confirm and correct labels, keep answers, promote, roll back, and by whom."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.utils import timezone

from classifier.models import Category, Label, ModelVersion, Ticket, User
from mlops import promotion
from mlops.models import Promotion
from tests.factories import make_ticket, make_user, make_version
from tests.mlops.making import good_fit, label_tickets, make_trained, poor_fit
from tests.mlops.tested import make_tested, make_tested_tickets

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
BACK = "/quality/tickets?version=1&truth=billing&guess=shipping#row-1"


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def allowed(client: Any, *codenames: str) -> User:
    """Someone with these permissions, signed in."""
    user = make_user("eve")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert user.user_permissions.count() == len(codenames)
    client.force_login(user)
    return user


def say(client: Any, ticket: Ticket, category: str, *, back: str = BACK) -> Any:
    return client.post("/quality/label", {"ticket": ticket.pk, "category": category, "back": back})


def current(ticket: Ticket) -> tuple[str, str, User | None]:
    label = Label.objects.current().select_related("category", "by").get(ticket=ticket)
    return label.category.slug, label.source, label.by


def promote(count: int) -> None:
    for _ in range(count):
        promotion.promote(make_version(), reason="Onwards.", force=True)


def in_production() -> int | None:
    return ModelVersion.objects.in_production().values_list("number", flat=True).first()


# --- Labels ---------------------------------------------------------------------------------------
def test_the_label_is_right_confirms_it_as_a_reviewer_and_goes_back(at, boss):
    ticket = make_tested_tickets(["billing"])[0]

    answer = say(at, ticket, "billing")

    assert (answer.status_code, answer.url) == (302, BACK)
    assert said(answer) == [
        f"Ticket {ticket.pk} is Billing, by your word. It is a test ticket: the next version is tested by it."
    ]
    assert current(ticket) == ("billing", "reviewer", boss)
    assert Label.objects.filter(ticket=ticket).count() == 2  # the import's is ended, not gone


def test_it_is_said_what_a_label_is_good_for(at):
    tickets = make_tested_tickets(["billing", "billing"])
    for ticket, split in zip(tickets, ("train", "excluded"), strict=True):
        Ticket.objects.filter(pk=ticket.pk).update(split=split)

    assert said(say(at, tickets[0], "billing"))[-1].endswith("by your word. The next training learns it.")
    assert said(say(at, tickets[1], "billing"))[-1].endswith("by your word.")


def test_it_is_the_guess_corrects_it_and_the_row_says_so(at, boss):
    version = make_tested(number=1, status="production")
    ticket = Ticket.objects.get(pk=version.test_answers["ticket_ids"][2])
    page = at.get(BACK)
    assert "The label is right" in page.text
    assert "It is Shipping" in page.text

    say(at, ticket, "shipping")

    page = at.get(BACK)
    assert current(ticket) == ("shipping", "reviewer", boss)
    assert "Corrected to Shipping by ada" in page.text
    assert "The label is right" not in page.text
    assert "It is Shipping" not in page.text


def test_the_same_a_second_time_changes_nothing_and_says_so(at):
    ticket = make_tested_tickets(["billing"])[0]
    say(at, ticket, "billing")

    assert said(say(at, ticket, "billing"))[-1].endswith("already, by the word of reviewer. Nothing was changed.")
    assert Label.objects.filter(ticket=ticket).count() == 2


def test_another_category_is_found_by_name_and_a_strange_one_is_told(at):
    ticket = make_tested_tickets(["billing"])[0]

    strange = say(at, ticket, "tecnical")
    say(at, ticket, "Technical ")

    assert said(strange)[0] == "No category is called “tecnical”. Did you mean technical? Nothing was changed."
    assert current(ticket)[0] == "technical"
    assert said(say(at, ticket, ""))[-1] == "No category is called “”. Choose one of the list. Nothing was changed."


def test_who_does_not_review_speaks_as_an_agent_and_is_outranked(client, at):
    ticket = make_tested_tickets(["billing"])[0]
    say(at, ticket, "billing")
    allowed(client, "scope_read", "scope_label")

    answer = say(client, ticket, "shipping")

    assert "by reviewer, which outranks agent" in said(answer)[-1]
    assert current(ticket)[:2] == ("billing", "reviewer")


def test_agent_corrects_what_was_imported(client):
    ticket = make_tested_tickets(["billing"])[0]
    eve = allowed(client, "scope_read", "scope_label")

    say(client, ticket, "shipping")

    assert current(ticket) == ("shipping", "agent", eve)


def test_retired_category_and_removed_text_are_told(at):
    ticket, other = make_tested_tickets(["billing", "billing"])
    Category.objects.filter(slug="shipping").update(active=False)
    Ticket.objects.filter(pk=other.pk).update(text_removed_at=timezone.now())

    assert "'shipping' is retired" in said(say(at, ticket, "shipping"))[0]
    assert "was removed, as it was too old" in said(say(at, other, "technical"))[-1]
    assert current(ticket)[0] == current(other)[0] == "billing"


@pytest.mark.parametrize("number", ["", "0", "x", "\0", "9" * 40, "123456"])
def test_ticket_that_is_not_there_is_told(at, number):
    answer = at.post("/quality/label", {"ticket": number, "category": "billing"})

    assert (answer.status_code, answer.url) == (302, "/quality")
    assert said(answer) == ["This ticket is not there any more. Nothing was changed."]


@pytest.mark.parametrize("back", ["", "https://evil.example/quality", "//evil.example", "/admin/", "/quality\n//evil"])
def test_way_back_leads_to_these_pages_only(at, back):
    ticket = make_tested_tickets(["billing"])[0]

    assert say(at, ticket, "billing", back=back).url == "/quality"


def test_who_may_not_label_sees_no_button_and_changes_nothing(client):
    make_tested(number=1, status="production")
    ticket = make_ticket()
    allowed(client, "scope_read")

    assert "The label is right" not in client.get("/quality").text
    assert say(client, ticket, "billing").status_code == 403
    assert client.get("/quality/label").status_code == 405
    assert not Label.objects.filter(ticket=ticket).exists()


# --- Answers of older versions --------------------------------------------------------------------
def test_keep_has_an_older_version_name_its_tickets(at):
    label_tickets()
    version = make_trained(poor_fit().model)
    assert "Keep them now" in at.get("/quality").text

    answer = at.post("/quality/keep-answers", {"version": version.number, "back": "/quality?version=1"})

    assert answer.url == "/quality?version=1"
    assert said(answer) == ["Kept what version 1 says of 6 test tickets."]
    assert "Keep them now" not in at.get("/quality").text


def test_keep_tells_what_forbids_it_and_wants_permission(at, client):
    version = make_version()

    assert "needs its training run" in said(at.post("/quality/keep-answers", {"version": version.number}))[0]
    assert "no version" in said(at.post("/quality/keep-answers", {"version": "x"}))[-1]
    allowed(client, "scope_read", "scope_label")
    assert client.post("/quality/keep-answers", {"version": version.number}).status_code == 403


# --- Promote --------------------------------------------------------------------------------------
def test_promote_shows_the_verdict_first_and_then_promotes_with_the_reason(at, boss):
    label_tickets()
    version = make_trained(good_fit().model)
    assert "/quality/promote?version=1" in at.get("/quality").text

    asked = at.get("/quality/promote?version=1")
    done = at.post("/quality/promote", {"version": 1, "expected": 0, "reason": "The first."})

    assert "The gate says yes" in asked.text
    assert "macro-F1 on 6 test tickets" in asked.text
    assert (done.status_code, done.url) == (302, "/quality")
    row = Promotion.objects.get()
    assert (row.version, row.by, row.reason, row.forced) == (version, boss, "The first.", False)


def test_promote_against_the_gate_is_refused_unless_one_may_force(client, at):
    label_tickets()
    make_trained(poor_fit().model)
    asked = {"version": 1, "expected": 0, "reason": "All the same.", "force": "on"}
    allowed(client, "scope_read", "scope_promote")

    page = client.get("/quality/promote?version=1")
    refused = client.post("/quality/promote", asked)

    assert "Promote although the gate says no" not in page.text
    assert "The gate says no." in refused.text
    assert "not met" in refused.text
    assert in_production() is None
    client.force_login(User.objects.get(username="ada"))
    assert client.post("/quality/promote", asked).status_code == 302
    assert Promotion.objects.get().forced


def test_promote_wants_a_reason_and_what_was_seen(at):
    promote(1)
    version = make_version()

    nothing = at.post("/quality/promote", {"version": version.number, "expected": 1, "reason": " "})
    slow = at.post("/quality/promote", {"version": version.number, "expected": 0, "reason": "Go.", "force": "on"})

    assert "It needs a reason" in nothing.text
    assert "Look again, then decide anew." in slow.text
    assert in_production() == 1


@pytest.mark.parametrize("query", ["", "?version=x", "?version=%00", "?version=77"])
def test_promote_of_no_version_leads_back(at, query):
    answer = at.get(f"/quality/promote{query}")

    assert (answer.status_code, answer.url) == (302, "/quality")


# --- Roll back and the history --------------------------------------------------------------------
def test_roll_back_says_which_version_returns_and_keeps_the_reason(at, boss):
    promote(2)

    asked = at.get("/quality/roll-back")
    done = at.post("/quality/roll-back", {"expected": 2, "reason": "Customers complained."})

    assert "Version 2 answers now. Version 1, which was there before it" in asked.text
    assert done.url == "/quality"
    row = Promotion.objects.first()
    assert (row.kind, row.version.number, row.by, row.reason) == ("roll_back", 1, boss, "Customers complained.")
    assert in_production() == 1


def test_roll_back_of_something_else_than_was_seen_changes_nothing(at):
    promote(3)

    page = at.post("/quality/roll-back", {"expected": 2, "reason": "Back."})

    assert "Look again, then decide anew." in page.text
    assert in_production() == 3


def test_roll_back_without_a_version_before_says_so(at):
    promote(1)

    answer = at.get("/quality/roll-back")

    assert answer.url == "/quality"
    assert "before version 1 none was there" in said(answer)[0]


def test_history_tells_who_why_and_instead_of_which(at, boss):
    promote(2)
    promotion.roll_back(reason="Customers complained.", by=boss)

    rows = at.get("/quality").context["promotions"]

    told = [(row["version"], row["replaced"], row["kind"], row["by"], row["reason"], row["is_forced"]) for row in rows]
    assert told == [
        (1, "version 2", "roll-back", "ada", "Customers complained.", False),
        (2, "version 1", "promotion", "-", "Onwards.", True),
        (1, "nothing", "promotion", "-", "Onwards.", True),
    ]


def test_history_comes_twenty_a_page(at):
    version = make_version(status="production")
    for number in range(23):
        Promotion.objects.create(version=version, reason=f"Reason {number}.")

    first = at.get("/quality?version=1")
    second = at.get(f"/quality{first.context['older_address']}")

    assert first.context["older_address"] == "?version=1&page=2"
    assert first.context["promotions"][0]["reason"] == "Reason 22."
    assert [row["reason"] for row in second.context["promotions"]] == ["Reason 2.", "Reason 1.", "Reason 0."]


def test_who_may_not_promote_sees_no_button_and_no_page(client):
    promote(2)
    make_version()
    allowed(client, "scope_read", "scope_label", "scope_run")

    text = client.get("/quality?version=3").text

    assert "/quality/roll-back" not in text
    assert "/quality/promote" not in text
    assert client.get("/quality/roll-back").status_code == 403
    assert client.post("/quality/promote", {"version": 3, "expected": 2, "reason": "Go."}).status_code == 403
    assert in_production() == 2


def test_roll_back_needs_no_staff(client):
    promote(2)
    user = allowed(client, "scope_read", "scope_promote")
    User.objects.filter(pk=user.pk).update(is_staff=False)

    assert "/quality/roll-back" in client.get("/quality").text
    client.post("/quality/roll-back", {"expected": 2, "reason": "Back."})
    assert in_production() == 1
