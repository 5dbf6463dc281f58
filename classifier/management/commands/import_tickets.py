"""`manage.py import_tickets`: labelled tickets out of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from classifier.labelling import ImportReport, import_tickets
from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.reading import Columns, UnreadableFile, read

SHOWN = 10  # refusals, and names of new categories: --json has more


class Command(TicketclfCommand):
    help = (
        "Brings labelled tickets into the database from a CSV file (separated by comma, semicolon or tab) or a JSONL "
        "file (by its ending .jsonl, .ndjson or .json: one object a line). All rows or none, unless --skip-bad is "
        "given; the same file a second time adds nothing. A ticket is the same if its external id is or, without "
        "one, its text (case, white space and invisible characters apart); the same text with another label is a "
        "conflict and refused. Labels are the slugs or names of categories, whatever their case."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="The CSV or JSONL file, in UTF-8.")
        parser.add_argument("--dry-run", action="store_true", help="Try everything and keep nothing.")
        parser.add_argument("--create-categories", action="store_true", help="Make a category for each unknown label.")
        parser.add_argument("--skip-bad", action="store_true", help="Keep the good rows although others are refused.")
        parser.add_argument("--text-column", default="text", metavar="NAME", help="Column of texts (default: text).")
        parser.add_argument(
            "--label-column", default="label", metavar="NAME", help="Column of labels (default: label)."
        )
        parser.add_argument("--external-id-column", metavar="NAME", help="Column of your own ids (default: none).")

    def handle(self, *, file: Path, **options: Any) -> None:
        columns = Columns(
            text=options["text_column"], label=options["label_column"], external_id=options["external_id_column"]
        )
        try:
            report = import_tickets(
                self.progress(read(file, columns=columns), text="Reading"),
                seed=settings.SEED,
                dry_run=options["dry_run"],
                create_categories=options["create_categories"],
                skip_bad=options["skip_bad"],
                now=timezone.now(),
                progress=self.progress,
            )
        except UnreadableFile as error:
            raise BadUsage(str(error)) from error
        self.say(*_lines(report))
        self.print_json({"path": str(file), **report.as_dict()})
        if not report.accepted:
            rows = "row was" if report.n_refused == 1 else "rows were"
            mend = "Mend them." if options["skip_bad"] else "Mend them, or keep the others with --skip-bad."
            raise Refused(f"All rows must be good; {report.n_refused:,} {rows} refused, so nothing was kept. {mend}")


def _lines(report: ImportReport) -> list[str]:
    """The report for people."""
    counts = {
        "Rows": report.n_rows,
        "New tickets": report.n_new,
        "Newly labelled": report.n_labelled,
        "Unchanged": report.n_unchanged,
        "Refused": report.n_refused,
    }
    lines = [f"{name:<16}{count:>9,}" for name, count in counts.items()]
    lines += _table("Category", report.per_category) + _table("Split", report.per_split)
    if made := report.categories_created:
        more = f" and {len(made) - SHOWN:,} more" if len(made) > SHOWN else ""
        lines += ["", f"Categories made: {', '.join(made[:SHOWN])}{more}"]
    lines += ["", *report.notes] if report.notes else []
    if report.refusals:
        lines += _table("Refused because", report.n_refused_by_code)
        lines += ["", *(str(refusal) for refusal in report.refusals[:SHOWN])]
    if report.n_refused > SHOWN:
        lines.append(f"and {report.n_refused - SHOWN:,} more (--json names the first hundred).")
    if report.accepted:
        lines += ["", "Nothing was kept: this was a dry run." if report.dry_run else "Kept."]
    return lines


def _table(title: str, counts: Any) -> list[str]:
    width = max([24, *(len(name) for name in counts)])
    return ["", title, *(f"  {name:<{width}}{count:>9,}" for name, count in counts.items())] if counts else []
