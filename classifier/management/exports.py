"""What the commands that export rows share: their options, the checks of these, and the file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import CommandParser

from classifier import exporting, moments
from classifier.exporting import Export
from classifier.management.base import BadUsage, TicketclfCommand
from classifier.writing import InTheWay, whole_file

STANDARD_OUTPUT = "-"


class ExportCommand(TicketclfCommand):
    """Writes rows of `things` as a file that is there whole or not at all; a subclass says which."""

    things: ClassVar[str]

    def export(self, *, since: datetime | None, until: datetime | None, **options: Any) -> Export[Any]:
        """The rows. since, until, include_demo and what else the command has as options."""
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=exporting.FORMATS, default="jsonl", help="Default: jsonl.")
        parser.add_argument(
            "--output",
            metavar="FILE",
            help=f"The file, or - for standard output (default: exports/{self.things}.FORMAT below TICKETCLF_VAR).",
        )
        parser.add_argument(
            "--since",
            metavar="TIME",
            help="From then on: 2026-11-23 or 2026-11-23T09:30, UTC unless it says otherwise.",
        )
        parser.add_argument("--until", metavar="TIME", help="Before then, in the same form.")
        parser.add_argument("--include-demo", action="store_true", help=f"Made-up {self.things}, too.")
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
        since, until = _moment("--since", options.pop("since")), _moment("--until", options.pop("until"))
        if since is not None and until is not None and since >= until:
            raise BadUsage(f"--since must be before --until; {since} is not before {until}.")
        export = self.export(since=since, until=until, include_demo=include_demo, **options)
        if output == STANDARD_OUTPUT:
            self._write(export, self.stdout, form=form, for_spreadsheet=for_spreadsheet)
            return
        path = Path(output) if output else settings.VAR / "exports" / f"{self.things}.{form}"
        try:
            with whole_file(path) as file:
                self._write(export, file, form=form, for_spreadsheet=for_spreadsheet)
        except InTheWay as error:
            raise BadUsage(str(error)) from error
        except OSError as error:
            raise BadUsage(
                f"--output must be a file that can be written; {path}: {error.strerror}. Name another."
            ) from error
        self.say(f"Wrote {export.n_rows:,} {self.things} to {path}")
        times = {name: moment.isoformat() if moment else None for name, moment in (("since", since), ("until", until))}
        counted = {f"n_{self.things}": export.n_rows}
        self.print_json({"path": str(path), "format": form, **counted, **times, "include_demo": include_demo})

    def _write(self, export: Export[Any], file: Any, *, form: str, for_spreadsheet: bool) -> None:
        rows = self.progress(export.rows(), total=export.n_rows, text="Exporting")
        if form == "csv":
            exporting.write_csv(rows, file, columns=export.columns, for_spreadsheet=for_spreadsheet)
        else:
            exporting.write_jsonl(rows, file)


def _moment(option: str, given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        return moments.parse(given)
    except moments.NoMoment as error:
        raise BadUsage(f"{option} must be a moment; {given!r} is none. {error}") from error
