"""What a file holds and what an import of it would do; and the rows that it refused, as a file to mend them by."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from django.conf import settings

from classifier import exporting
from classifier.importing import Refusal
from classifier.labelling import ImportReport, import_tickets
from classifier.placing import Progress
from classifier.reading import Columns, FileRow, MissingColumn, UnreadableFile, read
from classifier.records import JSON_ENDINGS, columns_of, every_column
from mlops.models import ImportJob

MOST_ROWS = 100_000  # they take 430 MB of memory, and keep all other writers waiting for 40 s on SQLite
SHOWN_ROWS = 20  # of the preview
SHOWN_CHARACTERS = 300  # of a text in it
SHOWN_REFUSALS = 100
OPTIONS = {  # what a command is told with, and where a page has it
    "(--create-categories)": "(tick “Make missing categories”)",
    "with manage.py import_tickets": "here",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a file is read and what becomes of it; an empty external_id_column: there is none."""

    text_column: str = "text"
    label_column: str = "label"
    external_id_column: str = ""
    skip_bad: bool = False
    create_categories: bool = False

    @classmethod
    def of(cls, job: ImportJob) -> Options:
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in job.options.items() if name in known})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def columns(self) -> Columns:
        return FormColumns(text=self.text_column, label=self.label_column, external_id=self.external_id_column or None)


@dataclass(frozen=True)
class FormColumns(Columns):
    """Columns that are named in a form and not on a command line."""

    def options(self) -> dict[str, str]:
        names = {"--text-column": "Text column", "--label-column": "Label column", "--external-id-column": "Id column"}
        return {column: f"“{names[option]}” in the form" for column, option in super().options().items()}


@dataclass(frozen=True)
class Look:
    """What was found. problem: why it cannot be read by the chosen columns, in words; then there is no report."""

    columns: list[str]
    rows: list[dict[str, Any]]
    report: ImportReport | None = None
    problem: str = ""

    def fields(self) -> dict[str, Any]:
        """The columns of the job's row that keep it."""
        preview = {"columns": self.columns, "rows": self.rows, "problem": self.problem, "report": counts(self.report)}
        n_rows = self.report.n_rows if self.report else 0
        return {"preview": storable(preview), "refusals": storable(in_words(self.report)), "n_rows": n_rows}


@contextlib.contextmanager
def as_file(job: ImportJob) -> Iterator[Path]:
    """The uploaded bytes as a file, of a name by which its form is known. An error about it names the uploaded one."""
    ending = Path(job.file_name).suffix.casefold()
    with tempfile.TemporaryDirectory(prefix="ticketclf-import-") as folder:
        path = Path(folder) / f"tickets{ending if ending in JSON_ENDINGS else '.csv'}"
        path.write_bytes(bytes(job.content or b""))
        try:
            yield path
        except UnreadableFile as error:
            raise type(error)(str(error).replace(str(path), job.file_name)) from None


def look(path: Path, options: Options, *, name: str, progress: Progress) -> Look:
    """Reads the file and tries what an import would do; writes nothing. Raises UnreadableFile."""
    columns = demand_columns(path)
    rows: list[FileRow] = []
    try:
        report = import_tickets(
            progress(_bounded(read(path, columns=options.columns()), path, rows), None, "Reading"),
            dry_run=True,
            seed=settings.SEED,
            create_categories=options.create_categories,
            skip_bad=options.skip_bad,
            progress=progress,
        )
    except MissingColumn as error:
        return Look(columns, [], problem=str(error).replace(str(path), name))
    return Look(columns, [_shown(row) for row in rows], report)


def demand_columns(path: Path) -> list[str]:
    """The names of the columns. Raises UnreadableFile for fewer than two."""
    columns = columns_of(path)
    if len(columns) < 2:
        raise UnreadableFile(
            f"{path} must have a column of texts and one of labels, with their names in its first line; that has one "
            "column. Separate columns by comma, semicolon or tab."
        )
    return columns


def bounded(rows: Iterator[FileRow], path: Path) -> Iterator[FileRow]:
    """The same rows. Raises UnreadableFile for one too many."""
    return _bounded(rows, path, [])


def _bounded(rows: Iterator[FileRow], path: Path, first: list[FileRow]) -> Iterator[FileRow]:
    for count, row in enumerate(rows, 1):
        if count > MOST_ROWS:
            raise UnreadableFile(
                f"{path} must have at most {MOST_ROWS:,} rows; it has more. Split it, or import it with "
                "manage.py import_tickets."
            )
        if count <= SHOWN_ROWS:
            first.append(row)
        yield row


def _shown(row: FileRow) -> dict[str, Any]:
    text = row.text or ""
    return {
        "number": row.number,
        "text": text[:SHOWN_CHARACTERS] + ("…" if len(text) > SHOWN_CHARACTERS else ""),
        "label": row.label or "",
        "external_id": row.external_id or "",
        "fault": row.fault.message if row.fault else "",
    }


# --- A report, as the row keeps it ----------------------------------------------------------------
def counts(report: ImportReport | None) -> dict[str, Any]:
    """The report in plain JSON types, without what quotes the file."""
    if report is None:
        return {}
    return {name: value for name, value in report.as_dict().items() if name != "refusals"}


def in_words(report: ImportReport | None) -> list[dict[str, Any]]:
    """The first refusals, in words for a page."""
    refusals = report.refusals[:SHOWN_REFUSALS] if report else ()
    return [{"number": one.number, "code": one.code, "message": for_page(one.message)} for one in refusals]


def for_page(words: str) -> str:
    """Words that were written for the command line, with what to do on a page instead."""
    for option, where in OPTIONS.items():
        words = words.replace(option, where)
    return words


def storable(value: Any) -> Any:
    """The same, with a mark for each character that no database stores: names of columns may hold any."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(name): storable(held) for name, held in value.items()}
    return [storable(held) for held in value] if isinstance(value, list | tuple) else value


def refused_rows(path: Path, options: Options, refusals: Sequence[Refusal]) -> bytes:
    """CSV of the rows that were refused: line, code, message, then all columns as the file has them.

    What a spreadsheet would take for a formula has a quotation mark before it. A row whose quotation marks do not fit
    has no columns: its line tells where it is.
    """
    why = {refusal.number: refusal for refusal in refusals}
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(exporting.quoted(name) for name in ("line", "code", "message", *columns_of(path)))
    for number, values in every_column(path, wanted=options.columns().options()):
        if (refusal := why.get(number)) is not None:
            writer.writerow(map(exporting.quoted, (number, refusal.code, for_page(refusal.message), *values)))
    return out.getvalue().encode("utf-8", "replace")
