"""`manage.py export_dataset`: the frozen splits as files that come back unchanged, whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from classifier.labelling import import_tickets
from classifier.ml.text import fingerprint
from classifier.models import Category, Label, Ticket
from classifier.reading import Columns, read
from mlops import exporting, gathering
from mlops.models import Dataset
from tests import factories
from tests.mlops.making import NOW, label_tickets, make_trained
from tests.mlops.test_commands_mlops import Ended

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
FILES = ["dataset.json", "test.csv", "train.csv", "validation.csv"]
ODD_TEXTS = (
    '"Quoted", with\ncommas\rand\r\nall line ends',
    "=HYPERLINK(1)",
    "  white space  \t ",
    "Ünï\u2028code \U0001f600 \u200b",
    "'single' ; semicolons",
)


@pytest.fixture
def dataset() -> Dataset:
    label_tickets()
    for number, text in enumerate(ODD_TEXTS):
        ticket = factories.make_ticket(text, split="train", group=0, external_id=f"=id {number}")
        Label.objects.create(
            ticket=ticket, category=Category.objects.get(slug="billing"), source="agent", created_at=NOW
        )
    return gathering.freeze(gathering.gather())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_export_writes_the_frozen_splits(dataset, home):
    export = exporting.export_dataset(dataset, home / "out")

    assert names(home / "out") == FILES
    for split in ("train", "validation", "test"):
        found = rows(home / "out" / f"{split}.csv")
        assert [int(row["id"]) for row in found] == sorted(pk for ids in dataset.members[split].values() for pk in ids)
        assert export.counts[split] == dataset.counts[split]
    texts = dict(Ticket.objects.values_list("pk", "text"))
    train = rows(home / "out" / "train.csv")
    assert all(row["text"] == texts[int(row["id"])] for row in train)
    assert [row["external_id"] for row in train[-5:]] == [f"=id {number}" for number in range(5)]
    assert list(train[0]) == ["id", "external_id", "text", "label"]


def test_export_tells_of_itself(home):
    label_tickets()
    version = make_trained()
    dataset = Dataset.objects.get()

    exporting.export_dataset(dataset, home / "out")

    assert json.loads((home / "out" / "dataset.json").read_text("utf-8")) == {
        "dataset": dataset.pk,
        "fingerprint": dataset.fingerprint,
        "fingerprint_of_files": dataset.fingerprint,
        "missing": 0,
        "counts": dataset.counts,
        "created_at": dataset.created_at.isoformat(),
        "runs": [{"run": version.run.pk, "status": "succeeded", "version": version.number}],
    }


def test_export_has_the_fingerprint_that_anybody_finds_in_its_files(dataset, home):
    exporting.export_dataset(dataset, home / "out")

    found = [row for split in ("train", "validation", "test") for row in rows(home / "out" / f"{split}.csv")]
    assert fingerprint((row["text"], row["label"]) for row in found) == dataset.fingerprint


def test_export_twice_gives_the_same_bytes(dataset, home):
    exporting.export_dataset(dataset, home / "one")
    exporting.export_dataset(dataset, home / "two")

    for name in FILES:
        assert (home / "one" / name).read_bytes() == (home / "two" / name).read_bytes()


def test_export_keeps_the_labels_of_then(dataset, home):
    label = Label.objects.filter(category__slug="billing", ticket__split="test").first()
    Label.objects.filter(pk=label.pk).update(category=Category.objects.get(slug="shipping"))

    exporting.export_dataset(dataset, home / "out")

    found = {int(row["id"]): row["label"] for row in rows(home / "out" / "test.csv")}
    assert found[label.ticket_id] == "billing"


def test_exported_file_comes_back_unchanged(dataset, home):
    exporting.export_dataset(dataset, home / "out")
    columns = Columns(external_id="external_id")
    paths = [home / "out" / f"{split}.csv" for split in ("train", "validation", "test")]

    here = [import_tickets(read(path, columns=columns), seed=0) for path in paths]
    Label.objects.all().delete()
    before = set(Ticket.objects.values_list("text", "external_id"))
    Ticket.objects.all().delete()
    elsewhere = [import_tickets(read(path, columns=columns), seed=0) for path in paths]

    assert sum(report.n_unchanged for report in here) == sum(report.n_rows for report in here) == 47
    assert sum(report.n_new for report in elsewhere) == 47
    assert set(Ticket.objects.values_list("text", "external_id")) == before


# --- What became of the tickets -------------------------------------------------------------------
def test_export_with_tickets_deleted_since_is_refused_unless_they_are_skipped(dataset, home):
    gone = Ticket.objects.filter(split="test").first()
    Ticket.objects.filter(pk=gone.pk).delete()

    with pytest.raises(exporting.NotExportable, match="1 of its tickets was deleted since"):
        exporting.export_dataset(dataset, home / "out")
    assert not (home / "out").exists()
    export = exporting.export_dataset(dataset, home / "out", skip_missing=True)

    about = json.loads((home / "out" / "dataset.json").read_text("utf-8"))
    assert (export.missing, about["missing"]) == (1, 1)
    assert about["fingerprint"] == dataset.fingerprint != about["fingerprint_of_files"]
    assert len(rows(home / "out" / "test.csv")) == 5


def test_export_of_a_text_changed_since_is_refused(dataset, home):
    Ticket.objects.filter(pk=Ticket.objects.first().pk).update(text="something else")

    with pytest.raises(exporting.NotExportable, match="texts were changed"):
        exporting.export_dataset(dataset, home / "out", skip_missing=True)
    assert not (home / "out").exists()


# --- The command ----------------------------------------------------------------------------------
def test_command_writes_below_the_var_folder(dataset, home):
    ended = Ended("export_dataset", dataset.pk)

    folder = home / "exports" / f"dataset-{dataset.pk}"
    assert ended.code == 0
    assert ended.out.getvalue().splitlines() == [
        f"Wrote dataset {dataset.pk} to {folder}: train 35, validation 6, test 6",
        f"Fingerprint  {dataset.fingerprint}",
    ]
    assert names(folder) == FILES


def test_command_json_is_what_the_file_says(dataset, home):
    found = Ended("export_dataset", dataset.pk, "--json", "--output", home / "out").found

    assert found.pop("folder") == str(home / "out")
    assert found == json.loads((home / "out" / "dataset.json").read_text("utf-8"))


def test_command_replaces_an_earlier_export_with_force_and_nothing_else(dataset, home):
    Ended("export_dataset", dataset.pk, "--output", home / "out")

    again = Ended("export_dataset", dataset.pk, "--output", home / "out")
    forced = Ended("export_dataset", dataset.pk, "--output", home / "out", "--force")
    (home / "out" / "notes.txt").write_text("mine")
    other = Ended("export_dataset", dataset.pk, "--output", home / "out", "--force")

    assert (again.code, forced.code, other.code) == (2, 0, 2)
    assert "replace it with --force" in again.error.getvalue()
    assert "it has 'notes.txt'" in other.error.getvalue()
    assert (home / "out" / "notes.txt").exists()


def test_command_says_what_is_missing(dataset, home):
    Ticket.objects.filter(split="test").delete()

    refused = Ended("export_dataset", dataset.pk)
    skipped = Ended("export_dataset", dataset.pk, "--skip-missing")

    assert refused.code == 1
    assert "6 of its tickets were deleted" in refused.error.getvalue()
    assert "6 tickets were deleted since and are missing." in skipped.out.getvalue()
    assert rows(home / "exports" / f"dataset-{dataset.pk}" / "test.csv") == []


def test_command_names_the_datasets_that_there_are(dataset, home):
    unknown = Ended("export_dataset", dataset.pk + 1)
    unwritable = Ended("export_dataset", dataset.pk, "--output", "/dev/null/folder")

    assert (unknown.code, unwritable.code) == (2, 2)
    assert f"The newest ones: {dataset.pk}." in unknown.error.getvalue()
    assert "must be a folder that can be written" in unwritable.error.getvalue()
