"""The page of exports and its files: what they hold, who may have them, and odd addresses told in words."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from classifier.labelling import set_label
from classifier.models import Category
from tests.factories import make_categories, make_ticket, make_user, make_version
from tests.mlops.making import small_fit
from tests.mlops.paging import make_answer

pytestmark = pytest.mark.django_db


@pytest.fixture
def exporter(client: Any) -> Any:
    user = make_user("eli")
    user.user_permissions.set(Permission.objects.filter(codename="export_rows"))
    client.force_login(user)
    make_categories()
    return client


def content(answer: Any) -> str:
    assert answer.status_code == 200, answer
    return b"".join(answer.streaming_content).decode("utf-8-sig")


def texts(client: Any, query: str) -> list[str]:
    return [json.loads(line)["text"] for line in content(client.get(f"/exports/{query}")).splitlines()]


def test_page_has_both_forms(exporter):
    page = exporter.get("/exports")

    assert 'action="/exports/tickets"' in page.text
    assert 'action="/exports/predictions"' in page.text
    assert '<option value="30d" selected>30 days</option>' in page.text
    assert "label_source" in page.text


def test_tickets_come_as_csv_that_no_spreadsheet_computes(exporter):
    make_ticket("=1+1", external_id="@a")

    answer = exporter.get("/exports/tickets?format=csv")

    (row,) = csv.DictReader(io.StringIO(content(answer), newline=""))
    assert (row["text"], row["external_id"]) == ("'=1+1", "'@a")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="tickets-20')
    assert answer.headers["Content-Disposition"].endswith('Z.csv"')
    assert answer.headers["Cache-Control"] == "no-store"


def test_tickets_are_filtered(exporter):
    old = make_ticket("A year ago", created_at=timezone.now() - timedelta(days=365))
    new = make_ticket("Where is my refund?")
    make_ticket("Made up", is_demo=True)
    set_label(new, Category.objects.get(slug="billing"), source="agent", now=timezone.now())
    new.refresh_from_db()

    assert texts(exporter, "tickets?format=jsonl") == [new.text]
    assert texts(exporter, "tickets?format=jsonl&range=all") == [old.text, new.text]
    assert texts(exporter, "tickets?format=jsonl&range=all&labelled=no") == [old.text]
    assert texts(exporter, "tickets?format=jsonl&range=all&labelled=yes&category=billing") == [new.text]
    assert texts(exporter, f"tickets?format=jsonl&split={new.split}") == [new.text]
    assert texts(exporter, "tickets?format=jsonl&category=shipping") == []


def test_predictions_are_filtered(exporter):
    version = make_version(model=small_fit().model)
    for slug, days in (("billing", 0), ("billing", 60), ("shipping", 0)):
        make_answer(version, slug, at=timezone.now() - timedelta(days=days), ticket=make_ticket(f"{slug} {days}"))

    assert texts(exporter, "predictions?format=jsonl&range=7d") == ["billing 0", "shipping 0"]
    assert texts(exporter, "predictions?format=jsonl&range=all&category=billing") == ["billing 0", "billing 60"]
    assert content(exporter.get("/exports/predictions?category=general")).startswith("timestamp,prediction_id,")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("range=9y", "The range must be one of"),
        ("category=weather", "The category must be the slug of a category"),
        ("category=%00", "The category must be"),
        ("format=xlsx", "The format must be one of csv, jsonl; the address says “xlsx”. Nothing was exported."),
        ("split=all", "The split must be one of train, validation, test, excluded"),
        ("labelled=perhaps", "The labelled must be one of yes, no"),
    ],
)
def test_address_that_means_nothing_is_told_and_nothing_is_sent(exporter, query, words):
    page = exporter.get(f"/exports/tickets?{query}", follow=True)

    assert page.redirect_chain == [("/exports", 302)]
    (message,) = map(str, page.context["messages"])
    assert message.startswith(words)
    assert message.endswith("Nothing was exported.")


def test_export_of_something_else_is_a_404(exporter):
    assert exporter.get("/exports/users").status_code == 404


@pytest.mark.parametrize("address", ["/exports", "/exports/tickets", "/exports/predictions"])
def test_exports_are_for_those_who_may(client, address):
    assert client.get(address).status_code == 302

    client.force_login(make_user("eve"))

    assert client.get(address).status_code == 403


def test_exports_are_only_read(exporter):
    assert {exporter.post(address).status_code for address in ("/exports", "/exports/tickets")} == {405}
