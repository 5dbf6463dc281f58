"""Try it: what is answered is what is stored, said in words; what should not be kept is not."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from classifier import inference
from classifier.labelling import set_label
from classifier.models import ApiRequest, Category, Label, Prediction, Ticket, User
from tests.factories import make_user, make_version
from tests.mlops.paging import make_answer

pytestmark = pytest.mark.django_db
TEXT = "I was charged twice for my order, please refund one payment"


@pytest.fixture(autouse=True)
def _models(settings: Any, tmp_path: Any) -> Any:
    settings.MODELS_DIR = tmp_path / "models"
    inference.forget_serving()
    yield
    inference.forget_serving()


@pytest.fixture
def production(db: None) -> Any:
    return make_version(status="production", number=7)


def person(*scopes: str) -> User:
    user = make_user("eve")
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"scope_{scope}" for scope in scopes]))
    return user


def test_empty_database_says_what_to_do_next(at):
    page = at.get("/try")

    assert page.status_code == 200
    assert "manage.py train" in page.text
    assert at.post("/try", {"text": TEXT}).status_code == 503


def test_page_says_before_that_a_ticket_is_kept(at, production):
    assert "It is kept as a ticket with its answer" in at.get("/try").text


def test_kept_ticket_is_stored_with_who_asked_and_shown_at_its_address(at, boss, production):
    answer = at.post("/try", {"text": TEXT + "\r\nThanks"})

    prediction = Prediction.objects.select_related("ticket", "request").get()
    assert answer.status_code == 302
    assert answer["Location"] == f"/try?prediction={prediction.pk}"
    assert (prediction.ticket.source, prediction.ticket.text) == ("page", TEXT + "\nThanks")
    assert (prediction.request.user, prediction.request.route) == (boss, "try")
    page = at.get(answer["Location"])
    assert page.context["best"] == "Billing"
    assert page.context["confidence"] in page.text
    assert TEXT in page.text


def test_every_category_has_its_probability_and_they_add_up(at, production):
    page = at.post("/try", {"text": TEXT}, follow=True)

    bars = [*page.context["bars"], *page.context["more_bars"]]
    assert {bar.name for bar in bars} == {"Account", "Billing", "General", "Shipping", "Technical"}
    assert sum(bar.length for bar in bars) == pytest.approx(1)
    assert bars[0].is_best
    assert bars[0].length == pytest.approx(Prediction.objects.get().confidence)


def test_words_are_told_for_the_winner_and_for_any_other(at, production):
    page = at.post("/try", {"text": TEXT}, follow=True)
    assert page.context["about"] == "Billing"
    assert "charged" in {bar.name for bar in page.context["for_it"]}

    page = at.get(f"/try?prediction={Prediction.objects.get().pk}&about=shipping")

    assert page.context["about"] == "Shipping"
    assert "charged" in {bar.name for bar in page.context["against"]}


@pytest.mark.parametrize(
    ("is_review", "words"),
    [(False, "Sure enough to act on."), (True, "Goes to review, because it is not sure enough of this category")],
)
def test_decision_is_told_in_words(at, production, is_review, words):
    prediction = make_answer(production, "billing", at=production.created_at, is_review=is_review)

    assert words in at.get(f"/try?prediction={prediction.pk}").text


def test_ticket_that_should_not_be_kept_leaves_nothing(at, production):
    page = at.post("/try", {"text": TEXT, "unkept": "1"})

    assert page.status_code == 200
    assert page.context["best"] == "Billing"
    assert "Nothing of this was kept" in page.text
    assert "What is right?" not in page.text
    assert not Ticket.objects.exists()
    assert not Prediction.objects.exists()
    assert not ApiRequest.objects.exists()
    page = at.post("/try", {"text": TEXT, "unkept": "1", "about": "shipping"})
    assert page.context["about"] == "Shipping"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Write a ticket first"),
        (" \n\t ", "Write a ticket first"),
        ("x" * 10_001, "Wanted at most 10000 characters; found 10001"),
        ("a\0b", "NUL character"),
        ("?!... --- 🙂", "no letter and no number"),
    ],
)
def test_text_that_cannot_be_answered_is_refused_in_words_and_stays_in_the_field(at, production, text, words):
    page = at.post("/try", {"text": text})

    assert page.status_code == 400
    assert words in page.context["error"]
    assert page.context["given"] == text.replace("\r\n", "\n")
    assert not Ticket.objects.exists()


def test_examples_fill_the_field(at, production):
    page = at.get("/try?example=0")

    assert page.context["given"].startswith("I was charged twice")
    assert at.get("/try?example=99").context["given"] == at.get("/try?example=x").context["given"] == ""


def test_correction_labels_the_ticket_as_an_agent(at, boss, production):
    at.post("/try", {"text": TEXT})
    prediction = Prediction.objects.get()

    page = at.post("/try", {"prediction": prediction.pk, "category": "shipping"}, follow=True)

    assert Label.objects.values_list("ticket", "category__slug", "source", "by").get() == (
        prediction.ticket_id,
        "shipping",
        "agent",
        boss.pk,
    )
    assert "Labelled Shipping by ada, just now." in page.context["label"]


def test_correction_does_not_outrank_a_reviewer(at, production):
    at.post("/try", {"text": TEXT})
    prediction = Prediction.objects.get()
    general = Category.objects.get(slug="general")
    set_label(prediction.ticket, general, source="reviewer", now=prediction.created_at)

    page = at.post("/try", {"prediction": prediction.pk, "category": "shipping"}, follow=True)

    assert "outranks agent" in str(next(iter(page.context["messages"])))
    assert Label.objects.get().category == general


def test_without_the_scope_label_nobody_corrects(client, production):
    client.force_login(person("predict"))

    page = client.post("/try", {"text": TEXT}, follow=True)

    assert page.status_code == 200  # who asked may see the answer without the scope read
    assert "What is right?" not in page.text
    refused = client.post("/try", {"prediction": Prediction.objects.get().pk, "category": "billing"})
    assert refused.status_code == 403
    assert not Label.objects.exists()


def test_answer_of_another_person_needs_the_scope_read(client, production):
    prediction = make_answer(production, "billing", at=production.created_at)
    eve = person("predict", "label")
    client.force_login(eve)

    assert client.get(f"/try?prediction={prediction.pk}").status_code == 403
    assert client.post("/try", {"prediction": prediction.pk, "category": "billing"}).status_code == 403
    eve.user_permissions.add(Permission.objects.get(codename="scope_read"))
    assert client.get(f"/try?prediction={prediction.pk}").status_code == 200


def test_answer_of_a_replaced_version_is_shown_without_its_words(at, production):
    other = make_version(number=8)
    prediction = make_answer(other, "billing", at=other.created_at)

    page = at.get(f"/try?prediction={prediction.pk}")

    assert "Version 8 does not answer any more" in page.text
    assert page.context["bars"] == []


@pytest.mark.parametrize("number", ["x", "0", "-1", "9" * 18, "9" * 40, "%00"])
def test_unknown_answer_is_told(at, production, number):
    page = at.get(f"/try?prediction={number}")

    assert page.status_code == 404
    assert "There is no answer with this number." in page.text


@pytest.mark.parametrize("fields", [{"prediction": "x"}, {"prediction": ""}, {}])
def test_correction_of_nothing_is_told(at, production, fields):
    assert at.post("/try", {**fields, "category": "billing"}).status_code == 404


def test_correction_to_no_category_is_told(at, production):
    prediction = make_answer(production, "billing", at=production.created_at)

    page = at.post("/try", {"prediction": prediction.pk, "category": "no\0where"}, follow=True)

    assert "That is no category" in page.text


def test_page_wants_a_person_who_may_predict(client):
    assert client.get("/try").status_code == 302

    client.force_login(person("read", "label"))

    assert client.get("/try").status_code == 403


def test_texts_are_in_no_log_and_in_no_address(at, production, caplog):
    caplog.set_level(logging.DEBUG)

    for fields in ({}, {"unkept": "1"}):
        page = at.post("/try", {"text": TEXT, **fields}, follow=True)
        assert "charged" not in str(page.redirect_chain)
    at.post("/try", {"text": TEXT + "\0"})

    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("django.db")]
    assert not any("charged" in line for line in logged)


def test_cost_is_bounded(at, production, django_assert_max_num_queries):
    at.post("/try", {"text": TEXT})
    address = f"/try?prediction={Prediction.objects.get().pk}"

    with django_assert_max_num_queries(10):
        at.get(address)
