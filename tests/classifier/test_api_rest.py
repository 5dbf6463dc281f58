"""The small doors of /api/, and the one shape of every error."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions

from classifier import problems
from classifier.models import ApiRequest, Category, RefusalMinute
from tests import factories
from tests.classifier.test_api_predict import THREE, assert_problem

pytestmark = pytest.mark.django_db


def get(path, key=None):
    return Client().get(path, headers={} if key is None else {"authorization": f"Api-Key {key}"})


@pytest.mark.parametrize("scope", ["predict", "read"])
def test_categories_lists_the_active_ones(scope):
    factories.make_categories()
    Category.objects.filter(slug="general").update(active=False)
    Category.objects.filter(slug="billing").update(description="Charges and refunds")

    response = get("/api/categories", factories.make_key(scope)[1])

    assert [category["slug"] for category in response.json()["results"]] == [
        "account",
        "billing",
        "shipping",
        "technical",
    ]
    assert response.json()["results"][1] == {
        "slug": "billing",
        "name": "Billing",
        "description": "Charges and refunds",
    }
    assert ApiRequest.objects.get().route == "categories"


def test_categories_needs_a_caller():
    assert_problem(get("/api/categories"), 401, "not_authenticated")
    assert RefusalMinute.objects.get().code == "not_authenticated"


def test_categories_needs_a_scope():
    assert_problem(get("/api/categories", factories.make_key("label")[1]), 403, "scope_missing")


def test_categories_refuses_a_post():
    key = factories.make_key("read")[1]

    assert_problem(
        Client().post("/api/categories", headers={"authorization": f"Api-Key {key}"}), 405, "method_not_allowed"
    )


def test_live_answers_without_a_key_or_a_database(django_assert_num_queries):
    with django_assert_num_queries(0):
        response = get("/api/health/live")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/predict/", "/api/health/live/x"])
def test_an_unknown_address_under_api_is_a_problem(path):
    assert_problem(get(path), 404, "not_found")


def test_an_unknown_address_elsewhere_is_a_page():
    response = get("/nothing")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_a_bad_host_under_api_is_a_problem():
    response = Client().get("/api/health/live", headers={"host": "evil.example.com"})

    assert_problem(response, 400, "bad_request")


def test_a_defect_under_api_is_a_problem_without_details(monkeypatch, post, production):
    client = Client(raise_request_exception=False)
    monkeypatch.setattr("classifier.api.predict.inference.predict", lambda *_, **__: 1 / 0)
    key = factories.make_key("predict")[1]

    response = client.post(
        "/api/predict", {"tickets": THREE}, content_type="application/json", headers={"authorization": f"Api-Key {key}"}
    )

    assert_problem(response, 500, "server_error")
    assert b"division" not in response.content


def test_a_database_that_is_away_answers_503(monkeypatch, post, production):
    def away(*_, **__):
        raise OperationalError("server closed the connection")

    monkeypatch.setattr("classifier.api.predict.inference.predict", away)

    response = post({"tickets": THREE})

    assert_problem(response, 503, "database_unavailable")
    assert response["Retry-After"] == "5"


def test_the_schema_tells_of_every_route():
    key = factories.make_key("read")[1]

    response = get("/api/schema/?format=json", key)

    assert {"/api/predict", "/api/categories", "/api/health/live"} <= set(response.json()["paths"])
    assert "ApiKey" in response.json()["components"]["securitySchemes"]


def test_the_schema_needs_a_caller():
    assert_problem(get("/api/schema/"), 401, "not_authenticated")


def test_the_docs_page_leads_to_the_sign_in():
    response = get("/api/docs/")

    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in")


def test_the_docs_page_loads_nothing_from_elsewhere():
    client = Client()
    client.force_login(factories.make_user(is_superuser=True))

    page = client.get("/api/docs/").content.decode()

    assert "swagger-ui" in page
    assert "http://" not in page
    assert "https://" not in page


def test_home_leads_to_the_sign_in():
    assert get("/")["Location"] == "/sign-in?next=/"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "permission_denied"),
        (exceptions.NotFound(), 404, "not_found"),
        (exceptions.NotAuthenticated(), 401, "not_authenticated"),
        (exceptions.Throttled(wait=2.5), 429, "throttled"),
        (exceptions.ParseError(), 400, "parse_error"),
        (exceptions.UnsupportedMediaType("text/csv"), 415, "unsupported_media_type"),
        (exceptions.APIException(), 500, "server_error"),
        (exceptions.ValidationError({"a": {"b": ["wrong"]}}), 400, "invalid_input"),
    ],
)
def test_exceptions_become_problems(error, status, code):
    problem = problems.from_exception(error)

    assert (problem.status, problem.code) == (status, code)


def test_a_throttled_problem_says_when_to_come_back():
    assert problems.from_exception(exceptions.Throttled(wait=2.5)).headers["Retry-After"] == "3"


def test_validation_errors_name_their_fields():
    problem = problems.from_exception(exceptions.ValidationError({"a": {"b": ["wrong"]}, "c": ["bad"]}))

    assert [(error.field, error.detail) for error in problem.errors] == [("a.b", "wrong"), ("c", "bad")]


def test_a_defect_is_no_problem():
    assert problems.from_exception(ZeroDivisionError()) is None


@pytest.mark.parametrize(
    ("handler", "arguments", "status"),
    [
        (problems.bad_request, (ValueError(),), 400),
        (problems.permission_denied, (PermissionDenied(),), 403),
        (problems.not_found, (Http404(),), 404),
        (problems.server_error, (), 500),
    ],
)
def test_error_pages_are_problems_under_api_and_pages_elsewhere(handler, arguments, status):
    api, page = (handler(RequestFactory().get(path), *arguments) for path in ("/api/x", "/x"))

    assert (api.status_code, page.status_code) == (status, status)
    assert api["Content-Type"] == "application/problem+json"
    assert page["Content-Type"].startswith("text/html")
