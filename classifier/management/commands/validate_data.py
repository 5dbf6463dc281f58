"""`manage.py validate_data`: whether a file's tickets are fit to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from classifier.checking import Checked, check_file
from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.reading import Columns, UnreadableFile

SPLITS_FROM = {"column": "the file's column", "import": "those an import into an empty database makes"}


class Command(TicketclfCommand):
    help = (
        "Checks a file of tickets before it is imported: columns, empty texts, labels, duplicates and conflicts, the "
        "balance of the categories and, with --check-splits, that no text stands in two splits. Allowed labels are "
        "the active categories of the database or, while it has none, whatever the file has. Changes nothing. Exit "
        "code 1 on an error, with --strict on a warning, too; 2 if the file cannot be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--data",
            type=Path,
            default=settings.SHIPPED_TICKETS,
            metavar="FILE",
            help="A CSV or JSONL file (default: the shipped tickets).",
        )
        parser.add_argument(
            "--check-splits",
            action="store_true",
            help="Look for texts in two splits: those of the column `split` or, without one, those of an import.",
        )
        parser.add_argument("--strict", action="store_true", help="A warning is an error.")
        parser.add_argument("--output", type=Path, metavar="FILE", help="Write the report there as well, as JSON.")
        parser.add_argument("--text-column", default="text", metavar="NAME", help="Column of texts (default: text).")
        parser.add_argument(
            "--label-column", default="label", metavar="NAME", help="Column of labels (default: label)."
        )

    def handle(self, *, data: Path, output: Path | None, strict: bool, **options: Any) -> None:
        try:
            checked = check_file(
                data,
                columns=Columns(text=options["text_column"], label=options["label_column"]),
                imbalance_ratio=settings.IMBALANCE_RATIO,
                check_splits=options["check_splits"],
                seed=settings.SEED,
                progress=self.progress,
            )
        except UnreadableFile as error:
            raise BadUsage(str(error)) from error
        if output is not None:
            _write(output, checked.as_dict())
        self.say(*_lines(checked), *([f"Wrote {output}"] if output is not None else []))
        self.print_json(checked.as_dict())
        findings = checked.report.findings
        bad = [finding for finding in findings if strict or finding.level == "error"]
        if bad:
            also = " (--strict: warnings, too)" if strict else ""
            raise Refused(f"{data} must be free of errors{also}; {len(bad)} found. Mend what the report names.")


def _write(path: Path, report: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadUsage(
            f"--output must be a file that can be written; {path}: {error.strerror}. Name another."
        ) from error


def _lines(checked: Checked) -> list[str]:
    """The report for people."""
    report = checked.report
    allowed = "any: the database has no categories" if checked.categories is None else "the active categories"
    lines = [
        f"{'File':<14}{checked.path}",
        f"{'Rows':<14}{report.n_rows:,}, of which {report.n_valid:,} are valid",
        f"{'Labels':<14}{allowed}",
        f"{'Fingerprint':<14}{report.fingerprint}",
    ]
    if checked.splits is not None:
        sizes = ", ".join(f"{split} {count:,}" for split, count in checked.per_split.items())
        lines.append(f"{'Splits':<14}{sizes} ({SPLITS_FROM[checked.splits]})")
    width = max([12, *(len(label) for label in report.counts)])
    lines += ["", *(f"{label:<{width}}{count:>9,}" for label, count in report.counts.items()), ""]
    for finding in report.findings:
        rows = f" Rows: {', '.join(map(str, finding.rows))}" if finding.rows else ""
        more = " ..." if finding.count > len(finding.rows) > 0 else ""
        lines.append(f"{finding.level.capitalize()} ({finding.code}): {finding.message}{rows}{more}")
    return lines if report.findings else [*lines, "No errors and no warnings."]
