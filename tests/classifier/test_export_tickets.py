"""`manage.py export_tickets` and the stream of a page: which tickets and columns, safe to open, in constant memory."""

from __future__ import annotations

import csv
import io
import json
import os
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command

from classifier import exporting
from classifier.labelling import set_label
from classifier.management.base import BadUsage
from classifier.models import Category, Ticket
from tests.factories import make_categories, make_ticket

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 4, 12, 0, 0, 250_000, tzinfo=UTC)


def export(*arguments: object) -> str:
    out = io.StringIO()
    call_command("export_tickets", *map(str, arguments), stdout=out)
    return out.getvalue()


def lines(*arguments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export("--output", "-", *arguments).split("\n") if line]


def texts(**chosen: Any) -> list[str]:
    return [row["text"] for row in exporting.tickets(**chosen).rows()]


def labelled(text: str, slug: str = "billing", **fields: Any) -> Ticket:
    make_categories()
    ticket = make_ticket(text, created_at=NOON, **fields)
    set_label(ticket, Category.objects.get(slug=slug), source="agent", now=NOON)
    ticket.refresh_from_db()
    return ticket


def test_ticket_is_told_with_its_current_label():
    ticket = labelled("Where is my refund?", "shipping", external_id="zd-1")
    set_label(ticket, Category.objects.get(slug="billing"), source="reviewer", now=NOON)

    assert lines() == [
        {
            "id": ticket.pk,
            "external_id": "zd-1",
            "text": "Where is my refund?",
            "label": "billing",
            "label_source": "reviewer",
            "split": ticket.split,
            "created_at": "2026-05-04T12:00:00.250000Z",
            "is_demo": False,
        }
    ]


def test_ticket_without_a_label_has_null():
    make_ticket("Where is it?")

    (row,) = lines()

    assert {name for name, value in row.items() if value is None} == {"external_id", "label", "label_source", "split"}


def test_removed_text_stays_empty():
    make_ticket("The text was removed on 2026-11-23.", text_removed_at=NOON)

    assert lines()[0]["text"] is None
    assert next(csv.DictReader(io.StringIO(export("--output", "-", "--format", "csv"))))["text"] == ""


def test_filters_leave_out_what_is_not_asked_for():
    first = labelled("A refund, please", "billing")
    labelled("The parcel is late, where has it gone?", "shipping")
    make_ticket("No label here", created_at=NOON + timedelta(hours=1))
    make_ticket("Made up", is_demo=True)

    assert len(texts()) == 3
    assert texts(include_demo=True)[-1] == "Made up"
    assert texts(category="billing") == ["A refund, please"]
    assert texts(is_labelled=False) == ["No label here"]
    assert len(texts(is_labelled=True)) == 2
    assert first.text in texts(split=first.split)
    assert texts(split="excluded") == []
    assert texts(since=NOON + timedelta(minutes=1)) == ["No label here"]
    assert len(texts(until=NOON + timedelta(minutes=1))) == 2


def test_each_ticket_is_told_once_though_its_label_was_corrected(monkeypatch):
    monkeypatch.setattr(exporting, "PAGE", 2)
    for number in range(5):
        ticket = labelled(f"Ticket {number} of a kind", "billing")
        set_label(ticket, Category.objects.get(slug="shipping"), source="reviewer", now=NOON)

    export_of_all = exporting.tickets(category="shipping")

    assert [row["id"] for row in export_of_all.rows()] == list(
        Ticket.objects.order_by("pk").values_list("pk", flat=True)
    )
    assert export_of_all.n_rows == 5


def test_file_is_below_the_var_folder_by_default(settings, tmp_path):
    settings.VAR = tmp_path
    make_ticket()

    found = json.loads(export("--json", "--format", "csv"))

    assert found == {
        "path": str(tmp_path / "exports" / "tickets.csv"),
        "format": "csv",
        "n_tickets": 1,
        "since": None,
        "until": None,
        "include_demo": False,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--for-spreadsheet"], "--for-spreadsheet is for csv"),
        (["--output", "-", "--json"], "both want standard output"),
        (["--since", "yesterday"], "'yesterday' is none"),
        (["--since", "2026-05-04", "--until", "2026-05-04T00:00Z"], "must be before --until"),
        (["--output", os.devnull], "must be a file or free"),
    ],
)
def test_bad_usage_is_said(arguments, words):
    with pytest.raises(BadUsage, match=words):
        export(*arguments)


# --- The stream of a page -------------------------------------------------------------------------
def test_stream_of_csv_has_no_formulas_and_its_header_when_empty():
    empty = b"".join(exporting.stream(exporting.tickets(), form="csv"))
    make_ticket('=HYPERLINK("http://x")', external_id="+1")

    content = b"".join(exporting.stream(exporting.tickets(), form="csv")).decode("utf-8-sig")

    assert empty.decode("utf-8-sig") == ",".join(exporting.TICKET_COLUMNS) + "\r\n"
    (row,) = csv.DictReader(io.StringIO(content, newline=""))
    assert (row["text"], row["external_id"]) == ('\'=HYPERLINK("http://x")', "'+1")


def test_stream_of_jsonl_has_the_texts_as_they_are():
    make_ticket("=1+1 Ünï\u2028code")

    (row,) = b"".join(exporting.stream(exporting.tickets(), form="jsonl")).decode().strip().split("\n")

    assert json.loads(row)["text"] == "=1+1 Ünï\u2028code"


def test_stream_holds_a_page_and_no_more(monkeypatch):
    monkeypatch.setattr(exporting, "PAGE", 100)
    Ticket.objects.bulk_create(
        Ticket(text="word " * 400, text_digest=f"{number:032}", created_at=NOON) for number in range(4000)
    )
    export_of_all = exporting.tickets()

    tracemalloc.start()
    size = sum(len(piece) for piece in exporting.stream(export_of_all, form="csv"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size > 8_000_000
    assert peak < 2_000_000  # a page of 200 kB and a piece of 64 kB; the whole would be 8 MB
