"""`manage.py validate_data`: whether a file's tickets are fit to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from classifier.checking import Checked, check_database, check_file
from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.reading import Columns, UnreadableFile
from classifier.writing import InTheWay, whole_file

SPLITS_FROM = {
    "column": "the file's column",
    "import": "those an import into an empty database makes",
    "database": "where they stand",
}
MOST_LABELS = 200  # lines of the report; the wrong column can have a label for every row


class Command(TicketclfCommand):
    help = (
        "Checks a file of tickets before it is imported: columns, empty texts, labels, duplicates and conflicts, the "
        "balance of the categories and, with --check-splits, that no text stands in two splits, and what share of the "
        "test rows has a near-duplicate in another one. Allowed labels are "
        "the active categories of the database or, while it has none, whatever the file has. Changes nothing. Exit "
        "code 1 on an error, with --strict on a warning, too; 2 if the file cannot be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--data",
            type=Path,
            metavar="FILE",
            help="A CSV or JSONL file (default: the shipped tickets).",
        )
        parser.add_argument(
            "--database", action="store_true", help="The labelled tickets of the database instead of a file."
        )
        parser.add_argument(
            "--check-splits",
            action="store_true",
            help="Look for texts in two splits: those of the column `split` or, without one, those an import would "
            "make; then it is also said what a random split, as the original made it, would leak.",
        )
        parser.add_argument("--strict", action="store_true", help="A warning is an error.")
        parser.add_argument("--output", type=Path, metavar="FILE", help="Write the report there as well, as JSON.")
        parser.add_argument("--text-column", default="text", metavar="NAME", help="Column of texts (default: text).")
        parser.add_argument(
            "--label-column", default="label", metavar="NAME", help="Column of labels (default: label)."
        )

    def handle(self, *, data: Path | None, output: Path | None, strict: bool, **options: Any) -> None:
        if options["database"] and data is not None:
            raise BadUsage("--database and --data exclude each other. Leave one of them out.")
        checked = self._check(data or settings.SHIPPED_TICKETS, options)
        if output is not None:
            _write(output, checked.as_dict())
        self.say(*_lines(checked), *([f"Wrote {output}"] if output is not None else []))
        self.print_json(checked.as_dict())
        findings = checked.report.findings
        bad = [finding for finding in findings if strict or finding.level == "error"]
        if bad:
            also = " (--strict: warnings, too)" if strict else ""
            what = checked.path or "The labelled tickets"
            raise Refused(f"{what} must be free of errors{also}; {len(bad)} found. Mend what the report names.")

    def _check(self, data: Path, options: dict[str, Any]) -> Checked:
        if options["database"]:
            return check_database(imbalance_ratio=settings.IMBALANCE_RATIO, check_splits=options["check_splits"])
        try:
            return check_file(
                data,
                columns=Columns(text=options["text_column"], label=options["label_column"]),
                imbalance_ratio=settings.IMBALANCE_RATIO,
                check_splits=options["check_splits"],
                seed=settings.SEED,
                progress=self.progress,
            )
        except UnreadableFile as error:
            raise BadUsage(str(error)) from error


def _write(path: Path, report: dict[str, Any]) -> None:
    try:
        with whole_file(path) as file:
            file.write(json.dumps(report, indent=2) + "\n")
    except InTheWay as error:
        raise BadUsage(str(error)) from error
    except OSError as error:
        raise BadUsage(
            f"--output must be a file that can be written; {path}: {error.strerror}. Name another."
        ) from error


def _lines(checked: Checked) -> list[str]:
    """The report for people."""
    report = checked.report
    allowed = "any: the database has no categories" if checked.categories is None else "the active categories"
    lines = [
        f"{'File':<14}{checked.path}" if checked.path else f"{'Tickets':<14}those of the database that have a label",
        f"{'Rows':<14}{report.n_rows:,}, of which {report.n_valid:,} are valid",
        f"{'Labels':<14}{allowed}",
        f"{'Fingerprint':<14}{report.fingerprint}",
    ]
    if checked.splits is not None:
        sizes = ", ".join(f"{split} {count:,}" for split, count in checked.per_split.items())
        lines += [f"{'Splits':<14}{sizes} ({SPLITS_FROM[checked.splits]})", *_leaks(checked)]
    counts = list(report.counts.items())
    width = max([12, *(len(label[:40]) for label in report.counts)])
    lines += ["", *(f"{label[:40]:<{width}}{count:>9,}" for label, count in counts[:MOST_LABELS])]
    lines += [f"and {len(counts) - MOST_LABELS:,} labels more", ""] if len(counts) > MOST_LABELS else [""]
    for finding in report.findings:
        rows = f" Rows: {', '.join(map(str, finding.rows))}" if finding.rows else ""
        more = " ..." if finding.count > len(finding.rows) > 0 else ""
        lines.append(f"{finding.level.capitalize()} ({finding.code}): {finding.message}{rows}{more}")
    return lines if report.findings else [*lines, "No errors and no warnings."]


def _leaks(checked: Checked) -> list[str]:
    """What share of the test rows leaks."""
    if checked.report.test_leak_share is None:
        return [f"{'Leaks':<14}not to be told: no row stands in test"]
    lines = [
        f"{'Leaks':<14}{checked.report.test_leak_share:.1%} of the test rows have a duplicate or near-duplicate in "
        "another split"
    ]
    if checked.random_leak_share is not None:
        lines.append(f"{'':<14}(of a random split it would be {checked.random_leak_share:.1%})")
    return lines
