"""`manage.py generate_sample_logs`: a made-up inference log, for pages to show something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from classifier import exporting
from classifier.management.base import BadUsage, TicketclfCommand
from classifier.writing import InTheWay, whole_file
from mlops import samples
from mlops.management import demonstrating


class Command(TicketclfCommand):
    help = (
        "Makes up tickets and predictions, each in a call of its own with a latency of 50 to 500 ms, and some calls "
        "that were refused or failed, spread over the hours before now as a day has them. They are spread over the "
        "active categories, hang on a demo version that never answers, are flagged as demo everywhere and left out of "
        "every figure. A second run adds as many again; manage.py purge_demo removes them all."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--num-logs", type=int, default=1_000, metavar="N", help="Predictions to make (default: 1000)."
        )
        parser.add_argument(
            "--hours-back", type=float, default=24.0, metavar="HOURS", help="How far they reach back (default: 24)."
        )
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="Also write them as JSONL, in the form of export_predictions."
        )
        demonstrating.add_options(parser)

    def handle(self, *, num_logs: int, hours_back: float, output: Path | None, **options: Any) -> None:
        demonstrating.demand_the_right_place(yes=options["yes"])
        demonstrating.demand_seed(options["seed"])
        now = demonstrating.moment(options["now"])
        try:
            log = samples.make_log(
                n_predictions=num_logs, hours_back=hours_back, seed=options["seed"], now=now, progress=self.progress
            )
        except (ValueError, OverflowError) as error:  # OverflowError: before the year 1
            raise BadUsage(str(error)) from error
        self.say(
            f"Made {log.n_predictions:,} predictions of {log.version} and {log.n_refused:,} refused calls, from "
            f"{log.first:%Y-%m-%d %H:%M} to {log.last:%Y-%m-%d %H:%M} UTC. All are flagged as demo.",
        )
        if output is not None:
            self._write(log, output)
        self.print_json(
            {
                "version": log.version.number,
                "n_predictions": log.n_predictions,
                "n_refused": log.n_refused,
                "first": log.first.isoformat(),
                "last": log.last.isoformat(),
                "seed": options["seed"],
                "path": str(output) if output else None,
            }
        )

    def _write(self, log: samples.SampleLog, output: Path) -> None:
        try:
            with whole_file(output) as file:
                exporting.write_jsonl(log.rows(), file)
        except InTheWay as error:
            raise BadUsage(f"The rows are made; their file is not. {error}") from error
        except OSError as error:
            raise BadUsage(
                f"The rows are made; their file is not: {output}: {error.strerror}. Write it to another place with "
                "manage.py export_predictions --include-demo --output FILE."
            ) from error
        self.say(f"Wrote {output}")
