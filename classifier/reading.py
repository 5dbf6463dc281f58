"""Rows out of a CSV or JSONL file of tickets, one at a time and with their line numbers. Nothing of the database."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.ml.validation import Row
from classifier.records import JSON_ENDINGS, TAB, Fault, MissingColumn, UnreadableFile, csv_table, json_object, lines_of

__all__ = ["Columns", "Fault", "FileRow", "MissingColumn", "UnreadableFile", "read"]

MAX_CHARACTERS = 10_000  # of a text: the longest that the API answers
MAX_EXTERNAL_ID = 200  # characters, the width of the database's column


@dataclass(frozen=True)
class FileRow(Row):
    """A row as the file has it; `number` is the line it begins on. A row with a fault has nothing else to trust."""

    external_id: str | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read. One that is None is not; a split column need not be there."""

    text: str = "text"
    label: str = "label"
    external_id: str | None = None
    split: str | None = None

    def options(self) -> dict[str, str]:
        """The columns that must be there, each with the option that names another."""
        options = {self.text: "--text-column", self.label: "--label-column"}
        return options if self.external_id is None else {**options, self.external_id: "--external-id-column"}


def read(path: Path | str, *, columns: Columns | None = None) -> Iterator[FileRow]:
    """The rows of a file, in its order and in constant memory: JSONL by its ending, else CSV with `,` `;` or tab.

    A row that is broken by itself comes with its fault. Raises UnreadableFile, at the first row or at a later one,
    for a file that is none: missing, empty, not UTF-8, without the columns, with a line or field that does not end.
    """
    path = Path(path)
    rows_of = _json_rows if path.suffix.casefold() in JSON_ENDINGS else _csv_rows
    try:
        file = path.open("rb")
    except OSError as error:
        told = {FileNotFoundError: "there is none", IsADirectoryError: "it is a folder"}
        found = told.get(type(error), error.strerror)
        raise UnreadableFile(f"{path} must be a file that can be read; {found}. Check the path.") from None
    empty = True
    with file:
        for row in rows_of(lines_of(file, path), columns or Columns(), path):
            empty = False
            yield row
    if empty:
        raise UnreadableFile(f"{path} must hold at least one ticket; it has none. Export it again.")


def _check_columns(found: Collection[str], columns: Columns, path: Path) -> None:
    """Raises UnreadableFile if a column that is needed is missing, with those that look like it."""
    for wanted, option in columns.options().items():
        if wanted in found:
            continue
        by_folded = {name.casefold(): name for name in found}
        near = difflib.get_close_matches(wanted.casefold(), by_folded, n=3, cutoff=0.5)
        guess = f"Did you mean {_names([by_folded[name] for name in near])}? " if near else ""
        raise MissingColumn(
            f"{path} must have the column {wanted!r}; it has {_names(found)}. {guess}Name the right one with {option}."
        )


def _names(names: Collection[str]) -> str:
    """Column names for an error: at most ten, none of them long."""
    shown = ", ".join(repr(name[:40]) for name in itertools.islice(names, 10))
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "") or "no names"


# --- CSV ------------------------------------------------------------------------------------------
def _csv_rows(lines: Iterator[str], columns: Columns, path: Path) -> Iterator[FileRow]:
    table = csv_table(lines, columns.options(), path)
    if table is None:
        return
    header, delimiter = _header(table.header, columns, path), table.delimiter
    for number, fields in table.records:
        if isinstance(fields, Fault):
            yield FileRow(number, None, None, fault=fields)
        elif len(fields) != len(header):
            fact = f"has {len(fields)} columns where the header has {len(header)}"
            mend = f"Put quotation marks around a text that holds a {'tab' if delimiter == TAB else delimiter!r}."
            yield FileRow(number, None, None, fault=Fault("wrong_number_of_columns", f"{fact}. {mend}"))
        else:
            values = dict(zip(header, fields, strict=True))
            yield _row(
                number,
                text=values[columns.text],
                label=values[columns.label],
                external_id=values.get(columns.external_id or ""),
                split=values.get(columns.split or ""),
            )


def _header(fields: list[str] | Fault, columns: Columns, path: Path) -> list[str]:
    """The names of the columns. Raises UnreadableFile if one that is needed is missing or there twice."""
    if isinstance(fields, Fault):
        raise UnreadableFile(f"{path} must begin with the names of its columns; that line {fields.message}")
    header = [name.strip() for name in fields]
    _check_columns(header, columns, path)
    for wanted, option in columns.options().items():
        if header.count(wanted) > 1:
            raise MissingColumn(
                f"{path} must have one column {wanted!r}; it has {header.count(wanted)}. Rename one, or use {option}."
            )
    return header


# --- JSONL ----------------------------------------------------------------------------------------
def _json_rows(lines: Iterator[str], columns: Columns, path: Path) -> Iterator[FileRow]:
    checked = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        record = json_object(line)
        if not checked and isinstance(record, Fault):
            raise UnreadableFile(
                f"{path} must hold one JSON object a line; line {number} {record.message} "
                f"Convert a list: jq -c '.[]' '{path.name}' > lines.jsonl"
            )
        if isinstance(record, Fault):
            yield FileRow(number, None, None, fault=record)
            continue
        if not checked:
            _check_columns(record, columns, path)
            checked = True
        yield _json_row(number, record, columns)


def _json_row(number: int, record: dict[str, Any], columns: Columns) -> FileRow:
    values = {
        name: record.get(name) for name in (columns.text, columns.label, columns.split, columns.external_id) if name
    }
    external_id = values.get(columns.external_id or "")
    if isinstance(external_id, int) and not isinstance(external_id, bool):
        values[columns.external_id or ""] = str(external_id)  # a ticket's number is its id as well as its text
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            fault = Fault("wrong_type", f"has in {name!r} something that is no text. Put it in quotation marks.")
            return FileRow(number, None, None, fault=fault)
    return _row(
        number,
        text=values[columns.text],
        label=values[columns.label],
        external_id=values.get(columns.external_id or ""),
        split=values.get(columns.split or ""),
    )


# --- Both -----------------------------------------------------------------------------------------
def _row(number: int, *, text: str | None, label: str | None, external_id: str | None, split: str | None) -> FileRow:
    """The row, or its fault if a value could not be stored. Whether it is empty or known is for others to judge."""
    external_id = (external_id or "").strip() or None
    fault = _fault(text or "", label or "", external_id or "")
    if fault is not None:
        return FileRow(number, None, None, fault=fault)
    return FileRow(number, text, label, (split or "").strip() or None, external_id)


def _fault(text: str, label: str, external_id: str) -> Fault | None:
    if len(text) > MAX_CHARACTERS:
        message = f"has a text of {len(text):,} characters; {MAX_CHARACTERS:,} are possible. Shorten it."
        return Fault("text_too_long", message)
    values = text + label + external_id
    if "\0" in values:
        return Fault("nul_character", "has a NUL character, which cannot be stored. Remove it.")
    if not values.isascii() and any("\ud800" <= character <= "\udfff" for character in values):
        return Fault("lone_surrogate", "has half of a surrogate pair, which is no character. Remove or complete it.")
    if len(external_id) > MAX_EXTERNAL_ID or not external_id.isprintable():
        return Fault(
            "invalid_external_id",
            f"has an external id that is not 1 to {MAX_EXTERNAL_ID} printable characters. Shorten or clean it.",
        )
    return None
