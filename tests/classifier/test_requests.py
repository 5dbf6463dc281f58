"""What every request leaves behind: a count, a log line without anybody's words, a row."""

from __future__ import annotations

import logging

import pytest
from django.db import DatabaseError
from django.test import Client
from prometheus_client import REGISTRY

from classifier import metrics
from classifier.models import ApiRequest
from tests import factories

pytestmark = pytest.mark.django_db


def counted(**labels):
    return REGISTRY.get_sample_value("http_requests_total", labels) or 0


def test_requests_are_counted_by_route_and_status():
    before = counted(method="GET", handler="health_live", status="200")

    Client().get("/api/health/live")

    assert counted(method="GET", handler="health_live", status="200") == before + 1


def test_unrouted_requests_share_one_label():
    before = counted(method="GET", handler="unrouted", status="404")

    Client().get("/one/path")
    Client().get("/another/path")

    assert counted(method="GET", handler="unrouted", status="404") == before + 2


def test_an_odd_method_is_counted_as_other():
    metrics.count_request(method="BREW", handler="predict", status=405, seconds=0.1)

    assert counted(method="OTHER", handler="predict", status="405") >= 1
    assert counted(method="BREW", handler="predict", status="405") == 0


def test_seconds_are_counted_by_route_and_status():
    def observed():
        labels = {"method": "GET", "handler": "health_live", "status": "200"}
        return REGISTRY.get_sample_value("http_request_duration_seconds_count", labels) or 0

    before = observed()

    Client().get("/api/health/live")

    assert observed() == before + 1


@pytest.mark.parametrize(("path", "code"), [("/api/nothing", "not_found"), ("/api/categories", "not_authenticated")])
def test_refusals_under_api_are_counted_by_code(path, code):
    def refused():
        return REGISTRY.get_sample_value("ticket_refusals_total", {"code": code}) or 0

    before = refused()

    Client().get(path)
    Client().get("/not/of/the/api")

    assert refused() == before + 1


def test_no_log_line_repeats_a_text_or_a_key(production, post, key, caplog):
    caplog.set_level(logging.DEBUG)

    post({"tickets": ["canary-text-4711 was charged twice"]})
    Client().get("/admin/classifier/ticket/?q=canary-query-4711")
    Client().get("/api/canary-path-4711")

    lines = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("django.request"))
    assert "predict" in lines
    assert "canary" not in lines
    assert key not in lines


def test_an_answer_stands_when_its_record_cannot_be_written(monkeypatch, caplog):
    def fail(**_):
        raise DatabaseError("disk full")

    monkeypatch.setattr(ApiRequest.objects, "create", fail)
    factories.make_categories()

    response = Client().get("/api/categories", headers={"authorization": f"Api-Key {factories.make_key('read')[1]}"})

    assert response.status_code == 200
    assert "request not recorded" in caplog.text


def test_a_request_without_a_known_caller_leaves_no_row():
    Client().get("/api/nothing")

    assert ApiRequest.objects.count() == 0
