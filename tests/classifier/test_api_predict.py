"""POST /api/predict: what it answers, what it stores, what it refuses."""

from __future__ import annotations

import json
import threading

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from classifier import authentication, inference
from classifier.models import (
    ApiRequest,
    Category,
    IdempotentAnswer,
    ModelArtifact,
    ModelVersion,
    Prediction,
    RefusalMinute,
    Ticket,
)
from tests import factories

pytestmark = pytest.mark.django_db
THREE = ["I was double charged for my subscription", "The app keeps crashing when I open it", "Where is my parcel?"]


def assert_problem(response, status, code, field=None):
    body = response.json()
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert set(body) == {"type", "title", "status", "detail", "code", "errors"}
    assert (body["status"], body["code"]) == (status, code)
    if field is not None:
        assert field in [error["field"] for error in body["errors"]]
    return body


def test_predict_answers_each_ticket_in_order(production, post):
    response = post({"tickets": THREE})

    results = response.json()["results"]
    assert response.status_code == 200
    assert [result["text"] for result in results] == THREE
    said = ["id", "prediction_id", "text", "predicted_label", "confidence", "model_version", "decision", "reason"]
    assert list(results[0]) == said
    assert {result["model_version"] for result in results} == {production.number}
    assert [result["predicted_label"] for result in results] == ["billing", "technical", "shipping"]
    assert all(0 <= result["confidence"] <= 1 for result in results)


def test_predict_stores_what_it_answered(production, post, key):
    results = post({"tickets": THREE}).json()["results"]

    request = ApiRequest.objects.get()
    stored = list(Prediction.objects.order_by("id").select_related("ticket", "category"))
    assert [prediction.ticket.text for prediction in stored] == THREE
    assert [prediction.ticket_id for prediction in stored] == [result["id"] for result in results]
    assert [prediction.pk for prediction in stored] == [result["prediction_id"] for result in results]
    assert [prediction.category.slug for prediction in stored] == [result["predicted_label"] for result in results]
    assert [prediction.confidence for prediction in stored] == [result["confidence"] for result in results]
    assert {prediction.version_id for prediction in stored} == {production.pk}
    assert {prediction.request_id for prediction in stored} == {request.pk}
    assert (request.key_id, request.route, request.method, request.status) == (key[:8], "predict", "POST", 200)
    assert (request.n_tickets, request.code) == (3, "")
    assert request.latency_ms > 0


def test_predict_writes_rows_as_the_orm_would(production, post):
    post({"tickets": ["Ünïcode text with  two spaces\nand a line"]})

    ticket, prediction = Ticket.objects.get(), Prediction.objects.get()
    twin = Ticket(text=ticket.text)
    twin.save()
    twin.refresh_from_db()
    assert ticket.text_digest == twin.text_digest
    assert (ticket.source, ticket.is_demo, ticket.split, ticket.group, ticket.external_id) == (
        twin.source,
        twin.is_demo,
        twin.split,
        twin.group,
        twin.external_id,
    )
    assert abs((ticket.created_at - twin.created_at).total_seconds()) < 60
    assert prediction.created_at == ticket.created_at == ApiRequest.objects.get().created_at
    assert (prediction.n_words, prediction.is_demo) == (8, False)
    assert 0 <= prediction.unknown_share <= 1


def test_predict_gives_all_probabilities_when_asked(production, post):
    result = post({"tickets": THREE[:1]}, query="?probabilities=1").json()["results"][0]

    assert set(result["probabilities"]) == set(factories.SLUGS)
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert result["probabilities"][result["predicted_label"]] == result["confidence"]


def test_predict_explains_when_asked(production, post):
    result = post({"tickets": THREE[:1]}, query="?explain=1").json()["results"][0]

    assert {"term", "kind", "weight"} == set(result["explanation"][0])
    assert any("charge" in term["term"] and term["weight"] > 0 for term in result["explanation"])


def test_predict_takes_objects_with_external_ids(production, post):
    response = post({"tickets": [{"text": THREE[0], "external_id": "zd-1"}, THREE[1]]})

    assert response.status_code == 200
    assert list(Ticket.objects.order_by("id").values_list("external_id", flat=True)) == ["zd-1", None]


def test_predict_uses_a_known_external_id_again(production, post):
    first = post({"tickets": [{"text": THREE[0], "external_id": "zd-1"}]}).json()["results"][0]

    second = post({"tickets": [THREE[1], {"text": THREE[0], "external_id": "zd-1"}]}).json()["results"]

    assert second[1]["id"] == first["id"]
    assert second[1]["prediction_id"] != first["prediction_id"]
    assert (Ticket.objects.count(), Prediction.objects.count()) == (2, 3)


def test_predict_gives_a_known_ticket_its_text_again_that_was_removed(production, post):
    post({"tickets": [{"text": THREE[0], "external_id": "zd-1"}, {"text": THREE[1], "external_id": "zd-2"}]})
    Ticket.objects.update(text="Removed.", text_removed_at=timezone.now())

    post({"tickets": [THREE[1], {"text": THREE[0], "external_id": "zd-1"}]})

    again, other = Ticket.objects.get(external_id="zd-1"), Ticket.objects.get(external_id="zd-2")
    assert (again.text, again.text_removed_at, again.predictions.count()) == (THREE[0], None, 2)
    assert (other.text, other.text_removed_at is None) == ("Removed.", False)


def test_predict_refuses_a_known_external_id_with_another_text(production, post):
    post({"tickets": [{"text": THREE[0], "external_id": "zd-1"}]})

    response = post({"tickets": [{"text": THREE[1], "external_id": "zd-1"}]})

    assert_problem(response, 409, "external_id_taken", "tickets[0].external_id")
    assert Ticket.objects.count() == 1


def test_predict_repeats_the_first_answer_for_an_idempotency_key(production, post):
    first = post({"tickets": THREE}, **{"Idempotency-Key": "call-1"})

    second = post({"tickets": THREE}, **{"Idempotency-Key": "call-1"})

    assert second.content == first.content
    assert (Ticket.objects.count(), Prediction.objects.count(), ApiRequest.objects.count()) == (3, 3, 2)
    assert sorted(ApiRequest.objects.values_list("n_tickets", flat=True)) == [0, 3]


def test_predict_refuses_an_idempotency_key_with_another_body(production, post):
    post({"tickets": THREE}, **{"Idempotency-Key": "call-1"})

    response = post({"tickets": THREE[:1]}, **{"Idempotency-Key": "call-1"})

    assert_problem(response, 409, "idempotency_key_reused")


def test_predict_keeps_idempotency_keys_of_callers_apart(production, post):
    other = factories.make_key("predict", name="other")[1]
    post({"tickets": THREE}, **{"Idempotency-Key": "call-1"})

    response = post({"tickets": THREE[:1]}, with_key=other, **{"Idempotency-Key": "call-1"})

    assert response.status_code == 200
    assert IdempotentAnswer.objects.count() == 2


@pytest.mark.parametrize("bad", [" ", "x" * 201])
def test_predict_refuses_a_bad_idempotency_key(production, post, bad):
    assert_problem(post({"tickets": THREE}, **{"Idempotency-Key": bad}), 400, "invalid_input", "Idempotency-Key")


@pytest.mark.django_db(transaction=True)
def test_predict_answers_once_when_the_same_call_comes_twice_at_once(production, post):
    answers = []

    def call():
        answers.append(post({"tickets": THREE}, **{"Idempotency-Key": "call-1"}))
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert Ticket.objects.count() == 3


BAD_BODIES = [
    ("blank", b" ", "malformed_json", None),
    ("no json", b"tickets=1", "malformed_json", None),
    ("cut off", b'{"tickets": ["a"', "malformed_json", None),
    ("not utf-8", '{"tickets": ["é"]}'.encode("latin-1"), "not_utf8", None),
    ("utf-16", '{"tickets": ["a"]}'.encode("utf-16"), "not_utf8", None),
    ("deep", b'{"tickets": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json_too_deep", None),
    ("less deep", b'{"tickets": ' + b"[" * 500 + b"]" * 500 + b"}", "invalid_input", "tickets[0]"),
    ("nan", b'{"tickets": [NaN]}', "malformed_json", None),
    ("infinity", b'{"tickets": [-Infinity]}', "malformed_json", None),
    ("huge number", b'{"tickets": [' + b"9" * 5000 + b"]}", "malformed_json", None),
    ("a list", b"[]", "invalid_input", "body"),
    ("a text", b'"tickets"', "invalid_input", "body"),
    ("null", b"null", "invalid_input", "body"),
    ("nothing", b"{}", "invalid_input", "tickets"),
    ("unknown field", b'{"tickets": ["a b"], "ticket": 1}', "invalid_input", "ticket"),
    ("unknown odd field", '{"tickets": ["a b"], "\\ud800é": 1}'.encode(), "invalid_input", "??"),
    ("tickets null", b'{"tickets": null}', "invalid_input", "tickets"),
    ("tickets a text", b'{"tickets": "a b"}', "invalid_input", "tickets"),
    ("tickets an object", b'{"tickets": {"0": "a b"}}', "invalid_input", "tickets"),
    ("no tickets", b'{"tickets": []}', "invalid_input", "tickets"),
    ("101 tickets", json.dumps({"tickets": ["a b"] * 101}).encode(), "invalid_input", "tickets"),
    ("a number", b'{"tickets": [1]}', "invalid_input", "tickets[0]"),
    ("null ticket", b'{"tickets": ["a b", null]}', "invalid_input", "tickets[1]"),
    ("a switch", b'{"tickets": [true]}', "invalid_input", "tickets[0]"),
    ("nested list", b'{"tickets": [["a b"]]}', "invalid_input", "tickets[0]"),
    ("empty text", b'{"tickets": [""]}', "invalid_input", "tickets[0]"),
    ("blank text", b'{"tickets": [" \\n\\t "]}', "invalid_input", "tickets[0]"),
    ("invisible text", '{"tickets": ["\u200b\u2060\u200d"]}'.encode(), "invalid_input", "tickets[0]"),
    ("too long", json.dumps({"tickets": ["a" * 10_001]}).encode(), "invalid_input", "tickets[0]"),
    ("nul", b'{"tickets": ["a \\u0000 b"]}', "invalid_input", "tickets[0]"),
    ("lone surrogate", b'{"tickets": ["a \\ud800 b"]}', "invalid_input", "tickets[0]"),
    ("object without text", b'{"tickets": [{}]}', "invalid_input", "tickets[0].text"),
    ("object with number", b'{"tickets": [{"text": 5}]}', "invalid_input", "tickets[0].text"),
    ("object with more", b'{"tickets": [{"text": "a b", "id": 5}]}', "invalid_input", "tickets[0].id"),
    ("id a number", b'{"tickets": [{"text": "a b", "external_id": 5}]}', "invalid_input", "tickets[0].external_id"),
    ("id blank", b'{"tickets": [{"text": "a b", "external_id": " "}]}', "invalid_input", "tickets[0].external_id"),
    ("id nul", b'{"tickets": [{"text": "a b", "external_id": "\\u0000"}]}', "invalid_input", "tickets[0].external_id"),
    ("id half", b'{"tickets": [{"text": "a b", "external_id": "\\ud800"}]}', "invalid_input", "tickets[0].external_id"),
    ("id long", json.dumps({"tickets": [{"text": "a", "external_id": "x" * 201}]}).encode(), "invalid_input",
     "tickets[0].external_id"),
    ("id twice", json.dumps({"tickets": [{"text": "a b", "external_id": "x"}] * 2}).encode(), "invalid_input",
     "tickets[1].external_id"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code", "field"), [row[1:] for row in BAD_BODIES], ids=[row[0] for row in BAD_BODIES])
def test_predict_refuses_bad_bodies_and_stores_no_ticket(production, post, body, code, field):
    response = post(body)

    assert_problem(response, 400, code, field)
    assert (Ticket.objects.count(), Prediction.objects.count()) == (0, 0)
    assert ApiRequest.objects.get().code == code


def test_predict_takes_the_largest_call_that_it_promises(production, post):
    response = post({"tickets": ["word " * 2000] * 100})

    assert response.status_code == 200
    assert Prediction.objects.count() == 100


def test_predict_refuses_a_body_over_one_mebibyte(production, post):
    assert_problem(post(b'{"tickets": ["' + b"a" * 1024 * 1024 + b'"]}'), 413, "body_too_large")


def test_predict_names_every_bad_ticket(production, post):
    body = assert_problem(post({"tickets": ["fine text", "", 5]}), 400, "invalid_input")

    assert [error["field"] for error in body["errors"]] == ["tickets[1]", "tickets[2]"]


def test_predict_refuses_another_content_type(production, key):
    response = Client().post(
        "/api/predict", "tickets=a", content_type="text/plain", headers={"authorization": f"Api-Key {key}"}
    )

    assert_problem(response, 415, "not_json")


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options"])
def test_predict_refuses_other_methods(production, key, method):
    response = getattr(Client(), method)("/api/predict", headers={"authorization": f"Api-Key {key}"})

    assert_problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "POST"


def test_predict_refuses_a_query_that_is_no_switch(production, post):
    assert_problem(post({"tickets": THREE}, query="?probabilities=maybe"), 400, "invalid_input", "probabilities")


def test_predict_never_repeats_a_text_in_an_error(production, post):
    response = post({"tickets": ["canary-text-4711", ""]})

    assert b"canary" not in response.content


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Api-Key",
        "Api-Key ",
        "Bearer abc",
        "Api-Key short",
        "Api-Key " + "a" * 8 + "." + "b" * 32,
        "Api-Key \x00",
        "é",
    ],
)
def test_predict_refuses_callers_without_a_good_key(production, header):
    response = Client().post(
        "/api/predict", {"tickets": THREE}, content_type="application/json", headers={"authorization": header}
    )

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Api-Key"
    assert (ApiRequest.objects.count(), Ticket.objects.count()) == (0, 0)
    assert RefusalMinute.objects.get().count == 1


def test_refusals_before_authentication_are_one_row_a_minute(production, monkeypatch):
    from datetime import UTC, datetime

    for _ in range(5):
        RefusalMinute.objects.count_one(code="invalid_key", now=datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC))

    row = RefusalMinute.objects.get()
    assert (row.count, row.minute) == (5, datetime(2026, 1, 1, 12, 0, tzinfo=UTC))


def test_predict_refuses_a_revoked_key(production, post, key):
    from classifier.models import ApiKey

    ApiKey.objects.update(revoked=True)

    assert_problem(post({"tickets": THREE}), 401, "invalid_key")


def test_predict_refuses_an_expired_key(production, post):
    from datetime import UTC, datetime

    expired = factories.make_key("predict", expiry_date=datetime(2020, 1, 1, tzinfo=UTC))[1]

    assert_problem(post({"tickets": THREE}, with_key=expired), 401, "invalid_key")


def test_a_key_is_read_anew_after_half_a_second(production, post, key, monkeypatch):
    from classifier.models import ApiKey

    clock = [1000.0]
    monkeypatch.setattr(authentication.time, "monotonic", lambda: clock[0])
    post({"tickets": THREE})
    ApiKey.objects.update(revoked=True)
    still_cached = post({"tickets": THREE}).status_code
    clock[0] += 0.51

    response = post({"tickets": THREE})

    assert (still_cached, response.status_code) == (200, 401)


def test_predict_needs_the_scope(production, post):
    reader = factories.make_key("read")[1]

    response = post({"tickets": THREE}, with_key=reader)

    assert_problem(response, 403, "scope_missing")
    assert ApiRequest.objects.get().code == "scope_missing"


def test_predict_notes_when_a_key_was_used(production, post):
    from classifier.models import ApiKey

    post({"tickets": THREE})

    assert ApiKey.objects.get().last_used_at is not None


def test_predict_by_a_signed_in_person_needs_the_csrf_token(production):
    client = Client(enforce_csrf_checks=True)
    client.force_login(factories.make_user(is_superuser=True))

    response = client.post("/api/predict", {"tickets": THREE}, content_type="application/json")

    assert response.status_code == 403
    assert Ticket.objects.count() == 0


def test_predict_by_a_signed_in_person_is_on_record(production):
    user = factories.make_user(is_superuser=True)
    client = Client()
    client.force_login(user)

    response = client.post("/api/predict", {"tickets": THREE}, content_type="application/json")

    assert response.status_code == 200
    assert ApiRequest.objects.get().user == user


def test_predict_by_a_person_without_the_permission_is_refused(production):
    client = Client()
    client.force_login(factories.make_user())

    response = client.post("/api/predict", {"tickets": THREE}, content_type="application/json")

    assert_problem(response, 403, "scope_missing")


def test_predict_with_a_damaged_model_answers_503_and_stores_nothing(post, production, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    ModelArtifact.objects.update(content=b"no model")

    body = assert_problem(post({"tickets": THREE}), 503, "model_damaged")

    assert "train anew" in body["detail"]
    assert not Ticket.objects.exists()


def test_predict_without_model_answers_503(post):
    body = assert_problem(post({"tickets": THREE}), 503, "no_model_in_production")

    assert "manage.py train" in body["detail"]


def test_predict_does_not_answer_a_retired_category(production, post):
    Category.objects.filter(slug="billing").update(active=False)

    result = post({"tickets": THREE[:1]}).json()["results"][0]

    assert result["predicted_label"] != "billing"


def test_predict_without_an_active_category_answers_503(production, post):
    Category.objects.update(active=False)

    assert_problem(post({"tickets": THREE}), 503, "no_active_category")


def test_a_promotion_takes_effect_after_half_a_second(production, post, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(inference.time, "monotonic", lambda: clock[0])
    post({"tickets": THREE})
    ModelVersion.objects.filter(pk=production.pk).update(status="archived")
    second = factories.make_version(status="production")
    before = post({"tickets": THREE}).json()["results"][0]["model_version"]
    clock[0] += 0.51

    after = post({"tickets": THREE}).json()["results"][0]["model_version"]

    assert (before, after) == (production.number, second.number)


def test_predict_takes_few_queries(production, post, django_assert_max_num_queries):
    post({"tickets": THREE})

    # On SQLite a transaction of three statements; the key and the version are cached.
    with django_assert_max_num_queries(5):
        post({"tickets": THREE})
