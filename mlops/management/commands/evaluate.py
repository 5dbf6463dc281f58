"""`manage.py evaluate`: how good a version is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from classifier.inference import load
from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.ml.artifact import DamagedModel
from classifier.ml.scoring import Scores
from classifier.models import ModelVersion
from classifier.reading import Columns, UnreadableFile, read
from mlops import evaluation
from mlops.management import tables

GONE = "these tickets were deleted since, so the numbers are not those that were stored."
UNUSABLE = "rows without a text or a label."
SEEN = "includes training rows, so it flatters"


class Command(TicketclfCommand):
    help = (
        "Scores a version and writes <split>_classification_report.json and <split>_confusion_matrix.png. Without "
        "--version it takes the one in production, else the newest candidate; without --split all tickets that the "
        "version was made with, marked as including training rows; a bare --split means test, the only split that no "
        "version has seen: its numbers are those that training stored."
    )

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        # Django has a --version of its own, which prints Django's; here the word belongs to the models.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--split",
            nargs="?",
            const="test",
            choices=(*evaluation.SPLITS, evaluation.ALL),
            help="Which of the version's tickets; without a value, test.",
        )
        parser.add_argument("--version", type=int, metavar="N", help="The version's number.")
        parser.add_argument(
            "--data", type=Path, metavar="FILE", help="Score a CSV or JSONL file (text, label) instead of own tickets."
        )
        parser.add_argument("--text-column", default="text", help="The file's column of texts (default: text).")
        parser.add_argument("--label-column", default="label", help="The file's column of labels (default: label).")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="DIR",
            help="Folder of the two files; without it, reports below TICKETCLF_VAR.",
        )

    def handle(self, *, split: str | None, version: int | None, data: Path | None, **options: Any) -> None:
        if data is not None and split is not None:
            raise BadUsage("--data and --split exclude each other: a file has no splits. Leave one of them out.")
        chosen = _version(version)
        what = split or ("test" if data is not None else evaluation.ALL)
        columns = Columns(text=options["text_column"], label=options["label_column"])
        try:
            scores, n_given = _of_file(chosen, data, columns) if data is not None else _of_split(chosen, what)
        except UnreadableFile as error:
            raise BadUsage(str(error)) from error
        except (evaluation.NothingToScore, DamagedModel) as error:
            raise Refused(str(error)) from error
        seen = data is None and what != "test"
        left_out = n_given - scores.n_tickets
        about = {
            "version": chosen.number,
            "split": str(data) if data is not None else what,
            "includes_training_rows": seen,
            "left_out": left_out,
        }
        folder = options["output"] or settings.REPORTS_DIR
        try:
            files = evaluation.write_report(scores, folder, prefix=evaluation.PREFIXES[what], about=about)
        except OSError as error:
            raise BadUsage(f"--output must be a folder that can be written; {folder}: {error.strerror}.") from error
        found = scores.as_dict()
        self.say(
            f"{str(chosen).capitalize()} ({chosen.status}) on {about['split']}: {scores.n_tickets:,} tickets"
            + (f" ({SEEN})" if seen else ""),
            *tables.headlines({what: found}),
            "",
            *tables.categories(found),
            "",
            *([f"{left_out:,} left out: {GONE if data is None else UNUSABLE}"] if left_out else []),
            *(f"Wrote {path}" for path in files),
        )
        self.print_json({**about, **found, "files": [str(path) for path in files]})


def _of_split(version: ModelVersion, split: str) -> tuple[Scores, int]:
    """The scores, and how many tickets the split had when it was frozen."""
    counts = evaluation.dataset_of(version).counts
    splits = evaluation.SPLITS if split == evaluation.ALL else (split,)
    return evaluation.evaluate(version, split), sum(sum(counts[name].values()) for name in splits)


def _of_file(version: ModelVersion, path: Path, columns: Columns) -> tuple[Scores, int]:
    """The scores, and how many rows the file has."""
    rows = list(read(path, columns=columns))
    return evaluation.evaluate_rows(load(version), rows), len(rows)


def _version(number: int | None) -> ModelVersion:
    if number is not None:
        found = ModelVersion.objects.filter(number=number).first()
        if found is None:
            known = ", ".join(str(row.number) for row in ModelVersion.objects.all()[:10]) or "none yet: run train"
            raise BadUsage(f"There is no version {number}. The newest ones: {known}.")
        return found
    found = ModelVersion.objects.in_production().first() or ModelVersion.objects.candidates().first()
    if found is None:
        raise Refused("There is no version to evaluate yet. Train one with: manage.py train")
    return found
