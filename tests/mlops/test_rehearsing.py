"""`train --dry-run`: each ticket counted once, the data checked, and nothing left behind."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from classifier import importing
from classifier.models import Category, Label, Ticket
from classifier.reading import UnreadableFile
from mlops import gathering, rehearsing, retraining
from mlops.models import Dataset, TrainingRun
from mlops.rehearsing import rehearse
from tests import factories
from tests.mlops.making import NOW, label_tickets, make_trained, rows_of
from tests.mlops.test_commands_mlops import Ended

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
UNUSED = dict.fromkeys(gathering.Reason.values, 0)


def labelled(text: str, slug: str = "billing", *, source: str = "import", split: str = "train", **fields) -> Ticket:
    ticket = factories.make_ticket(text, split=split, group=0, **fields)
    category = factories.make_categories([slug])[0]
    Label.objects.create(ticket=ticket, category=category, source=source, created_at=NOW)
    return ticket


@pytest.fixture
def one_of_each():
    """Forty-two tickets that train, and for each reason to leave one out as many as its place in the list."""
    label_tickets()
    texts = (f"ticket number {number}" for number in range(100))
    for _ in range(1):
        labelled(next(texts), is_demo=True, source="api")
    for _ in range(2):
        factories.make_ticket(next(texts))
    for _ in range(3):
        labelled(next(texts), "weather", source="api")
    Category.objects.filter(slug="weather").update(active=False)
    for _ in range(4):
        labelled(next(texts), source="api")
    for _ in range(5):
        labelled(next(texts), split="excluded")
    for _ in range(6):
        labelled(next(texts), "general")
    corrected = Ticket.objects.filter(split="test", labels__category__slug="billing").first()
    Label.objects.create(
        ticket=corrected, category=Category.objects.get(slug="shipping"), source="api", created_at=NOW, ended_at=NOW
    )


def test_rehearsal_counts_each_ticket_once(one_of_each):
    tally = rehearse().tally

    assert tally.left_out == {
        "demo": 1,
        "without_label": 2,
        "category_retired": 3,
        "unconfirmed": 4,
        "excluded_near_duplicates": 5,
        "category_too_small": 6,
    }
    assert tally.used == {
        "train": {"billing": 10, "shipping": 10, "technical": 10},
        "validation": {"billing": 2, "shipping": 2, "technical": 2},
        "test": {"billing": 2, "shipping": 2, "technical": 2},
    }
    assert tally.n_used + tally.n_left_out == Ticket.objects.count()
    assert tally.n_used == len(gathering.gather().labelled)


def test_rehearsal_counts_labels_of_a_key_alone_as_used_where_a_setting_says_so(one_of_each, settings):
    settings.TRAIN_ON_API_LABELS = True

    found = rehearse()

    assert found.tally.left_out["unconfirmed"] == 0
    assert found.tally.used["train"]["billing"] == 14
    assert found.tally.n_used == found.report.n_rows == 46


def test_tally_reads_no_text_and_takes_two_queries(one_of_each, django_assert_num_queries):
    with django_assert_num_queries(2) as queries:  # the counts, the active categories
        gathering.tally()

    assert not any('"text"' in query["sql"] for query in queries.captured_queries)


def test_rehearsal_of_an_empty_database_adds_up_to_nothing():
    found = rehearse()

    assert (found.tally.n_used, found.tally.left_out, found.report.ok) == (0, UNUSED, False)


def test_rehearsal_leaves_nothing_behind_and_has_the_fingerprint_of_the_training():
    label_tickets()

    found = rehearse()

    assert not TrainingRun.objects.exists()
    assert not Dataset.objects.exists()
    assert found.report.fingerprint == gathering.freeze(gathering.gather()).fingerprint


def test_rehearsal_says_that_retrain_would_skip(settings):
    label_tickets()
    version = make_trained(status="production")
    version.parameters = retraining.training.settings_that_shape("word_char")
    version.save(update_fields=["parameters"])

    same, words = rehearse(), retraining.reason_to_skip(gathering.gather(), recipe="word_char")
    other_recipe = rehearse(recipe="original")
    labelled("one more of them", "shipping")
    settings.SEED = 7
    changed = rehearse()

    assert (same.would_skip, same.why) == (True, words)
    assert not other_recipe.would_skip
    assert "recipe is original and was word_char." in other_recipe.why
    assert not changed.would_skip
    assert changed.why.endswith("seed is 7 and was 0; the labelled tickets are others.")


def test_rehearsal_without_the_datasets_run_says_so():
    label_tickets()
    factories.make_version(status="production", parameters=retraining.training.settings_that_shape("word_char"))

    assert rehearse().why.endswith("its labelled tickets are not known.")


def write(path: Path, *rows: tuple[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def test_rehearsal_with_a_file_tries_the_import_and_undoes_it(tmp_path):
    label_tickets(7)
    path = write(tmp_path / "more.csv", *((text, "billing") for text in rows_of("billing", 14)))

    found = rehearse(data=path)

    assert (found.imported.n_new, found.imported.n_unchanged) == (7, 7)
    assert sum(counts["billing"] for counts in found.tally.used.values()) == 14
    assert (Ticket.objects.count(), Label.objects.count()) == (21, 21)


def test_rehearsal_with_a_file_locks_no_writer_out_while_it_computes(tmp_path, monkeypatch):
    """On SQLite everyone who writes waits for the import, the reading and the counting, and for nothing more."""
    label_tickets(7)
    path = write(tmp_path / "more.csv", *((text, "billing") for text in rows_of("billing", 14)))
    outside, depths = len(connection.savepoint_ids), {}

    def spy(module, name):
        real = getattr(module, name)

        def look(*arguments, **options):
            depths[name] = len(connection.savepoint_ids) - outside
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, look)

    spy(importing, "signatures")
    spy(rehearsing, "gather")
    spy(rehearsing, "tally")
    spy(rehearsing, "validate")
    spy(retraining, "reason_to_skip")
    rehearse(data=path)

    assert depths == {"signatures": 0, "gather": 1, "tally": 1, "validate": 0, "reason_to_skip": 0}


def test_rehearsal_reads_the_texts_once():
    label_tickets()
    make_trained(status="production", parameters=retraining.training.settings_that_shape("word_char"))

    with CaptureQueriesContext(connection) as queries:
        rehearse()

    read = [query["sql"] for query in queries if '"text"' in query["sql"] and '"classifier_label"' in query["sql"]]
    assert len(read) == 1


def test_rehearsal_with_a_file_says_that_nothing_of_it_was_kept(tmp_path):
    found = rehearse(data=write(tmp_path / "more.csv", ("a text", "billing"))).as_dict()

    assert (found["import"]["dry_run"], found["import"]["kept"]) == (True, False)


def test_rehearsal_with_a_bad_file_reports_its_rows(tmp_path):
    label_tickets(7)

    found = rehearse(data=write(tmp_path / "bad.csv", ("a text", "weather")))

    assert not found.report.ok
    assert found.report.findings[0].code == "unknown_label"
    assert found.tally.n_used == 21
    with pytest.raises(UnreadableFile):
        rehearse(data=tmp_path / "missing.csv")


# --- The command ----------------------------------------------------------------------------------
def test_dry_run_prints_counts_reasons_and_what_retrain_would_do(one_of_each):
    ended = Ended("train", "--dry-run")

    lines = ended.out.getvalue().splitlines()
    assert ended.code == 0
    assert "  billing            10           2           2          14" in lines
    assert "  all                30           6           6          42" in lines
    assert "21 tickets would be left out" in lines
    assert "          4  labelled by an API key alone: let an agent or reviewer confirm them" in lines
    assert "retrain would train. No version is in production." in lines
    assert any(line.startswith("Warning: Category 'general' needs 7") for line in lines)


def test_dry_run_json_adds_up(one_of_each):
    found = Ended("train", "--dry-run", "--json").found

    assert found["n_tickets"] == Ticket.objects.count() == found["n_used"] + found["n_left_out"]
    assert found["n_used"] == sum(sum(counts.values()) for counts in found["used"].values())
    assert (found["dry_run"], found["retrain"]["would_skip"], found["import"]) == (True, False, None)
    assert found["fingerprint"] == found["data_report"]["fingerprint"]


def test_dry_run_with_a_file_says_what_is_new(tmp_path):
    label_tickets(7)
    path = write(tmp_path / "more.csv", *((text, "billing") for text in rows_of("billing", 14)))

    ended = Ended("train", "--dry-run", "--data", path)

    assert "  of 14 rows of the file 7 would be new tickets" in ended.out.getvalue()


def test_dry_run_on_nothing_ends_with_1():
    ended = Ended("train", "--dry-run", "--json")

    assert ended.code == 1
    assert "cannot be trained on" in ended.error.getvalue()
    assert ended.found["n_tickets"] == 0
