"""Every page in a real browser: with nothing and with everything, wide and narrow, light and dark, and by axe-core."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import browsing

pytestmark = pytest.mark.browser
PAGES = (
    "/", "/quality", "/monitoring", "/drift", "/try", "/queue", "/imports", "/exports", "/runbook", "/concepts",
    "/password",
)  # fmt: skip
SAMPLES = ("/?demo=1", "/quality?demo=1", "/monitoring?demo=1&range=7d", "/drift?demo=1")
LOOKS = [(size, scheme) for size in (browsing.DESK, browsing.PHONE) for scheme in ("light", "dark")]
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with browsing.served(browsing.make_empty(tmp_path_factory.mktemp("an empty var"))) as address:
        yield address


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    work = tmp_path_factory.mktemp("work")
    with browsing.served(browsing.make_full(tmp_path_factory.mktemp("a full var"), work)) as address:
        yield address


@pytest.fixture(scope="module")
def axe() -> str:
    script = os.environ.get("TICKETCLF_TEST_AXE")
    if script is None:
        pytest.fail("Set TICKETCLF_TEST_AXE to the path of npm's axe-core/axe.min.js, as .ci/run does.")
    return Path(script).read_text(encoding="utf-8")


def complaints(browser: Any, address: str, pages: tuple[str, ...], axe: str) -> list[str]:
    """Whatever is wrong with the pages, one line each: status, console, overflow, findings of axe."""
    found: list[str] = []
    for size, scheme in LOOKS:
        context = browser.new_context(viewport=size, color_scheme=scheme)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        browsing.sign_in(page, address)
        for path in pages:
            where = f"{path} at {size['width']} {scheme}"
            said.clear()
            answer = page.goto(address + path, wait_until="networkidle")
            found += [f"{where}: status {answer.status}"] * (answer.status != 200)
            found += [f"{where}: console: {words}" for words in said]
            wide = page.evaluate("document.documentElement.scrollWidth")
            found += [f"{where}: {wide} pixels wide"] * (wide > size["width"])
            found += [f"{where}: {finding}" for finding in findings(page, axe)]
        context.close()
    return found


def findings(page: Any, axe: str) -> list[str]:
    """What axe-core finds that is serious, with the first place of each."""
    page.evaluate(axe)  # past the page's policy, which lets no foreign script in
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {violation['help']}: {violation['nodes'][0]['html'][:160]}"
        for violation in result["violations"]
        if violation["impact"] in SERIOUS
    ]


def test_pages_on_an_empty_database(browser, empty, axe):
    assert complaints(browser, empty, PAGES, axe) == []


def test_pages_on_a_full_database(browser, full, axe):
    assert complaints(browser, full, PAGES + SAMPLES, axe) == []


def test_charts_are_drawn_from_what_the_page_carries(browser, full):
    page = browser.new_page(viewport=browsing.DESK)
    browsing.sign_in(page, full)

    page.goto(f"{full}/?demo=1", wait_until="networkidle")

    drawn = page.evaluate(
        "[...document.querySelectorAll('canvas')].map(canvas => {"
        " const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
        " return pixels.some(value => value !== 0) })"
    )
    assert len(drawn) == 3
    assert all(drawn)


def test_refresh_brings_new_figures_without_a_new_page_and_can_be_switched_off(browser, full):
    page = browser.new_page(viewport=browsing.DESK)
    page.clock.install()
    browsing.sign_in(page, full)
    page.goto(f"{full}/", wait_until="networkidle")
    page.evaluate("window.isTheSamePage = true")
    page.evaluate("document.querySelector('.lead .big').textContent = 'stale'")

    page.clock.run_for(31_000)
    page.locator(".lead .big", has_not_text="stale").wait_for()  # no wait_for_function: the policy forbids its eval
    assert page.evaluate("window.isTheSamePage")

    page.uncheck("#refresh")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.querySelector('.lead .big').textContent = 'stale'")
    page.clock.run_for(61_000)
    page.wait_for_load_state("networkidle")
    assert page.inner_text(".lead .big") == "stale"


def test_a_command_of_the_runbook_is_copied(browser, full):
    context = browser.new_context(viewport=browsing.DESK, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    browsing.sign_in(page, full)
    page.goto(f"{full}/runbook", wait_until="networkidle")

    block = page.locator(".code", has_text="manage.py watch_drift").first
    block.get_by_role("button").click()
    block.get_by_text("Copied").wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == ".venv/bin/python manage.py watch_drift\n"
    context.close()
