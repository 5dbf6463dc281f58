"""`manage.py train`: a candidate from all labelled tickets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from classifier.management.base import Refused, TicketclfCommand
from mlops import rehearsing, retraining, training
from mlops.management import tables
from mlops.management.telling import failures_in_one_line, let_alias_follow, plainly, stopped_by_hand
from mlops.models import TrainingRun


class Command(TicketclfCommand):
    help = (
        "Trains a version on all labelled tickets: validates them, fits and tunes on the train and validation splits, "
        "scores the test split, keeps model and reports, and records all of it in MLflow. It stops at a candidate "
        "(see promote), except that a first version which passes the gate goes to production at once. It always "
        "trains, also when nothing has changed. Exit code 1 if the labelled tickets cannot be trained on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--recipe",
            choices=training.RECIPES,
            help="How a text becomes numbers: word_char (words and pieces of words) or original (the system that this "
            "one re-creates, for comparison). Without it, what RECIPE in the environment says.",
        )
        parser.add_argument(
            "--data",
            type=Path,
            metavar="FILE",
            help="A CSV or JSONL file of tickets (text, label) to import first, all or none, as import_tickets does; "
            "its labels must be categories that exist. The training is then on all labelled tickets, not on it alone.",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Train nothing and make no run: count the tickets that would be used and, by reason, those that would "
            "not, validate them, and say whether retrain would skip them as unchanged. With --data the import is "
            "tried, too, and undone.",
        )

    def handle(self, *, recipe: str | None, data: Path | None, dry_run: bool, **_options: Any) -> None:
        if dry_run:
            self._rehearse(recipe, data)
            return
        with stopped_by_hand(), failures_in_one_line():
            run = training.train(
                trigger=TrainingRun.Trigger.COMMAND, recipe=recipe, data=data, progress=plainly(self.stderr)
            )
            outcome = retraining.settle_first(run)
        if outcome is not None and outcome.promotion is not None:
            let_alias_follow(plainly(self.stderr))
        if run.version is None:
            self.print_json(tables.run_as_dict(run))
            raise Refused(f"These labelled tickets cannot be trained on. {run.outcome}")
        run.version.refresh_from_db()
        self.say(*tables.trained(run, run.version))
        self.print_json(tables.run_as_dict(run))

    def _rehearse(self, recipe: str | None, data: Path | None) -> None:
        with failures_in_one_line():
            found = rehearsing.rehearse(recipe=recipe, data=data)
        self.say(*tables.rehearsed(found))
        self.print_json(found.as_dict())
        if not found.report.ok:
            raise Refused("These labelled tickets cannot be trained on.")
