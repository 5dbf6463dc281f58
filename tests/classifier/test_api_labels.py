"""Labels by the API: whose word counts as what, what a repeated and a weaker word does, and what is refused."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client

from classifier.labelling import set_label
from classifier.models import ApiRequest, Category, Label, Prediction, Ticket
from tests import factories
from tests.classifier.test_api_predict import assert_problem

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HUGE = 2**63  # the first number that no column of ours holds


@pytest.fixture
def categories(db: None) -> dict[str, Category]:
    return {category.slug: category for category in factories.make_categories()}


@pytest.fixture
def ticket(categories: Any) -> Ticket:
    return factories.make_ticket()


@pytest.fixture
def label_key(db: None) -> str:
    return factories.make_key("label", name="help desk")[1]


@pytest.fixture
def prediction(ticket: Ticket, production: Any) -> Prediction:
    category = Category.objects.get(slug="shipping")
    return Prediction.objects.create(
        ticket=ticket, version=production, category=category, confidence=0.9, n_words=4, unknown_share=0
    )


def send(method: str, path: str, body: Any = None, *, key: str | None = None, client: Client | None = None) -> Any:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    headers = {"authorization": f"Api-Key {key}"} if key else {}
    return getattr(client or Client(), method)(path, content, content_type="application/json", headers=headers)


def put(ticket: Ticket | int, body: Any, **by: Any) -> Any:
    return send("put", f"/api/tickets/{getattr(ticket, 'pk', ticket)}/label", body, **by)


def post(prediction: Prediction | int, body: Any, **by: Any) -> Any:
    return send("post", f"/api/predictions/{getattr(prediction, 'pk', prediction)}/feedback", body, **by)


def get(ticket: Ticket | int, key: str) -> Any:
    return Client().get(f"/api/tickets/{getattr(ticket, 'pk', ticket)}", headers={"authorization": f"Api-Key {key}"})


def signed_in(*permissions: str, name: str = "ada") -> Client:
    user = factories.make_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


# --- Setting a label ------------------------------------------------------------------------------
def test_put_label_by_a_key_labels_as_api(ticket, label_key):
    response = put(ticket, {"label": "billing"}, key=label_key)

    label = Label.objects.get()
    assert response.status_code == 200
    assert response.json() == {
        "label": "billing",
        "source": "api",
        "by": "API key help desk",
        "since": label.created_at.isoformat().replace("+00:00", "Z"),
        "confirmed": False,
        "ticket": ticket.pk,
        "new": True,
        "split": "train",
    }
    assert (label.ticket, label.category.slug, label.source, label.by) == (ticket, "billing", "api", None)
    assert label.key_id == label_key[:8]
    assert ApiRequest.objects.values_list("route", "method", "status", "code").get() == ("label", "PUT", 200, "")


def test_put_label_again_answers_200_and_writes_no_second_row(ticket, label_key):
    first = put(ticket, {"label": "billing"}, key=label_key).json()

    response = put(ticket, {"label": " BILLING\t"}, key=label_key)

    assert response.status_code == 200
    assert response.json() == {**first, "new": False}
    assert Label.objects.count() == 1


def test_put_label_takes_a_categorys_name(ticket, label_key):
    Category.objects.filter(slug="billing").update(name="Rechnung & Straße")

    assert put(ticket, {"label": "rechnung & STRASSE"}, key=label_key).json()["label"] == "billing"


def test_put_label_corrects_and_erases_nothing(ticket, label_key):
    put(ticket, {"label": "billing"}, key=label_key)

    response = put(ticket, {"label": "shipping"}, key=label_key)

    assert (response.json()["label"], response.json()["new"]) == ("shipping", True)
    old, new = Label.objects.order_by("pk")
    assert (old.category.slug, old.ended_at is None) == ("billing", False)
    assert (new.category.slug, new.ended_at) == ("shipping", None)


@pytest.mark.parametrize(
    ("permissions", "source"),
    [(["scope_label"], "agent"), (["scope_label", "change_ticket"], "reviewer")],
)
def test_put_label_by_a_person_labels_as_what_they_may_be(ticket, permissions, source):
    response = put(ticket, {"label": "billing"}, client=signed_in(*permissions))

    assert response.status_code == 200
    assert {name: response.json()[name] for name in ("source", "by", "confirmed")} == {
        "source": source,
        "by": "ada",
        "confirmed": True,
    }
    assert Label.objects.get().by.username == "ada"


def test_put_label_by_a_person_confirms_what_a_key_said(ticket, label_key):
    put(ticket, {"label": "billing"}, key=label_key)
    assert not Label.objects.for_training().exists()

    response = put(ticket, {"label": "billing"}, client=signed_in("scope_label"))

    assert response.json()["new"] is True
    assert Label.objects.for_training().get().source == "agent"


@pytest.mark.parametrize("standing", ["import", "agent", "reviewer"])
def test_put_label_by_a_key_does_not_outrank_people(ticket, categories, label_key, standing):
    set_label(ticket, categories["shipping"], source=standing, now=NOW)

    body = assert_problem(put(ticket, {"label": "billing"}, key=label_key), 409, "label_outranked")

    assert f"labelled 'shipping' by {standing}, which outranks api" in body["detail"]
    assert list(Label.objects.values_list("category__slug", "source", "ended_at")) == [("shipping", standing, None)]


def test_put_label_that_a_better_source_said_already_answers_that(ticket, categories, label_key):
    set_label(ticket, categories["shipping"], source="reviewer", now=NOW)

    body = put(ticket, {"label": "shipping"}, key=label_key).json()

    assert (body["source"], body["new"], body["since"]) == ("reviewer", False, "2026-05-04T12:00:00Z")


# --- Feedback -------------------------------------------------------------------------------------
def test_feedback_corrects_a_prediction(prediction, label_key):
    response = post(prediction, {"label": "billing"}, key=label_key)

    assert response.status_code == 200
    assert (response.json()["label"], response.json()["ticket"]) == ("billing", prediction.ticket_id)
    assert Label.objects.get().category.slug == "billing"
    assert ApiRequest.objects.get().route == "feedback"


def test_feedback_confirms_a_prediction(prediction, label_key):
    first = post(prediction, {"correct": True}, key=label_key)
    again = post(prediction, {"correct": True}, key=label_key)

    assert (first.json()["label"], first.json()["new"], again.json()["new"]) == ("shipping", True, False)
    assert Label.objects.count() == 1


def test_feedback_on_a_category_retired_since_is_refused(prediction, label_key):
    Category.objects.filter(slug="shipping").update(active=False)

    assert_problem(post(prediction, {"correct": True}, key=label_key), 409, "category_retired", "label")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"label": "billing", "correct": True}, "body"),
        ({"correct": False}, "correct"),
        ({"correct": 1}, "correct"),
        ({"correct": "true"}, "correct"),
        ({"correct": None}, "correct"),
        ({"correct": [[]]}, "correct"),
        ({"label": None}, "label"),
        ({"label": "billing", "other": 1}, "other"),
    ],
)
def test_feedback_that_says_not_exactly_one_thing_is_refused(prediction, label_key, body, field):
    assert_problem(post(prediction, body, key=label_key), 400, "invalid_input", field)
    assert not Label.objects.exists()


def test_feedback_by_a_signed_in_person_needs_the_csrf_token(prediction):
    client = Client(enforce_csrf_checks=True)
    client.force_login(factories.make_user(is_superuser=True))

    assert post(prediction, {"correct": True}, client=client).status_code == 403


# --- What is refused ------------------------------------------------------------------------------
def test_unknown_label_is_refused_with_the_nearest_slug(ticket, label_key):
    body = assert_problem(put(ticket, {"label": "biling"}, key=label_key), 400, "invalid_input", "label")

    assert body["errors"][0]["code"] == "unknown_label"
    assert "Did you mean 'billing'?" in body["detail"]
    assert "biling" not in body["detail"].replace("billing", "")


def test_label_like_no_other_is_refused_with_where_to_look(ticket, label_key):
    body = assert_problem(put(ticket, {"label": "weather"}, key=label_key), 400, "invalid_input", "label")

    assert "GET /api/categories" in body["detail"]


def test_label_for_a_ticket_whose_text_was_removed_is_refused(prediction, label_key):
    ticket = prediction.ticket
    Ticket.objects.update(text="Removed.", text_removed_at=NOW)

    answers = [put(ticket, {"label": "billing"}, key=label_key), post(prediction, {"correct": True}, key=label_key)]

    for answer in answers:
        body = assert_problem(answer, 409, "text_removed")
        assert body["detail"].startswith(f"A label needs the ticket's text; that of ticket {ticket.pk} was removed")
    assert not Label.objects.exists()


def test_ticket_says_when_its_text_was_removed(ticket):
    key = factories.make_key("read")[1]
    before = get(ticket, key).json()
    Ticket.objects.update(text="Removed.", text_removed_at=NOW)

    after = get(ticket, key).json()

    assert (before["text"], before["text_removed_at"]) == (ticket.text, None)
    assert (after["text"], after["text_removed_at"]) == ("Removed.", "2026-05-04T12:00:00Z")


def test_retired_label_is_refused(ticket, label_key):
    Category.objects.create(slug="bill", name="Bill", active=False)

    body = assert_problem(put(ticket, {"label": "bill"}, key=label_key), 409, "category_retired", "label")

    assert body["errors"][0]["detail"] == "It is retired. Did you mean 'billing'?"
    assert not Label.objects.exists()


@pytest.mark.parametrize("number", [0, 999, HUGE - 1, HUGE, 10**30, "9" * 5000])
def test_unknown_numbers_are_404(categories, label_key, number):
    key = factories.make_key("read", "label")[1]

    assert_problem(put(number, {"label": "billing"}, key=key), 404, "not_found")
    assert_problem(post(number, {"correct": True}, key=key), 404, "not_found")
    assert_problem(get(number, key), 404, "not_found")


BAD_BODIES = [
    ("blank", b" ", "malformed_json", None),
    ("cut off", b'{"label": "a', "malformed_json", None),
    ("not utf-8", '{"label": "é"}'.encode("latin-1"), "not_utf8", None),
    ("deep", b'{"label": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json_too_deep", None),
    ("less deep", b'{"label": ' + b"[" * 500 + b"]" * 500 + b"}", "invalid_input", "label"),
    ("nan", b'{"label": NaN}', "malformed_json", None),
    ("huge number", b'{"label": ' + b"9" * 5000 + b"}", "malformed_json", None),
    ("a list", b'["label"]', "invalid_input", "body"),
    ("null", b"null", "invalid_input", "body"),
    ("nothing", b"{}", "invalid_input", "label"),
    ("a number", b'{"label": 1}', "invalid_input", "label"),
    ("an object", b'{"label": {"slug": "billing"}}', "invalid_input", "label"),
    ("empty", b'{"label": ""}', "invalid_input", "label"),
    ("white", b'{"label": " \\n\\u00a0"}', "invalid_input", "label"),
    ("nul", b'{"label": "bill\\u0000ing"}', "invalid_input", "label"),
    ("lone surrogate", b'{"label": "\\ud800"}', "invalid_input", "label"),
    ("long", json.dumps({"label": "a" * 101}).encode(), "invalid_input", "label"),
    ("very long", json.dumps({"label": "a" * 900_000}).encode(), "invalid_input", "label"),
    ("unknown odd field", b'{"label": "billing", "\\ud800\\u0000": 1}', "invalid_input", "?\x00"),
]


@pytest.mark.parametrize(("body", "code", "field"), [row[1:] for row in BAD_BODIES], ids=[row[0] for row in BAD_BODIES])
def test_bad_bodies_are_refused_and_label_nothing(ticket, label_key, body, code, field):
    assert_problem(put(ticket, body, key=label_key), 400, code, field)
    assert not Label.objects.exists()
    assert ApiRequest.objects.get().code == code


def test_body_over_one_mebibyte_is_refused(ticket, label_key):
    assert_problem(put(ticket, b'{"label": "' + b"a" * 1024 * 1024 + b'"}', key=label_key), 413, "body_too_large")


def test_another_content_type_is_refused(ticket, prediction, label_key):
    headers = {"authorization": f"Api-Key {label_key}"}
    plain = Client().put(f"/api/tickets/{ticket.pk}/label", "x", content_type="text/plain", headers=headers)
    form = Client().post(f"/api/predictions/{prediction.pk}/feedback", {"correct": "true"}, headers=headers)

    assert_problem(plain, 415, "not_json")
    assert_problem(form, 415, "not_json")


@pytest.mark.parametrize("scope", ["predict", "read", "run", "promote", "metrics"])
def test_labels_need_their_scope(prediction, scope):
    key = factories.make_key(scope)[1]

    assert_problem(put(prediction.ticket, {"label": "billing"}, key=key), 403, "scope_missing")
    assert_problem(post(prediction, {"correct": True}, key=key), 403, "scope_missing")
    assert_problem(put(prediction.ticket, {"label": "billing"}, client=signed_in()), 403, "scope_missing")
    assert_problem(put(prediction.ticket, {"label": "billing"}), 401, "not_authenticated")


def test_ticket_deleted_meanwhile_is_404(ticket, label_key, monkeypatch):
    def deleted(*_given, **_named):
        raise Ticket.DoesNotExist

    monkeypatch.setattr("classifier.api.labels.labelling.set_label", deleted)

    assert_problem(put(ticket, {"label": "billing"}, key=label_key), 404, "not_found")


# --- At the same moment ---------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_placed", [False, True])
def test_labels_of_one_ticket_at_the_same_moment_leave_one_current(is_placed):
    categories = factories.make_categories()
    ticket = factories.make_ticket()
    if is_placed:
        set_label(ticket, categories[0], source="api", now=NOW)
    keys = [factories.make_key("label", name=category.slug)[1] for category in categories]
    gate, answers = threading.Barrier(len(keys)), []

    def call(key: str, slug: str) -> None:
        gate.wait()
        answers.append(put(ticket, {"label": slug}, key=key))
        connection.close()

    threads = [
        threading.Thread(target=call, args=[key, category.slug]) for key, category in zip(keys, categories, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {200}
    assert Label.objects.current().count() == 1
    assert Label.objects.count() == sum(answer.json()["new"] for answer in answers) + is_placed
    assert {answer.json()["split"] for answer in answers} == {"train"}


# --- Reading a ticket -----------------------------------------------------------------------------
def test_ticket_tells_all_that_was_said_and_answered(prediction, categories, label_key, django_assert_num_queries):
    ticket = prediction.ticket
    put(ticket, {"label": "billing"}, key=label_key)
    put(ticket, {"label": "shipping"}, client=signed_in("scope_label", "change_ticket"))
    review = {"decision": "review", "reason": "ambiguous"}
    Prediction.objects.create(
        ticket=ticket, version=prediction.version, category=categories["general"], confidence=0.4, n_words=4,
        unknown_share=0, **review,
    )  # fmt: skip
    key = factories.make_key("read")[1]
    get(ticket, key)  # from now on the key is cached

    with django_assert_num_queries(4):  # ticket, labels, predictions, and the record of the request
        response = get(ticket, key)

    body = response.json()
    assert response.status_code == 200
    assert (body["id"], body["text"], body["external_id"]) == (ticket.pk, ticket.text, None)
    assert (body["source"], body["is_demo"], body["split"]) == ("api", False, "train")
    assert (body["label"]["label"], body["label"]["source"], body["label"]["by"]) == ("shipping", "reviewer", "ada")
    assert [(row["label"], row["by"], row["until"] is None) for row in body["labels"]] == [
        ("shipping", "ada", True),
        ("billing", "API key help desk", False),
    ]
    assert [(row["predicted_label"], row["decision"], row["reason"]) for row in body["predictions"]] == [
        ("general", "review", "ambiguous"),
        ("shipping", "auto", None),
    ]
    assert body["predictions"][1]["model_version"] == prediction.version.number


def test_ticket_without_a_label_says_null(ticket):
    body = get(ticket, factories.make_key("read")[1]).json()

    assert (body["label"], body["labels"], body["predictions"], body["split"]) == (None, [], [], None)


def test_ticket_needs_the_scope_read(ticket, label_key):
    assert_problem(get(ticket, label_key), 403, "scope_missing")


def test_ticket_shows_a_bounded_number_of_predictions(prediction, monkeypatch):
    monkeypatch.setattr("classifier.api.labels.MAX_PREDICTIONS", 1)
    Prediction.objects.create(
        ticket=prediction.ticket, version=prediction.version, category=prediction.category, confidence=0.5, n_words=4,
        unknown_share=0,
    )  # fmt: skip

    body = get(prediction.ticket, factories.make_key("read")[1]).json()

    assert [row["confidence"] for row in body["predictions"]] == [0.5]


# --- The schema -----------------------------------------------------------------------------------
def test_schema_tells_what_is_answered(prediction, label_key):
    key = factories.make_key("read", "label")[1]
    schema = Client().get("/api/schema/?format=json", headers={"authorization": f"Api-Key {key}"}).json()
    parts = schema["components"]["schemas"]

    told = put(prediction.ticket, {"label": "billing"}, key=key).json()
    whole = get(prediction.ticket, key).json()

    assert set(parts["LabelAnswer"]["properties"]) == set(told) == set(parts["LabelAnswer"]["required"])
    assert set(parts["TicketAnswer"]["properties"]) == set(whole)
    assert set(parts["PastLabel"]["properties"]) == set(whole["labels"][0])
    assert set(parts["TicketPrediction"]["properties"]) == set(whole["predictions"][0])
    assert set(parts["LabelSource"]["enum"]) == {"import", "agent", "api", "reviewer"}
    responses = schema["paths"]["/api/tickets/{ticket_id}/label"]["put"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "404", "409", "413", "415"}
    assert set(responses["409"]["content"]) == {"application/problem+json"}
