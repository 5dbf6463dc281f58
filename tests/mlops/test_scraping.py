"""GET /metrics: who may scrape, what comes back, and what a scrape leaves behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from classifier import authentication
from classifier.models import ApiKey, ApiRequest
from mlops.api import scraping as door
from mlops.metrics import SECONDS
from tests.factories import make_key, make_version
from tests.mlops.dependencies import database_at, silent_server

pytestmark = pytest.mark.django_db
ELSEWHERE = "192.0.2.7"
CLOSED = 1  # a port where nobody listens


@pytest.fixture(autouse=True)
def _empty_caches() -> Iterator[None]:
    authentication.forget_keys()
    door.forget_trusted()
    yield
    authentication.forget_keys()
    door.forget_trusted()


def scrape(*, address: str = "127.0.0.1", key: str | None = None, **headers: str) -> HttpResponse:
    if key is not None:
        headers["authorization"] = f"Api-Key {key}"
    return Client(REMOTE_ADDR=address).get("/metrics", headers=headers)


def refused(answer: HttpResponse) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, json.loads(answer.content)["code"]


# --- Who may --------------------------------------------------------------------------------------
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_scrape_from_this_machine_needs_no_key(address: str) -> None:
    assert scrape(address=address).status_code == 200


@pytest.mark.parametrize("address", [ELSEWHERE, "10.0.0.1", "::ffff:192.0.2.7", "", "unix:", "localhost"])
def test_scrape_from_elsewhere_without_a_key_is_refused(address: str) -> None:
    answer = scrape(address=address)

    assert refused(answer) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Api-Key"


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip", "via"])
def test_scrape_through_a_proxy_on_this_machine_needs_a_key(header: str) -> None:
    assert refused(scrape(**{header: "127.0.0.1"})) == (401, "not_authenticated")


def test_scrape_behind_a_proxy_that_says_nothing_needs_a_key(settings: Any) -> None:
    settings.BEHIND_PROXY = True

    assert refused(scrape()) == (401, "not_authenticated")


def test_scrape_with_a_key_of_scope_metrics_is_answered() -> None:
    assert scrape(address=ELSEWHERE, key=make_key("metrics")[1]).status_code == 200


@pytest.mark.parametrize(
    ("header", "code"),
    [("Api-Key nonsense", (401, "malformed_authorization")), (f"Api-Key 12345678.{'x' * 32}", (401, "invalid_key"))],
)
def test_scrape_with_a_key_that_is_none_is_refused(header: str, code: tuple[int, str]) -> None:
    assert refused(scrape(address=ELSEWHERE, authorization=header)) == code


def test_scrape_with_a_key_of_another_scope_is_refused() -> None:
    assert refused(scrape(address=ELSEWHERE, key=make_key("predict", "read")[1])) == (403, "scope_missing")


@pytest.mark.parametrize("method", ["post", "put", "delete", "options"])
def test_only_get_and_head_are_answered(method: str) -> None:
    answer = getattr(Client(), method)("/metrics")

    assert refused(answer) == (405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"


def test_head_answers_without_a_body() -> None:
    answer = Client().head("/metrics")

    assert (answer.status_code, answer.content) == (200, b"")


# --- While the database is away -------------------------------------------------------------------
def test_key_that_was_good_a_moment_ago_still_scrapes_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    _, key = make_key("metrics")
    scrape(address=ELSEWHERE, key=key)
    database_at(CLOSED, monkeypatch)

    answer = scrape(address=ELSEWHERE, key=key)

    assert answer.status_code == 200
    assert b"ticketclf_database_up 0.0" in answer.content


def test_key_that_nobody_knows_is_told_that_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    _, key = make_key("metrics")
    database_at(CLOSED, monkeypatch)

    assert refused(scrape(address=ELSEWHERE, key=key)) == (503, "database_unavailable")


def test_key_that_was_revoked_is_not_trusted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    row, key = make_key("metrics")
    scrape(address=ELSEWHERE, key=key)
    ApiKey.objects.filter(prefix=row.prefix).update(revoked=True)
    authentication.forget_keys()
    assert refused(scrape(address=ELSEWHERE, key=key)) == (401, "invalid_key")
    database_at(CLOSED, monkeypatch)

    assert refused(scrape(address=ELSEWHERE, key=key)) == (503, "database_unavailable")


def test_scrape_answers_within_two_seconds_while_the_database_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_server() as port:
        database_at(port, monkeypatch)
        begun = time.monotonic()

        answer = scrape()

    assert answer.status_code == 200
    assert b"ticketclf_database_up 0.0" in answer.content
    assert time.monotonic() - begun < SECONDS + 3  # without a bound it hangs for ever


# --- What comes back --------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_answer_is_prometheus_text_with_ours_djangos_and_the_facts() -> None:
    make_version(number=3, status="production")
    Client().get("/api/health/live")

    answer = scrape()

    families = {family.name: family for family in parse(answer.content.decode())}
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {"http_requests", "http_request_duration_seconds", "ticketclf_database_up", "ticketclf_runs"} <= set(
        families
    )
    assert "django_http_requests_before_middlewares" in families
    assert families["ticketclf_model_production_version"].samples[0].value == 3
    assert [name for name in families if name.endswith("_created")] == []


def test_answer_is_openmetrics_for_who_asks_for_it() -> None:
    answer = scrape(accept="application/openmetrics-text; version=1.0.0")

    names = {family.name for family in parse_openmetrics(answer.content.decode())}
    assert answer["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {"http_requests", "ticketclf_database_up"} <= names


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=x", "text/plain; version=1.x", "*/*", ";=,"])
def test_odd_accept_header_is_answered_in_plain_text(accept: str) -> None:
    answer = scrape(accept=accept)

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")


def test_scrape_leaves_no_row_and_is_counted_once() -> None:
    def counted() -> float:
        name, labels = "http_requests_total", {"method": "GET", "handler": "metrics", "status": "200"}
        return REGISTRY.get_sample_value(name, labels) or 0

    _, key = make_key("metrics")
    before = counted()

    scrape(address=ELSEWHERE, key=key)

    assert ApiRequest.objects.count() == 0
    assert counted() == before + 1
