"""`manage.py retrain`: the whole way, from labels to production."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from classifier.management.base import Refused, TicketclfCommand
from mlops import retraining, training
from mlops.management import tables
from mlops.management.telling import failures_in_one_line, let_alias_follow, plainly, stopped_by_hand
from mlops.models import TrainingRun


class Command(TicketclfCommand):
    help = (
        "Trains a version as train does, judges it against the one in production on the same test tickets, and "
        "promotes it if it passed the gate and AUTO_PROMOTE is on (it is unless the environment says otherwise). "
        "Does nothing, and says so, if labelled tickets, recipe, seed and what else shapes a model are those of the "
        "version in production, or of a candidate that the gate has judged against it and kept. "
        "Exit code 0 whether the candidate was promoted or kept; 1 if the tickets cannot be trained on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--recipe", choices=training.RECIPES, help="See train. Without it, what RECIPE in the environment says."
        )

    def handle(self, *, recipe: str | None, **_options: Any) -> None:
        with stopped_by_hand(), failures_in_one_line():
            outcome = retraining.run(trigger=TrainingRun.Trigger.COMMAND, recipe=recipe, progress=plainly(self.stderr))
        if outcome.promotion is not None:
            let_alias_follow(plainly(self.stderr))
        run = outcome.run
        if run.version is not None:
            run.version.refresh_from_db()
            self.say(*tables.trained(run, run.version))
        else:
            self.say(outcome.words)
        verdict = outcome.verdict.as_dict() if outcome.verdict else None
        self.print_json(
            {"decision": outcome.decision, "words": outcome.words, "verdict": verdict, **tables.run_as_dict(run)}
        )
        if outcome.decision == "rejected":
            raise Refused(f"These labelled tickets cannot be trained on. {run.outcome}")
