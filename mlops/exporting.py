"""A frozen dataset as files: train.csv, validation.csv, test.csv, and dataset.json that tells of them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.ml.split import SPLITS
from classifier.ml.text import fingerprint
from classifier.models import Ticket
from classifier.placing import Progress, batches, unseen
from classifier.records import MAX_FIELD
from classifier.writing import whole_folder
from mlops.models import Dataset

COLUMNS = ("id", "external_id", "text", "label")
ABOUT = "dataset.json"
TICKETS_A_QUERY = 500  # with their texts, so some megabytes at most
FILES = (*(f"{split}.csv" for split in SPLITS), ABOUT)


class NotExportable(ValueError):
    """The dataset's tickets are not what they were when it was frozen; the message says what became of them."""


@dataclass(frozen=True)
class Export:
    """What was written: tickets by split and category, how many are missing, the fingerprint of the files."""

    folder: Path
    dataset: Dataset
    counts: dict[str, dict[str, int]]
    missing: int
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """What dataset.json says, in plain JSON types.

        dataset; fingerprint (of the frozen dataset) and fingerprint_of_files, equal if nothing is missing; missing
        (tickets that were deleted since); counts {split: {category: tickets}} of the files; created_at; runs that
        were made from it [{run, status, version}], version null for one that made none.
        """
        runs = self.dataset.runs.order_by("pk").values_list("pk", "status", "version__number")
        return {
            "dataset": self.dataset.pk,
            "fingerprint": self.dataset.fingerprint,
            "fingerprint_of_files": self.fingerprint,
            "missing": self.missing,
            "counts": self.counts,
            "created_at": self.dataset.created_at.isoformat(),
            "runs": [{"run": run, "status": status, "version": version} for run, status, version in runs],
        }


def export_dataset(
    dataset: Dataset,
    folder: Path,
    *,
    skip_missing: bool = False,
    force: bool = False,
    progress: Progress = unseen,
) -> Export:
    """Writes the dataset's splits into a new folder, whole or not at all; the same dataset gives the same bytes.

    skip_missing: tickets that were deleted since are left out. force: an earlier export is replaced. Raises
    NotExportable, InTheWay and OSError.
    """
    with whole_folder(folder, replaced=FILES if force else ()) as fresh:
        counts: dict[str, dict[str, int]] = {}
        missing = 0
        for split in SPLITS:
            label_of = {pk: slug for slug, ids in dataset.members.get(split, {}).items() for pk in ids}
            rows = progress(_rows(label_of), len(label_of), f"Writing {split}")
            counts[split] = _write(fresh / f"{split}.csv", rows)
            missing += len(label_of) - sum(counts[split].values())
        if missing and not skip_missing:
            tickets = "1 of its tickets was" if missing == 1 else f"{missing:,} of its tickets were"
            raise NotExportable(
                f"All tickets of {dataset} must still be there; {tickets} deleted since it was frozen. "
                "Export the others with --skip-missing."
            )
        found = fingerprint(pair for split in SPLITS for pair in _read(fresh / f"{split}.csv"))
        if not missing and found != dataset.fingerprint:
            raise NotExportable(
                f"The files of {dataset} must have its fingerprint {dataset.fingerprint[:12]}...; theirs is "
                f"{found[:12]}..., so texts were changed in the database since. Train anew, and export that dataset."
            )
        export = Export(folder=folder, dataset=dataset, counts=counts, missing=missing, fingerprint=found)
        about = json.dumps(export.as_dict(), indent=2, ensure_ascii=False) + "\n"
        (fresh / ABOUT).write_text(about, encoding="utf-8")
    return export


def _rows(label_of: dict[int, str]) -> Iterator[tuple[int, str | None, str, str]]:
    """The rows of those tickets that are still there, by id."""
    for ids in batches(sorted(label_of), TICKETS_A_QUERY):
        tickets = Ticket.objects.filter(pk__in=ids).order_by("pk")
        for pk, external_id, text in tickets.values_list("pk", "external_id", "text"):
            yield pk, external_id, text, label_of[pk]


def _write(path: Path, rows: Any) -> dict[str, int]:
    """Writes a split's file; gives its tickets by category. Line ends are CR LF: with LF a lone CR goes unquoted."""
    counts: Counter[str] = Counter()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(row)
            counts[row[3]] += 1
    return dict(sorted(counts.items()))


def _read(path: Path) -> Iterator[tuple[str, str]]:
    """The texts and labels of a split's file, as anybody reads it who is given it."""
    csv.field_size_limit(MAX_FIELD)  # a switch of the whole process, and lower than this by default
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, strict=True):
            yield row["text"], row["label"]
