"""The label queue by keyboard alone, in a real browser: from signing in to three labels, a skip and an undo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from classifier.models import Label, Ticket
from tests import browsing
from tests.factories import make_categories, make_ticket, make_user, make_version
from tests.mlops.paging import make_answer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
TEXTS = ("I was charged twice", "The parcel is late", "It does not start", "Where are you open?", "My name is wrong")


@pytest.fixture(autouse=True)
def _beside_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright runs a loop in this thread, beside which Django refuses its database unless told that it is safe."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture
def page() -> Iterator[Any]:
    with browsing.chromium() as browser:
        page = browser.new_page(viewport=browsing.DESK)
        page.faults = []
        page.on("console", lambda told: page.faults.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        yield page


def line_up(*, n_more: int = 0) -> list[Ticket]:
    """Five tickets that wait, in this order, of five categories and more."""
    version = make_version(status="production")
    make_categories([f"trade_{number:02}" for number in range(n_more)])
    tickets = [make_ticket(text) for text in TEXTS]
    for place, ticket in enumerate(tickets):
        make_answer(version, "billing", at=timezone.now(), ticket=ticket, confidence=0.3 + place / 10, is_review=True)
    return tickets


def sign_in_by_keys(page: Any, address: str) -> None:
    make_user("ada", is_superuser=True)
    page.goto(f"{address}/queue", wait_until="networkidle")
    page.focus("input[name=username]")
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type("a long enough one")
    page.keyboard.press("Enter")
    page.wait_for_selector(".ticket-text")


def press(page: Any, key: str, *, then: str) -> None:
    """Presses a key, and waits for the ticket that it leads to."""
    page.keyboard.press(key)
    page.get_by_text(then, exact=True).first.wait_for()  # no wait_for_function: the page's policy forbids its eval
    assert page.evaluate("document.activeElement.id") == "ticket"


def labels() -> list[tuple[str, str]]:
    rows = Label.objects.current().order_by("pk").values_list("ticket__text", "category__slug")
    return [(text, slug) for text, slug in rows]


def test_keyboard_alone_leads_through_the_queue(page, live_server):
    line_up()
    sign_in_by_keys(page, live_server.url)
    page.evaluate("window.isTheSamePage = true")

    press(page, "2", then=TEXTS[1])
    page.locator("#said", has_text="Labelled Billing; undo with U.").wait_for(state="attached")
    press(page, "s", then=TEXTS[2])
    press(page, "5", then=TEXTS[3])
    press(page, "1", then=TEXTS[4])
    press(page, "u", then=TEXTS[3])
    press(page, "3", then=TEXTS[4])
    press(page, "ArrowRight", then=TEXTS[1])

    assert labels() == [(TEXTS[0], "billing"), (TEXTS[2], "technical"), (TEXTS[3], "general")]
    assert page.evaluate("window.isTheSamePage")  # no page was loaded anew in between
    assert page.faults == []


def test_category_is_found_by_a_part_of_its_name(page, live_server):
    line_up(n_more=40)
    sign_in_by_keys(page, live_server.url)

    page.keyboard.press("/")
    page.keyboard.type("ade_33")
    press(page, "Enter", then=TEXTS[1])
    page.keyboard.press("?")
    assert not page.evaluate("document.getElementById('keys').open")
    press(page, "a", then=TEXTS[2])

    assert [slug for _, slug in labels()] == ["trade_33", "trade_04"]
    assert page.faults == []


def test_every_step_works_without_a_script(client, live_server):
    line_up()
    with browsing.chromium() as browser:
        page = browser.new_context(java_script_enabled=False).new_page()
        client.force_login(
            make_user("ada", is_superuser=True)
        )  # the queue is what is tested: signing in is somebody else's page
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
        page.context.add_cookies([cookie])
        page.goto(f"{live_server.url}/queue")

        page.click("button[value=shipping]")
        page.click("button[name=skip]")
        page.click("button[name=undo]")

        assert page.inner_text(".ticket-text") == TEXTS[0]
    assert labels() == []
