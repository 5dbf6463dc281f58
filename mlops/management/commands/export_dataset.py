"""`manage.py export_dataset`: a frozen dataset as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.ml.split import SPLITS
from classifier.writing import InTheWay
from mlops import exporting
from mlops.models import Dataset


class Command(TicketclfCommand):
    help = (
        "Writes what a training was made from: train.csv, validation.csv and test.csv with the columns "
        f"{', '.join(exporting.COLUMNS)}, and dataset.json with fingerprint, counts, runs and versions. All of it or "
        "nothing. import_tickets takes each file back unchanged (--external-id-column external_id); that is why "
        "nothing in it is escaped for spreadsheets: do not open texts that customers wrote in one. Exit code 1 if "
        "tickets were deleted or changed since."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, metavar="N", help="The dataset's number, as the pages of runs show it.")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="DIR",
            help="The new folder (default: exports/dataset-N below TICKETCLF_VAR).",
        )
        parser.add_argument("--skip-missing", action="store_true", help="Leave out tickets that were deleted since.")
        parser.add_argument("--force", action="store_true", help="Replace an earlier export in that folder.")

    def handle(self, *, number: int, output: Path | None, **options: Any) -> None:
        dataset = Dataset.objects.filter(pk=number).first()
        if dataset is None:
            newest = Dataset.objects.values_list("pk", flat=True)[:10]
            raise BadUsage(
                f"There is no dataset {number}. The newest ones: {', '.join(map(str, newest)) or 'none yet'}."
            )
        folder = output or settings.VAR / "exports" / f"dataset-{number}"
        try:
            export = exporting.export_dataset(
                dataset,
                folder,
                skip_missing=options["skip_missing"],
                force=options["force"],
                progress=self.progress,
            )
        except exporting.NotExportable as error:
            raise Refused(str(error)) from error
        except InTheWay as error:
            raise BadUsage(str(error)) from error
        except OSError as error:
            raise BadUsage(
                f"--output must be a folder that can be written; {folder}: {error.strerror}. Name another."
            ) from error
        sizes = ", ".join(f"{split} {sum(export.counts[split].values()):,}" for split in SPLITS)
        self.say(
            f"Wrote {dataset} to {folder}: {sizes}",
            f"Fingerprint  {export.fingerprint}",
            *([f"{export.missing:,} tickets were deleted since and are missing."] if export.missing else []),
        )
        self.print_json({"folder": str(folder), **export.as_dict()})
