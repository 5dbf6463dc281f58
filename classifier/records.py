"""A file of tickets as it stands: its lines, records and columns, with their faults. What they mean is reading.py's."""

from __future__ import annotations

import codecs
import csv
import itertools
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

MAX_FIELD = 1_000_000  # characters: far above any text, and a bound on what a quotation mark left open can swallow
MAX_LINE = 2_000_000  # bytes: a file without line ends must not be read into memory whole
JSON_ENDINGS = frozenset({".jsonl", ".ndjson", ".json"})
TAB = "\t"
DELIMITERS = (",", ";", TAB)
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableFile(ValueError):
    """The file as a whole cannot be read as tickets; the message names the place and the mend."""


class MissingColumn(UnreadableFile):
    """It has no column of that name, or two."""


@dataclass(frozen=True)
class Fault:
    """Why one row cannot be used, found while it was read: a stable code, and words with the mend."""

    code: str
    message: str


# --- Lines ----------------------------------------------------------------------------------------
def lines_of(file: BinaryIO, path: Path) -> Iterator[str]:
    """The decoded lines with their ends; a byte order mark of UTF-8 is taken off."""
    number = begin = 0  # begin: the line's position in the file, in bytes; a pipe could not tell()
    while raw := file.readline(MAX_LINE):
        number += 1
        if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
            raise UnreadableFile(
                f"{path} must have lines of less than {MAX_LINE:,} bytes; line {number} is longer. "
                "Check that it is a CSV or JSONL file."
            )
        if number == 1 and (raw.startswith(UTF_16_MARKS) or b"\0" in raw):
            raise UnreadableFile(
                f"{path} must be UTF-8; line 1 has NUL bytes or a mark of UTF-16. {_mend(path, 'UTF-16')}"
            )
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"{path} must be UTF-8; line {number} has the byte 0x{raw[error.start]:02x} at offset "
                f"{begin + error.start} of the file. {_mend(path, 'WINDOWS-1252')}"
            ) from None
        begin += len(raw)
        yield line.removeprefix("\ufeff") if number == 1 else line


def _mend(path: Path, encoding: str) -> str:
    return f"Save it as UTF-8, or convert it: iconv -f {encoding} -t UTF-8 '{path.name}' > utf8{path.suffix}"


# --- CSV ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Table:
    """A CSV file: its first record, which names the columns, and the others, each with the line it begins on."""

    delimiter: str
    header: list[str] | Fault
    records: Iterator[tuple[int, list[str] | Fault]]


def csv_table(lines: Iterator[str], wanted: Collection[str], path: Path) -> Table | None:
    """The table that the lines are, None if all are blank; wanted: columns that a delimiter is known by.

    Raises UnreadableFile for one with CR alone.
    """
    csv.field_size_limit(MAX_FIELD)  # a switch of the whole process, and lower than this by default
    above = 0  # blank lines above the header
    for first in lines:
        if first.strip():
            break
        above += 1
    else:
        return None
    if "\r" in first.rstrip("\r\n"):
        raise UnreadableFile(
            f"{path} must end its lines with LF or CR LF; line 1 has CR alone. "
            f"Convert it: tr '\\r' '\\n' < '{path.name}' > lines{path.suffix}"
        )
    delimiter = _delimiter(first, wanted)
    records = _csv_records(itertools.chain([first], lines), delimiter=delimiter, above=above, path=path)
    return Table(delimiter, next(records)[1], records)


def _delimiter(line: str, wanted: Collection[str]) -> str:
    """The separator with which the header line has most of the wanted columns, then most columns at all."""

    def rank(delimiter: str) -> tuple[int, int]:
        names = [name.strip().strip('"') for name in line.split(delimiter)]
        return len(set(wanted) & set(names)), len(names)

    return max(DELIMITERS, key=rank)


def _csv_records(
    lines: Iterator[str], *, delimiter: str, above: int, path: Path
) -> Iterator[tuple[int, list[str] | Fault]]:
    """Records with the line each begins on, blank ones left out; a Fault for one whose quotation marks do not fit."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)  # strict: else a mark left open swallows rows unseen
    while True:
        number = above + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field larger" in str(error) or "end of data" in str(error):
                raise UnreadableFile(
                    f"{path} must close each quotation mark within {MAX_FIELD:,} characters; the row of line {number} "
                    "does not. Double the marks inside a text, and put one at its begin and its end."
                ) from None
            last = above + reader.line_num
            where = "has" if last == number else f"to line {last} have"
            message = f"{where} quotation marks or line ends out of place ({error}). Mend them."
            yield number, Fault("malformed_csv", message)
            continue
        if len(fields) > 1 or (fields and fields[0].strip()):
            yield number, fields


# --- JSONL ----------------------------------------------------------------------------------------
def json_object(line: str) -> dict[str, Any] | Fault:
    try:
        record = json.loads(line)
    except RecursionError:
        return Fault("json_too_deep", "is nested too deeply. A ticket needs one level.")
    except ValueError as error:  # also for a number of thousands of digits
        column = f" (column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        return Fault("malformed_json", f"is no JSON{column}. Mend it.")
    if not isinstance(record, dict):
        return Fault("not_an_object", 'is no JSON object. Write {"text": "...", "label": "..."}.')
    return record


# --- All columns ----------------------------------------------------------------------------------
def columns_of(path: Path) -> list[str]:
    """The names of the columns: of a CSV file's first line, or of the first object of a JSONL file.

    Raises UnreadableFile, also for an empty file.
    """
    first: list[str] | dict[str, Any] | Fault | None
    with path.open("rb") as file:
        lines = lines_of(file, path)
        if path.suffix.casefold() in JSON_ENDINGS:
            first = next((json_object(line) for line in lines if line.strip()), None)
        else:
            table = csv_table(lines, (), path)
            first = None if table is None else table.header
    if first is None:
        raise UnreadableFile(f"{path} must hold at least one ticket; it is empty. Export it again.")
    if isinstance(first, Fault):
        raise UnreadableFile(f"{path} must begin with the names of its columns; its first line {first.message}")
    return [name.strip() for name in first]


def every_column(path: Path, *, wanted: Collection[str]) -> Iterator[tuple[int, list[str]]]:
    """Each record with its line and all its fields as text, in the order of columns_of; none for one that is broken.

    wanted: the columns that it is read by.
    """
    with path.open("rb") as file:
        lines = lines_of(file, path)
        if path.suffix.casefold() in JSON_ENDINGS:
            yield from _json_fields(lines)
            return
        table = csv_table(lines, wanted, path)
        for number, fields in () if table is None else table.records:
            yield number, [] if isinstance(fields, Fault) else fields


def _json_fields(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    names: list[str] | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        record = json_object(line)
        if isinstance(record, Fault):
            yield number, []
            continue
        names = names or list(record)
        values = [record.get(name) for name in names]
        yield (
            number,
            [value if isinstance(value, str) else "" if value is None else json.dumps(value) for value in values],
        )
