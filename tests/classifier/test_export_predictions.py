"""`manage.py export_predictions`: the inference log, whole, in order and in few queries."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError

from classifier import exporting
from classifier.labelling import set_label
from classifier.management.base import BadUsage
from classifier.models import ApiRequest, Category, Prediction
from tests import factories

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 4, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def version() -> Any:
    return factories.make_version()


def predict(version: Any, text: str = "Where is my parcel?", *, minutes: int = 0, **fields: Any) -> Prediction:
    """A prediction of shipping at noon, or so many minutes after."""
    at = NOON + timedelta(minutes=minutes)
    ticket = factories.make_ticket(text, external_id=fields.pop("external_id", None))
    request = ApiRequest.objects.create(route="predict", method="POST", status=200, latency_ms=12.5, created_at=at)
    return Prediction.objects.create(
        **{
            "ticket": ticket,
            "version": version,
            "category": Category.objects.get(slug="shipping"),
            "request": request,
            "confidence": 0.75,
            "n_words": 4,
            "unknown_share": 0,
            "created_at": at,
            **fields,
        }
    )


def export(*arguments: object) -> str:
    out = io.StringIO()
    call_command("export_predictions", *map(str, arguments), stdout=out)
    return out.getvalue()


def lines(*arguments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export("--output", "-", *arguments).split("\n") if line]


# --- Rows -----------------------------------------------------------------------------------------
def test_log_tells_of_prediction_ticket_call_and_label(version):
    prediction = predict(version, external_id="zd-1", decision="review", reason="ambiguous")
    set_label(prediction.ticket, Category.objects.get(slug="general"), source="api", now=NOON)
    set_label(prediction.ticket, Category.objects.get(slug="billing"), source="agent", now=NOON)

    assert lines() == [
        {
            "timestamp": "2026-05-04T12:00:00.250000Z",
            "prediction_id": prediction.pk,
            "ticket_id": prediction.ticket_id,
            "external_id": "zd-1",
            "text": "Where is my parcel?",
            "predicted_label": "shipping",
            "confidence": 0.75,
            "decision": "review",
            "reason": "ambiguous",
            "model_version": version.number,
            "latency_ms": 12.5,
            "status_code": 200,
            "label": "billing",
            "is_demo": False,
        }
    ]


def test_log_has_null_for_what_is_not_there(version):
    predict(version, request=None)

    found = lines()[0]

    assert {name for name, value in found.items() if value is None} == {
        "external_id",
        "reason",
        "latency_ms",
        "status_code",
        "label",
    }


def test_log_leaves_demo_rows_out_unless_they_are_asked_for(version):
    predict(version, is_demo=True)

    assert lines() == []
    assert [row["is_demo"] for row in lines("--include-demo")] == [True]


def test_log_begins_at_since_and_ends_before_until(version):
    for minutes in (0, 1, 2):
        predict(version, minutes=minutes)

    found = lines("--since", "2026-05-04T12:01", "--until", "2026-05-04T14:02:00.25+02:00")

    assert [row["timestamp"][11:16] for row in found] == ["12:01"]
    assert len(lines("--since", "2026-05-04", "--until", "2026-05-05")) == 3


def test_log_takes_a_query_for_each_page_and_no_more(version, monkeypatch, django_assert_num_queries):
    predictions = [predict(version, minutes=-minutes) for minutes in range(5)]
    set_label(predictions[0].ticket, Category.objects.get(slug="billing"), source="agent", now=NOON)
    monkeypatch.setattr(exporting, "PAGE", 2)

    with django_assert_num_queries(4):  # how many there are, and three pages
        found = lines()

    assert [row["prediction_id"] for row in found] == [prediction.pk for prediction in predictions]


def test_log_ends_with_what_was_there_when_it_was_asked_for(version):
    predict(version)
    log = exporting.log()
    predict(version)

    assert len(list(log.rows())) == log.n_rows == 1


# --- Files ----------------------------------------------------------------------------------------
def test_file_is_below_the_var_folder_by_default(version, settings, tmp_path):
    settings.VAR = tmp_path
    predict(version)

    said = export()
    found = json.loads(export("--json", "--format", "csv", "--since", "2026-05-04"))

    path = tmp_path / "exports" / "predictions.jsonl"
    assert said == f"Wrote 1 predictions to {path}\n"
    assert json.loads(path.read_text("utf-8"))["text"] == "Where is my parcel?"
    assert found == {
        "path": str(tmp_path / "exports" / "predictions.csv"),
        "format": "csv",
        "n_predictions": 1,
        "since": "2026-05-04T00:00:00+00:00",
        "until": None,
        "include_demo": False,
    }


def test_csv_has_the_same_columns_and_any_text_comes_back(version, tmp_path):
    texts = ['"quoted", with\nlines\rand\r\nmore', "=1+1", "Ünï\u2028code \U0001f600", " spaces "]
    for text in texts:
        predict(version, text)

    export("--format", "csv", "--output", tmp_path / "log.csv")

    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [row["text"] for row in rows] == texts
    assert list(rows[0]) == list(lines()[0])
    assert rows[0]["label"] == ""


def test_csv_for_a_spreadsheet_has_no_formulas(version):
    for text in ('=HYPERLINK("http://x")', "+1", "-1", "@a", "\tx", "plain"):
        predict(version, text, external_id=f"={text}")

    rows = list(
        csv.DictReader(io.StringIO(export("--format", "csv", "--for-spreadsheet", "--output", "-"), newline=""))
    )

    assert [row["text"][0] for row in rows] == ["'"] * 5 + ["p"]
    assert {row["external_id"][:2] for row in rows} == {"'="}
    assert rows[0]["confidence"] == "0.75"


def test_failure_leaves_the_earlier_file(version, tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    path.write_text("earlier")
    predict(version)
    predict(version)

    def fail(value, **_options):
        if value["prediction_id"] != Prediction.objects.earliest("pk").pk:
            raise IntegrityError
        return "{}"

    monkeypatch.setattr(exporting.json, "dumps", fail)

    with pytest.raises(IntegrityError):
        export("--output", path)

    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]
    assert path.read_text() == "earlier"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--for-spreadsheet"], "--for-spreadsheet is for csv"),
        (["--output", "-", "--json"], "both want standard output"),
        (["--since", "yesterday"], "'yesterday' is none"),
        (["--since", "0001-01-01T00:00:00+14:00"], "of the years 1 to 9999 in UTC"),
        (["--until", "9999-12-31T23:59:59-14:00"], "of the years 1 to 9999 in UTC"),
        (["--since", "2026-05-04", "--until", "2026-05-04T00:00Z"], "must be before --until"),
        (["--output", os.devnull], "must be a file or free"),
        (["--output", f"{os.devnull}/file"], "File exists"),
    ],
)
def test_bad_usage_is_said_and_writes_nothing(arguments, words):
    with pytest.raises(BadUsage, match=words):
        export(*arguments)


def test_reader_that_goes_away_ends_a_command_without_a_word(tmp_path: Path):
    root = Path(__file__).resolve().parent.parent.parent
    process = subprocess.Popen(
        [sys.executable, "manage.py", "validate_data"],
        cwd=root,
        env={**os.environ, "TICKETCLF_VAR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()

    assert (process.wait(timeout=60), complaint) == (141, b"")
