"""Reading a file of tickets: what is a row, what is a row's own fault, and what makes the whole file unreadable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from classifier import ticketbody
from classifier.models import Ticket
from classifier.reading import MAX_CHARACTERS, MAX_EXTERNAL_ID, Columns, FileRow, UnreadableFile, read


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a file and gives its path."""

    def make(content: str | bytes, name: str = "tickets.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def rows(path: Path, **columns: Any) -> list[FileRow]:
    return list(read(path, columns=Columns(**columns)))


def plain(path: Path, **columns: Any) -> list[tuple[Any, ...]]:
    return [(row.number, row.text, row.label) for row in rows(path, **columns)]


def faults(path: Path, **columns: Any) -> list[tuple[int, str | None]]:
    return [(row.number, row.fault and row.fault.code) for row in rows(path, **columns)]


def jsonl(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


# --- CSV ------------------------------------------------------------------------------------------
def test_csv_rows_carry_the_line_they_begin_on(write: Any) -> None:
    path = write('text,label\n"Hello,\nmy card\nis lost",account\n\nWhere is it?,shipping\n')

    found = plain(path)

    assert found == [(2, "Hello,\nmy card\nis lost", "account"), (6, "Where is it?", "shipping")]


def test_csv_blank_lines_above_the_header_are_counted(write: Any) -> None:
    assert plain(write("\n  \ntext,label\na,b\n")) == [(4, "a", "b")]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_separator_is_taken_from_the_header(write: Any, separator: str) -> None:
    path = write(f'"text"{separator}label\n"one{separator} two"{separator}billing\n')

    assert plain(path) == [(2, f"one{separator} two", "billing")]


def test_csv_separator_is_the_one_that_finds_the_columns(write: Any) -> None:
    # More commas than semicolons, but only the semicolons leave `text` and `label`.
    assert plain(write("text;label;a,b,c,d,e\nhello;billing;1\n")) == [(2, "hello", "billing")]


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbftext,label\na,b\n", b"text,label\r\na,b\r\n", b" text , label \na,b"]
)
def test_csv_takes_byte_order_mark_crlf_and_spaces_in_the_header(write: Any, content: bytes) -> None:
    assert plain(write(content)) == [(2, "a", "b")]


def test_csv_other_columns_and_order_do_not_matter(write: Any) -> None:
    path = write("nr,subject,body,split\n 7 ,billing,Refund please, Test \n8,general,Hello,\n")

    found = rows(path, text="body", label="subject", external_id="nr", split="split")

    assert found == [
        FileRow(2, "Refund please", "billing", "Test", "7"),
        FileRow(3, "Hello", "general", None, "8"),
    ]


def test_csv_split_column_need_not_be_there(write: Any) -> None:
    assert [row.split for row in rows(write("text,label\na,b\n"), split="split")] == [None]


def test_csv_row_with_other_width_is_its_own_fault(write: Any) -> None:
    path = write("text,label\nHello, you,billing\nalone\nfine,general\n")

    found = rows(path)

    assert [(row.number, row.fault and row.fault.code) for row in found] == [
        (2, "wrong_number_of_columns"),
        (3, "wrong_number_of_columns"),
        (4, None),
    ]
    assert found[0].fault is not None
    assert found[0].fault.message == (
        "has 3 columns where the header has 2. Put quotation marks around a text that holds a ','."
    )


def test_csv_row_with_misplaced_quotation_marks_is_its_own_fault(write: Any) -> None:
    path = write(
        'text,label\n"my "old" card",account\n"opened here,billing\nsecond,billing\n"third",general\nok,general\n'
    )

    found = rows(path)

    assert [(row.number, row.fault and row.fault.code) for row in found] == [
        (2, "malformed_csv"),
        (3, "malformed_csv"),
        (6, None),
    ]
    assert found[0].fault is not None
    assert found[0].fault.message.startswith("has quotation marks or line ends out of place")
    assert found[1].fault is not None
    assert found[1].fault.message.startswith("to line 5 have quotation marks")


def test_csv_quotation_marks_inside_an_unquoted_text_are_text(write: Any) -> None:
    assert plain(write('text,label\nmy 5" screen,technical\n')) == [(2, 'my 5" screen', "technical")]


# --- JSONL ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["a.jsonl", "a.NDJSON", "a.json"])
def test_jsonl_is_known_by_its_ending(write: Any, name: str) -> None:
    path = write(jsonl({"text": "a", "label": "b", "more": [1]}) + "\n" + jsonl({"text": "c", "label": None}), name)

    assert plain(path) == [(1, "a", "b"), (3, "c", None)]


def test_jsonl_external_id_may_be_a_number(write: Any) -> None:
    path = write(jsonl({"text": "a", "label": "b", "id": 7}, {"text": "c", "label": "d", "id": "x"}), "a.jsonl")

    assert [row.external_id for row in rows(path, external_id="id", split="split")] == ["7", "x"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{nonsense}", "malformed_json"),
        ('["a", "b"]', "not_an_object"),
        ('{"text": 7, "label": "b"}', "wrong_type"),
        ('{"text": "a", "label": true}', "wrong_type"),
        ('{"text": "a", "label": "b", "id": true}', "wrong_type"),
        ('{"text": ' + "9" * 5000 + "}", "malformed_json"),
        ('{"text": ' + "[" * 100_000 + "}", "json_too_deep"),
        ('{"text": "\\ud800", "label": "b"}', "lone_surrogate"),
        ('{"text": "a\\u0000", "label": "b"}', "nul_character"),
        ('{"text": "a", "label": "b", "id": "a\\nb"}', "invalid_external_id"),
        ('{"text": "a", "label": "b", "id": "' + "x" * 201 + '"}', "invalid_external_id"),
    ],
)
def test_jsonl_broken_line_is_its_own_fault(write: Any, line: str, code: str) -> None:
    first = jsonl({"text": "a", "label": "b", "id": "1"})

    assert faults(write(first + line + "\n" + first, "a.jsonl"), external_id="id") == [(1, None), (2, code), (3, None)]


@pytest.mark.parametrize("begin", ["[\n", '{\n  "text": "a"\n}\n', "text,label\n"])
def test_jsonl_that_begins_with_no_object_is_unreadable(write: Any, begin: str) -> None:
    with pytest.raises(UnreadableFile, match=r"one JSON object a line; line 1 .*jq -c"):
        rows(write(begin, "a.json"))


def test_jsonl_without_the_column_is_unreadable(write: Any) -> None:
    with pytest.raises(
        UnreadableFile, match=r"must have the column 'label'; it has 'text', 'Label'. Did you mean 'Label'\?"
    ):
        rows(write(jsonl({"text": "a", "Label": "b"}), "a.jsonl"))


# --- Texts that cannot be stored ------------------------------------------------------------------
def test_text_of_the_longest_length_is_read_and_a_longer_one_is_a_fault(write: Any) -> None:
    path = write(f"text,label\n{'x' * MAX_CHARACTERS},b\n{'x' * (MAX_CHARACTERS + 1)},b\n")

    assert faults(path) == [(2, None), (3, "text_too_long")]


def test_nul_in_a_later_row_is_its_own_fault(write: Any) -> None:
    assert faults(write("text,label\na\0b,c\nd,e\n")) == [(2, "nul_character"), (3, None)]


def test_other_scripts_and_emoji_are_read(write: Any) -> None:
    assert plain(write("text,label\n荷物が届きません 😡,配送\n")) == [(2, "荷物が届きません 😡", "配送")]


def test_limits_are_those_of_the_api_and_the_database() -> None:
    assert MAX_CHARACTERS == ticketbody.MAX_CHARACTERS
    assert Ticket._meta.get_field("external_id").max_length == MAX_EXTERNAL_ID


# --- Files that cannot be read --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must hold at least one ticket; it has none"),
        ("\n \n", "must hold at least one ticket"),
        ("text,label\n", "must hold at least one ticket"),
        ("text,category\na,b\n", r"column 'label'; it has 'text', 'category'\. Name the right one with --label-column"),
        ("Text,label\na,b\n", r"Did you mean 'Text'\? Name the right one with --text-column"),
        ("text,label,text\na,b,c\n", "must have one column 'text'; it has 2"),
        (",".join(f"c{n}" for n in range(12)) + "\na\n", "'c9' and 2 more"),
        ('"text"x,label\na,b\n', "must begin with the names of its columns"),
        ('text,label\n"never closed,b\nc,d\n', "close each quotation mark .* the row of line 2 does not"),
        ('text,label\n"' + "x\n" * 600_000, "close each quotation mark within 1,000,000 characters; the row of line 2"),
        ("text,label\n" + "x" * 2_000_001, "lines of less than 2,000,000 bytes; line 2 is longer"),
        (
            b"text,label\nfine,b\ncaf\xe9,b\n",
            "line 3 has the byte 0xe9 at offset 21 of the file.*iconv -f WINDOWS-1252",
        ),
        ("text,label\na,b\n".encode("utf-16"), "line 1 has NUL bytes or a mark of UTF-16.*iconv -f UTF-16"),
        ("text,label\na,b\n".encode("utf-16-be"), "iconv -f UTF-16 -t UTF-8 'tickets.csv' > utf8.csv"),
        ("text,label\ra,b\r", r"line 1 has CR alone\. Convert it: tr"),
    ],
)
def test_file_that_is_none_is_unreadable(write: Any, content: str | bytes, message: str) -> None:
    with pytest.raises(UnreadableFile, match=message):
        rows(write(content))


def test_missing_file_and_folder_are_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"nowhere\.csv must be a file that can be read; there is none"):
        rows(tmp_path / "nowhere.csv")
    with pytest.raises(UnreadableFile, match="it is a folder"):
        list(read(str(tmp_path)))


def test_external_id_column_must_be_there_if_it_is_named(write: Any) -> None:
    with pytest.raises(UnreadableFile, match=r"column 'id'.*--external-id-column"):
        rows(write("text,label\na,b\n"), external_id="id")


def test_rows_before_the_damage_are_given_before_the_error(write: Any) -> None:
    found = read(write(b"text,label\na,b\n\xff,c\n"))

    assert next(found).text == "a"
    with pytest.raises(UnreadableFile):
        next(found)
