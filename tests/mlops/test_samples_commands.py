"""generate_sample_logs, generate_sample_reports, purge_demo: their words, exit codes, files and JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from classifier.labelling import set_label
from classifier.management.base import BadUsage
from classifier.models import Category, ModelVersion, Prediction, Ticket
from mlops.models import DriftSnapshot
from tests.factories import make_categories, make_version
from tests.mlops.making import NOW

pytestmark = pytest.mark.django_db
WHEN = "--now=2026-11-23T09:30"
GENERATING = ["generate_sample_logs", "generate_sample_reports"]


@pytest.fixture(autouse=True)
def embedded(settings: Any, home: Path) -> None:
    settings.EMBEDDED_DATABASE = True


def told(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def asked(*arguments: str) -> dict[str, Any]:
    return dict(json.loads(told(*arguments, "--json")))


# --- Logs -----------------------------------------------------------------------------------------
def test_logs_without_options_are_a_thousand() -> None:
    words = told("generate_sample_logs", WHEN)

    assert Prediction.objects.filter(is_demo=True).count() == Prediction.objects.count() == 1_000
    assert words.startswith("Made 1,000 predictions of version 1000001 and 40 refused calls, from 2026-11-22 ")
    assert words.endswith("UTC. All are flagged as demo.\n")


def test_logs_as_json_say_what_was_made(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "log.jsonl"

    found = asked("generate_sample_logs", "--num-logs=50", "--seed=3", WHEN, "--output", str(file))

    assert set(found) == {"version", "n_predictions", "n_refused", "first", "last", "seed", "path"}
    assert (found["n_predictions"], found["seed"], found["path"]) == (50, 3, str(file))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 50
    assert (rows[0]["timestamp"][:19], rows[-1]["timestamp"][:19]) == (found["first"][:19], found["last"][:19])


def test_logs_to_a_file_that_cannot_be_written_stay_and_say_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"^The rows are made; their file is not\. .*is a folder"):
        told("generate_sample_logs", "--num-logs=5", "--output", str(tmp_path))
    with pytest.raises(BadUsage, match=r"export_predictions --include-demo"):
        told("generate_sample_logs", "--num-logs=5", "--output", "/proc/no/such.jsonl")

    assert Prediction.objects.count() == 10


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--num-logs=0", "1 to 1,000,000 predictions; 0 were asked for"),
        ("--hours-back=-3", "at most 8,760 hours; asked for: -3"),
        ("--hours-back=nan", "asked for: nan"),
        ("--seed=-1", "--seed must be 0 or more; it is -1"),
        ("--now=soon", "--now must be a moment; 'soon' is none. Wanted a moment such as"),
        ("--now=0001-01-01", "out of range"),
    ],
)
def test_logs_with_an_odd_option_are_refused(option: str, words: str) -> None:
    with pytest.raises(BadUsage) as error:
        told("generate_sample_logs", option)

    assert words in str(error.value)
    assert not Prediction.objects.exists()


# --- Reports --------------------------------------------------------------------------------------
def test_reports_make_a_version_and_no_file(home: Path) -> None:
    words = told("generate_sample_reports", WHEN)

    version = ModelVersion.objects.get()
    assert (version.is_demo, version.number) == (True, 1_000_001)
    assert words.startswith("Made version 1000001, flagged as demo, with scores on ")
    assert "billing" in words
    assert not DriftSnapshot.objects.exists()
    assert not (home / "reports").exists()


def test_reports_with_drift_and_folder_write_three_files(tmp_path: Path) -> None:
    folder = tmp_path / "reports of mine"

    found = asked("generate_sample_reports", "--include-drift", "--output-dir", str(folder), "--seed=2", WHEN)

    assert found["snapshot"] == DriftSnapshot.objects.get().pk
    assert sorted(file.name for file in folder.iterdir()) == sorted(Path(path).name for path in found["files"])
    assert len(found["files"]) == 3
    report = json.loads((folder / "test_classification_report.json").read_text())
    assert report["macro_f1"] == found["macro_f1"]


def test_reports_to_a_folder_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BadUsage, match="--output-dir must be a folder that can be written"):
        told("generate_sample_reports", "--output-dir", str(tmp_path / "file"))


# --- Both -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", GENERATING)
def test_generating_on_a_database_server_wants_a_yes(command: str, settings: Any) -> None:
    settings.EMBEDDED_DATABASE = False

    with pytest.raises(BadUsage, match=r"DATABASE_URL is set, so this may be production.*give --yes"):
        told(command)

    assert not ModelVersion.objects.exists()
    told(command, "--yes")
    assert ModelVersion.objects.get().is_demo


@pytest.mark.parametrize("command", GENERATING)
def test_generating_without_active_categories_says_what_to_do(command: str) -> None:
    make_categories()
    Category.objects.update(active=False)

    with pytest.raises(BadUsage, match="at least 2 active categories; there are 0"):
        told(command)


# --- Purge ----------------------------------------------------------------------------------------
def test_purge_tells_what_it_took() -> None:
    told("generate_sample_logs", "--num-logs=1000", WHEN)

    would, did, again = told("purge_demo", "--dry-run"), told("purge_demo"), told("purge_demo")

    counts = "predictions 1,000, requests 1,040, tickets 1,000, versions 1, categories 5."
    assert would == f"Would remove: {counts}\n"
    assert did == f"Removed: {counts}\n"
    assert again == "There is nothing made up to remove.\n"


def test_purge_as_json_counts() -> None:
    told("generate_sample_logs", "--num-logs=10", WHEN)

    found = asked("purge_demo", "--dry-run")

    assert (found["dry_run"], found["labels"], found["kept"]) == (True, 0, {})
    assert found["removed"]["predictions"] == Prediction.objects.count() == 10


def test_purge_needs_no_yes(settings: Any) -> None:
    told("generate_sample_logs", "--num-logs=10")
    settings.EMBEDDED_DATABASE = False

    told("purge_demo")

    assert not Prediction.objects.exists()


def test_purge_tells_of_labels_that_go_along_and_of_rows_that_stay() -> None:
    told("generate_sample_logs", "--num-logs=10", WHEN)
    labelled, answered = Ticket.objects.all()[:2]
    billing = Category.objects.get(slug="billing")
    set_label(labelled, billing, source="reviewer", now=NOW)
    Prediction.objects.create(
        ticket=answered, version=make_version(), category=billing, confidence=0.9, n_words=4, unknown_share=0
    )

    would, did = told("purge_demo", "--dry-run"), told("purge_demo")

    assert "\nLabels that would go with the tickets, set by people or clients: 1.\n" in would
    assert "\nLabels that went with the tickets, set by people or clients: 1.\n" in did
    assert did.endswith("Kept, as real rows point at them: tickets 1.\n")
    assert did.startswith("Removed: predictions 10, requests 10, tickets 9, versions 1.")
