"""The content security policies and the other headers of pages: who gets which, and that pages work under them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.test import Client, RequestFactory
from django.urls import reverse

from classifier.models import ApiKey, Category
from mlops import roles
from tests import factories
from tests.classifier.test_admin import PAGES, fill, name_of
from ticketclf.policies import PolicyMiddleware

STRICT = {
    "default-src 'self'", "img-src 'self' data:", "object-src 'none'", "base-uri 'none'", "form-action 'self'",
    "frame-ancestors 'none'",
}  # fmt: skip


def policy(response: Any) -> set[str]:
    return set(response.headers["Content-Security-Policy"].split("; "))


# --- Headers --------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize(
    "address", ["/", "/sign-in", "/password", "/status", "/api/docs/", "/nothing/here", "/static/x"]
)
def test_pages_of_ours_allow_what_is_in_files_of_ours_and_nothing_else(at, address):
    assert policy(at.get(address)) == STRICT


@pytest.mark.django_db
def test_page_of_the_lock_out_has_the_policy_too():
    answers = [Client().post("/sign-in", {"username": "x", "password": "y"}) for _ in range(5)]

    assert answers[-1].status_code == 429
    assert policy(answers[-1]) == STRICT


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/admin/", "/admin/classifier/ticket/", "/admin/nothing/here"])
def test_admin_has_a_looser_policy_of_its_own(at, address):
    found = policy(at.get(address))

    assert found >= STRICT
    assert found - STRICT == {"script-src 'self' 'unsafe-eval'", "style-src 'self' 'unsafe-inline'"}


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/admin/", "/sign-in", "/api/docs/"])
def test_pages_close_what_no_page_needs(at, address):
    headers = at.get(address).headers

    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    for feature in ("camera", "geolocation", "microphone", "payment", "usb"):
        assert f"{feature}=()" in headers["Permissions-Policy"]


@pytest.mark.parametrize("address", ["/api/predict", "/api/health/live", "/api/schema/"])
def test_api_answers_do_not_pay_for_a_policy(address):
    seen: list[Any] = []

    PolicyMiddleware(lambda request: seen.append(request) or {})(RequestFactory().get(address))  # type: ignore[arg-type]

    assert not hasattr(seen[0], "csp_nonce"), "the package's own work was not begun"


# --- In a browser ---------------------------------------------------------------------------------
WATCH = (
    "document.addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
)


class Watched:
    """A page of Chromium, and everything that went wrong in it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.address = address
        self.context = browser.new_context()
        self.context.add_init_script(WATCH)
        self.wrong: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", lambda told: told.type in {"error", "warning"} and self.wrong.append(told.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def open(self, path: str) -> list[str]:
        """What goes wrong on a page until it is quiet."""
        before = len(self.wrong)
        self.page.goto(self.address + path, wait_until="networkidle")
        return [f"{path}: {each}" for each in self.wrong[before:]]

    def sign_in(self, username: str) -> None:
        self.open("/sign-in")
        self.page.fill("#id_username", username)
        self.page.fill("#id_password", "a long enough one")
        self.page.click("button:has-text('Sign in')")
        self.page.wait_for_load_state("networkidle")


@pytest.fixture
def watched(live_server: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    from playwright.sync_api import sync_playwright

    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright runs an event loop in the test's thread
    roles.make(apps)
    factories.make_user("ada", is_superuser=True)
    fill()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-quic"]
        )
        yield Watched(browser, live_server.url)
        browser.close()


@pytest.mark.browser
def test_doors_and_docs_work_under_the_policy(watched):
    wrong = [*watched.open("/sign-in")]
    watched.sign_in("ada")
    assert watched.page.url == f"{watched.address}/"

    wrong += [*watched.open("/"), *watched.open("/password"), *watched.open("/api/docs/")]
    page = watched.page
    page.click("#operations-versions-list_versions")
    page.click("button:has-text('Try it out')")
    page.click("button:has-text('Execute')")
    page.wait_for_selector(".live-responses-table .response-col_status:has-text('200')")

    assert not wrong + watched.wrong
    assert page.locator(".opblock").count() > 15


@pytest.mark.browser
def test_admin_works_under_its_policy(watched):
    watched.sign_in("ada")
    wrong = watched.open("/admin/")
    for page in PAGES.values():
        options = page.model._meta
        name = f"admin:{options.app_label}_{options.model_name}"
        row = page.model.objects.first()
        wrong += watched.open(reverse(f"{name}_changelist"))
        wrong += watched.open(reverse(f"{name}_change", args=[name_of(row)]))
    for path in ("history", "delete"):
        wrong += watched.open(f"/admin/classifier/category/{Category.objects.latest('pk').pk}/{path}/")
    for path in ("mlops/trainingrun/start", "classifier/user/add/", "classifier/apikey/add/", "auth/group/add/"):
        wrong += watched.open(f"/admin/{path}")
    wrong += watched.open("/admin/password_change/")
    watched.open("/admin/classifier/apikey/add/")
    watched.page.fill("#id_name", "of the browser")
    watched.page.check("input[name=scopes][value=read]")
    watched.page.click("button[name=_save]")
    watched.page.wait_for_load_state("networkidle")

    assert not wrong + watched.wrong
    assert watched.page.url == f"{watched.address}/admin/classifier/apikey/", "a reload does not make another key"
    assert ApiKey.objects.filter(name="of the browser").exists()
