"""`manage.py export_predictions`: the inference log as a file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from classifier import exporting, moments
from classifier.management.base import BadUsage, TicketclfCommand
from classifier.writing import InTheWay, whole_file

STANDARD_OUTPUT = "-"


class Command(TicketclfCommand):
    help = (
        f"Writes the inference log, one row a prediction, oldest first: {', '.join(exporting.COLUMNS)}. Times are "
        "UTC; latency_ms and status_code are those of the call that the prediction came in; label is the ticket's "
        "current label, if it has one. The file is there whole or not at all, and replaces an earlier one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=exporting.FORMATS, default="jsonl", help="Default: jsonl.")
        parser.add_argument(
            "--output",
            metavar="FILE",
            help="The file, or - for standard output (default: exports/predictions.FORMAT below TICKETCLF_VAR).",
        )
        parser.add_argument(
            "--since",
            metavar="TIME",
            help="From then on: 2026-11-23 or 2026-11-23T09:30, UTC unless it says otherwise.",
        )
        parser.add_argument("--until", metavar="TIME", help="Before then, in the same form.")
        parser.add_argument("--include-demo", action="store_true", help="Made-up predictions, too.")
        parser.add_argument(
            "--for-spreadsheet",
            action="store_true",
            help="With csv: put ' before what a spreadsheet would take for a formula (customers write these texts).",
        )

    def handle(self, *, output: str | None, include_demo: bool, **options: Any) -> None:
        form, for_spreadsheet = options["format"], options["for_spreadsheet"]
        if for_spreadsheet and form != "csv":
            raise BadUsage("--for-spreadsheet is for csv; this is jsonl. Give --format csv, or leave it out.")
        if output == STANDARD_OUTPUT and self.as_json:
            raise BadUsage("--json and --output - both want standard output. Name a file, or leave --json out.")
        since, until = _moment("--since", options["since"]), _moment("--until", options["until"])
        if since is not None and until is not None and since >= until:
            raise BadUsage(f"--since must be before --until; {since} is not before {until}.")
        log = exporting.log(since=since, until=until, include_demo=include_demo)

        def write(file: Any) -> None:
            rows = self.progress(log.rows(), total=log.n_rows, text="Exporting")
            if form == "csv":
                exporting.write_csv(rows, file, for_spreadsheet=for_spreadsheet)
            else:
                exporting.write_jsonl(rows, file)

        if output == STANDARD_OUTPUT:
            write(self.stdout)
            return
        path = Path(output) if output else settings.VAR / "exports" / f"predictions.{form}"
        try:
            with whole_file(path) as file:
                write(file)
        except InTheWay as error:
            raise BadUsage(str(error)) from error
        except OSError as error:
            raise BadUsage(
                f"--output must be a file that can be written; {path}: {error.strerror}. Name another."
            ) from error
        self.say(f"Wrote {log.n_rows:,} predictions to {path}")
        times = {name: moment.isoformat() if moment else None for name, moment in (("since", since), ("until", until))}
        self.print_json(
            {"path": str(path), "format": form, "n_predictions": log.n_rows, **times, "include_demo": include_demo}
        )


def _moment(option: str, given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        return moments.parse(given)
    except moments.NoMoment as error:
        raise BadUsage(f"{option} must be a moment; {given!r} is none. {error}") from error
