"""`manage.py evaluate`: how good a version is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandParser

from classifier.inference import load
from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.ml.artifact import DamagedModel
from classifier.ml.split import SPLITS
from classifier.models import ModelVersion
from classifier.reading import Columns, UnreadableFile, read
from mlops import evaluation, modelfolder
from mlops.evaluation import Tickets
from mlops.figures import PREFIXES
from mlops.management import tables
from mlops.management.choosing import version_meant

if TYPE_CHECKING:
    from classifier.ml.model import TextModel

GONE = "these tickets were deleted since, so the numbers are not those that were stored."
UNUSABLE = "rows without a text or a label."


@dataclass(frozen=True, eq=False)
class Chosen:
    """The model to score. version: None for a file that no version of ours has; origin: of a file, in words."""

    model: TextModel
    version: ModelVersion | None
    name: str
    origin: str = ""
    sha256: str = ""

    @property
    def warnings(self) -> list[str]:
        words = evaluation.library_warning(self.version) if self.version else ""
        return [words] if words else []


@dataclass(frozen=True)
class Asked:
    """The tickets to score on. seen: how many of them the model was trained on; None if nobody can know."""

    tickets: Tickets
    what: str
    prefix: str
    left_out: int
    seen: int | None


class Command(TicketclfCommand):
    help = (
        "Scores a version and writes <split>_classification_report.json and <split>_confusion_matrix.png. It takes the "
        "version in production, else the newest candidate, unless --version, --mlflow-run-id or --model-dir names "
        "another. Without --split it takes all tickets that the version was made with, marked as including training "
        "rows; a bare --split means test, the only split that no version has seen: its numbers are those that training "
        "stored, and a version of before the page Model quality then keeps what it said of each ticket, which that "
        "page shows. Intervals are of 95 %, by bootstrap over the tickets."
    )

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        # Django has a --version of its own, which prints Django's; here the word belongs to the models.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **options)

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--version", type=int, metavar="N", help="The version's number.")
        which.add_argument(
            "--mlflow-run-id", metavar="ID", help="The version of this MLflow run; MLflow itself is not asked."
        )
        which.add_argument(
            "--model-dir",
            type=Path,
            metavar="DIR",
            help="A folder with one model file (.npz), such as one copied from another machine. With --data, unless "
            "the file is that of a version here.",
        )
        parser.add_argument(
            "--split",
            nargs="?",
            const="test",
            choices=(*SPLITS, evaluation.ALL),
            help="Which of the version's tickets; without a value, test.",
        )
        parser.add_argument(
            "--data", type=Path, metavar="FILE", help="Score a CSV or JSONL file (text, label) instead of own tickets."
        )
        parser.add_argument("--text-column", default="text", help="The file's column of texts (default: text).")
        parser.add_argument("--label-column", default="label", help="The file's column of labels (default: label).")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="DIR",
            help="Folder of the two files, and of nothing else; without it, reports below TICKETCLF_VAR.",
        )

    def handle(self, *, split: str | None, data: Path | None, output: Path | None, **options: Any) -> None:
        if data is not None and split is not None:
            raise BadUsage("--data and --split exclude each other: a file has no splits. Leave one of them out.")
        columns = Columns(text=options["text_column"], label=options["label_column"])
        try:
            chosen = _choose(options)
            asked = _split(chosen, split or evaluation.ALL) if data is None else _file(chosen, data, columns)
            scores = evaluation.evaluate_tickets(chosen.model, asked.tickets)
        except (UnreadableFile, modelfolder.NotOneModel) as error:
            raise BadUsage(str(error)) from error
        except (evaluation.NothingToScore, DamagedModel) as error:
            raise Refused(str(error)) from error
        about = _about(chosen, asked)
        folder = output or settings.REPORTS_DIR
        try:
            files = evaluation.write_report(scores, folder, prefix=asked.prefix, about=about)
        except OSError as error:
            raise BadUsage(f"--output must be a folder that can be written; {folder}: {error.strerror}.") from error
        found = scores.as_dict()
        kept = _restore(chosen, split)
        gone = f"{asked.left_out:,} left out: {UNUSABLE if data is not None else GONE}"
        self.say(
            *([chosen.origin] if chosen.origin else []),
            f"{chosen.name} on {asked.what}: {scores.n_tickets:,} tickets{_flattery(asked)}",
            *tables.headlines({asked.what: found}),
            "",
            *tables.categories(found),
            "",
            *([gone] if asked.left_out else []),
            *(f"Warning: {words}" for words in chosen.warnings),
            *(f"Wrote {path}" for path in files),
            *([kept] if kept else []),
        )
        self.print_json({**about, **found, "files": [str(path) for path in files]})


def _restore(chosen: Chosen, split: str | None) -> str:
    """Has a version of before test answers were kept keep them, and says so; empty where nothing is lacking."""
    version = chosen.version
    if version is None or split != "test" or version.test_answers:
        return ""
    try:
        n = evaluation.restore_test_answers(version)
    except evaluation.NothingToScore as error:
        return f"Its answers are not kept for the page Model quality: {error}"
    return f"Kept what it said of {n:,} test tickets, for the page Model quality."


def _about(chosen: Chosen, asked: Asked) -> dict[str, Any]:
    """What the numbers are of."""
    about = {
        "version": chosen.version.number if chosen.version else None,
        "split": asked.what,
        "includes_training_rows": None if asked.seen is None else asked.seen > 0,
        "training_rows": asked.seen,
        "left_out": asked.left_out,
        "warnings": chosen.warnings,
    }
    return {**about, "origin": chosen.origin, "sha256": chosen.sha256} if chosen.origin else about


def _flattery(asked: Asked) -> str:
    if asked.seen is None:
        return " (whether it was trained on some of them is unknown)"
    return f" (includes training rows, {asked.seen:,} of them, so it flatters)" if asked.seen else ""


# --- Which model ----------------------------------------------------------------------------------
def _choose(options: dict[str, Any]) -> Chosen:
    if options["model_dir"] is not None:
        file = modelfolder.read_folder(options["model_dir"])
        return Chosen(file.model, file.version, str(file.path), origin=file.origin, sha256=file.sha256)
    if options["mlflow_run_id"] is not None:
        version = _of_run(options["mlflow_run_id"])
    else:
        version = version_meant(options["version"], to="evaluate")
    return Chosen(load(version), version, f"{str(version).capitalize()} ({version.status})")


def _of_run(run_id: str) -> ModelVersion:
    """The version of an MLflow run: our row knows the run, so MLflow need not answer."""
    recorded = ModelVersion.objects.exclude(mlflow_run_id="")
    found = recorded.filter(mlflow_run_id=run_id).first()
    if found is None:
        run_ids = recorded.values_list("mlflow_run_id", flat=True)[:5]
        known = ", ".join(run_ids) or "none, as no version was recorded in MLflow"
        raise BadUsage(f"There is no version of the MLflow run {run_id!r}. The newest runs with one: {known}.")
    return found


# --- On which tickets -----------------------------------------------------------------------------
def _split(chosen: Chosen, split: str) -> Asked:
    if chosen.version is None:
        raise BadUsage(
            f"A model file that is no version's here has no tickets of its own. {chosen.origin} Name some with --data."
        )
    tickets = evaluation.own_tickets(chosen.version, split)
    learnt = set(evaluation.ids_of(evaluation.dataset_of(chosen.version), *evaluation.TRAINED_ON))
    return Asked(
        tickets=tickets,
        what=split,
        prefix=PREFIXES[split],
        left_out=tickets.missing,
        seen=len(learnt.intersection(tickets.ids)),
    )


def _file(chosen: Chosen, path: Path, columns: Columns) -> Asked:
    rows = list(read(path, columns=columns))
    tickets = evaluation.tickets_of_rows(rows, known=chosen.model.categories)
    try:
        seen = evaluation.count_seen(chosen.version, tickets.texts) if chosen.version else None
    except evaluation.NothingToScore:  # a version without frozen tickets: what it was trained on is not known
        seen = None
    return Asked(
        tickets=tickets,
        what=str(path),
        prefix=PREFIXES["test"],
        left_out=len(rows) - len(tickets.texts),
        seen=seen,
    )
