"""`manage.py generate_sample_reports`: a made-up version with its scores and, if asked for, a drift snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from classifier.management.base import BadUsage, TicketclfCommand
from mlops import samples
from mlops.management import demonstrating, tables


class Command(TicketclfCommand):
    help = (
        "Makes up a version of the active categories with all that a training leaves: scores by category, confusion, "
        "thresholds. It has no model, never answers, and cannot be promoted; it is numbered far above the real ones "
        "and flagged as demo. Each run makes another one; manage.py purge_demo removes them all."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--include-drift", action="store_true", help="Also make a drift snapshot of it, with reference and recent."
        )
        parser.add_argument(
            "--output-dir",
            type=Path,
            metavar="DIR",
            help="Also write test_classification_report.json, test_confusion_matrix.png and, with --include-drift, "
            "drift_report.json there.",
        )
        demonstrating.add_options(parser)

    def handle(self, *, include_drift: bool, output_dir: Path | None, seed: int, **options: Any) -> None:
        demonstrating.demand_the_right_place(yes=options["yes"])
        demonstrating.demand_seed(seed)
        now = demonstrating.moment(options["now"])
        try:
            version = samples.make_version(samples.places(), seed=seed, now=now)
        except samples.TooFewCategories as error:
            raise BadUsage(str(error)) from error
        snapshot = samples.make_snapshot(version, seed=seed, now=now) if include_drift else None
        test = version.metrics["test"]
        self.say(
            f"Made {version}, flagged as demo, with scores on {test['n_tickets']:,} made-up tickets",
            *tables.headlines({"test": test}),
            "",
            *tables.categories(test),
            *([f"Made {snapshot}: {snapshot.verdict}. {snapshot.words}"] if snapshot else []),
        )
        files = []
        if output_dir is not None:
            try:
                files = samples.write_files(version, output_dir, snapshot=snapshot)
            except OSError as error:
                raise BadUsage(
                    f"The rows are made; their files are not: --output-dir must be a folder that can be written; "
                    f"{output_dir}: {error.strerror}. Name another."
                ) from error
            self.say(*(f"Wrote {path}" for path in files))
        self.print_json(
            {
                "version": version.number,
                "snapshot": snapshot.pk if snapshot else None,
                "seed": seed,
                "macro_f1": test["macro_f1"],
                "accuracy": test["accuracy"],
                "files": [str(path) for path in files],
            }
        )
