"""`manage.py validate_data`: schema, labels, distribution and splits of a file, before anything is imported."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections

from classifier.checking import check_file
from classifier.labelling import import_tickets, set_label
from classifier.management.commands.validate_data import Command
from classifier.models import Category, Ticket
from classifier.reading import Columns, FileRow, read
from tests.factories import make_categories, make_ticket

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
Call = Callable[..., tuple[int, str, str]]
WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "jetty", "knoll", "larch")
# Twenty different tickets of two categories: enough that nothing is found.
GOOD = "text,label\n" + "".join(
    f"{one} {label} {other},{label}\n"
    for label in ("billing", "general")
    for one, other in zip(WORDS[:10], reversed(WORDS), strict=False)
)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs the command on a file with this content, as from a shell: exit code, standard output, standard error."""
    monkeypatch.setattr(connections, "close_all", lambda: None)  # it would end the test's transaction

    def start(*arguments: str, file: str | None = None, name: str = "tickets.csv") -> tuple[int, str, str]:
        if file is not None:
            (tmp_path / name).write_text(file, encoding="utf-8")
            arguments = ("--data", str(tmp_path / name), *arguments)
        out, err = io.StringIO(), io.StringIO()
        try:
            Command(stdout=out, stderr=err).run_from_argv(["manage.py", "validate_data", *arguments])
        except SystemExit as error:
            return int(str(error.code)), out.getvalue(), err.getvalue()
        return 0, out.getvalue(), err.getvalue()

    return start


def findings(
    call: Call, *arguments: str, file: str, name: str = "tickets.csv"
) -> dict[str, tuple[str, list[int], int]]:
    """The findings in the JSON of a run: code -> level, rows, count."""
    report = json.loads(call("--json", *arguments, file=file, name=name)[1])
    return {found["code"]: (found["level"], found["rows"], found["count"]) for found in report["findings"]}


# --- The whole ------------------------------------------------------------------------------------
def test_shipped_tickets_are_valid_by_default(call: Call) -> None:
    code, out, err = call("--check-splits")

    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"File          {settings.SHIPPED_TICKETS}"
    assert "Labels        any: the database has no categories" in out
    assert out.endswith("\nNo errors and no warnings.\n")


def test_good_file_has_no_findings_and_changes_nothing(call: Call) -> None:
    code, out, _ = call("--strict", file=GOOD)

    assert code == 0
    assert "Rows          20, of which 20 are valid" in out.splitlines()
    assert "billing            10" in out.splitlines()
    assert not Ticket.objects.exists()
    assert not Category.objects.exists()


def test_missing_file_and_missing_column_end_with_2(call: Call) -> None:
    missing = call("--data", "nowhere.csv")
    column = call(file="body,label\na,b\n")

    assert missing == (2, "", "Error: nowhere.csv must be a file that can be read; there is none. Check the path.\n")
    assert column[0] == 2
    assert "must have the column 'text'; it has 'body', 'label'" in column[2]


def test_other_columns_can_be_named(call: Call) -> None:
    file = GOOD.replace("text,label", "body,topic")

    assert call("--text-column", "body", "--label-column", "topic", file=file)[0] == 0


def test_report_is_written_as_json(call: Call, tmp_path: Path) -> None:
    output = tmp_path / "reports" / "report.json"

    _, out, _ = call("--json", "--output", str(output), file=GOOD)
    said = call("--output", str(output), file=GOOD)[1]

    assert json.loads(output.read_text()) == json.loads(out)
    assert said.endswith(f"Wrote {output}\n")
    assert set(json.loads(out)) == {
        "path",
        "categories",
        "splits",
        "per_split",
        "random_leak_share",
        "test_leak_share",
        "ok",
        "n_rows",
        "n_valid",
        "counts",
        "fingerprint",
        "findings",
    }


def test_report_that_cannot_be_written_ends_with_2(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "a file" / "report.json"
    path.parent.write_text("A file stands where the folder should.")

    ends = [call("--output", str(output), file=GOOD) for output in (path, tmp_path)]

    assert [code for code, _, _ in ends] == [2, 2]
    assert ends[0][2].startswith(f"Error: --output must be a file that can be written; {path}: ")
    assert ends[1][2].startswith(f"Error: {tmp_path} must be a file or free; it is a folder")


def test_report_is_for_its_owner_alone_and_replaces_an_earlier_one_whole(call: Call, tmp_path: Path) -> None:
    earlier, report = tmp_path / "earlier.json", tmp_path / "report.json"
    earlier.write_text("earlier")
    report.hardlink_to(earlier)

    call("--output", str(report), file=GOOD)

    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert earlier.read_text() == "earlier"  # not written into, so nobody ever read half of it


def test_fingerprint_does_not_depend_on_the_order(call: Call) -> None:
    head, *lines = GOOD.splitlines(keepends=True)

    prints = {
        json.loads(call("--json", file=file)[1])["fingerprint"] for file in (GOOD, "".join([head, *reversed(lines)]))
    }

    assert len(prints) == 1


# --- Rows and labels ------------------------------------------------------------------------------
def test_empty_texts_and_missing_labels_are_errors_with_their_rows(call: Call) -> None:
    code, out, err = call(file=GOOD + " ,billing\n\u200b,billing\nhello there,\n")

    assert code == 1
    assert "Error (empty_text): Every ticket needs a text; 2 rows are without." in out
    assert "Rows: 22, 23" in out
    assert "Error (missing_label)" in out
    assert err.endswith("tickets.csv must be free of errors; 2 found. Mend what the report names.\n")


def test_labels_that_are_no_active_category_are_errors(call: Call) -> None:
    make_categories(("billing", "general", "account"))
    Category.objects.filter(slug="account").update(active=False)
    Category.objects.filter(slug="general").update(name="All sorts")

    found = findings(
        call, file=GOOD + "one text,ACCOUNT\nanother text, weather\na third,BILLING \na fourth,all SORTS\n"
    )

    assert found["unknown_label"] == ("error", [22, 23], 2)
    assert found.keys() == {"unknown_label"}


def test_label_for_every_row_is_told_in_a_few_lines(call: Call) -> None:
    rows = "".join(f"text {number},{number:05}{'x' * 5000}\n" for number in range(300))

    free = call(file="text,label\n" + rows)[1]
    make_categories(("billing", "general"))
    bound = call(file=GOOD + rows)[1]

    assert "and 100 labels more" in free.splitlines()
    assert max(len(line) for line in free.splitlines() + bound.splitlines()) < 2000
    assert "found '00000xxx" in bound
    assert "and 280 more. Correct them" in bound


def test_allowed_labels_are_said(call: Call) -> None:
    make_categories(("billing", "general"))

    report = json.loads(call("--json", file=GOOD)[1])

    assert report["categories"] == ["billing", "general"]
    assert "Labels        the active categories" in call(file=GOOD)[1]


def test_any_label_is_allowed_while_the_database_has_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text(GOOD)

    def bare(execute: Any, *query: Any) -> Any:
        raise OperationalError("no such table: classifier_category")

    with connection.execute_wrapper(bare):
        checked = check_file(path, columns=Columns(), imbalance_ratio=10)

    assert (checked.categories, checked.report.ok) == (None, True)


def test_rows_that_cannot_be_read_are_errors_by_kind(call: Call) -> None:
    bad = "one,two,three\n" * 25 + "a\0b,billing\n" + "c\0d,billing\n" + f"{'x' * 10_001},billing\n"

    code, out, _ = call(file=GOOD + bad)
    found = findings(call, file=GOOD + bad)

    assert code == 1
    assert found["wrong_number_of_columns"] == ("error", list(range(22, 42)), 25)
    assert (found["nul_character"], found["text_too_long"]) == (("error", [47, 48], 2), ("error", [49], 1))
    assert "Rows          48, of which 20 are valid" in out.splitlines()
    assert "Line 22 has 3 columns where the header has 2." in out
    assert "So do 24 rows more. Rows: 22, 23" in out
    assert "Line 47 has a NUL character, which cannot be stored. Remove it. So does 1 row more. Rows: 47, 48\n" in out


# --- Distribution ---------------------------------------------------------------------------------
def test_imbalance_is_a_warning_and_with_strict_an_error(call: Call, settings: Any) -> None:
    settings.IMBALANCE_RATIO = 1.0
    file = GOOD + "one more of it,general\n"

    assert findings(call, file=file).keys() == {"imbalance"}
    assert call(file=file)[0] == 0
    code, _, err = call("--strict", file=file)
    assert code == 1
    assert "must be free of errors (--strict: warnings, too); 1 found" in err


def test_conflicts_are_errors_and_repeats_warnings(call: Call) -> None:
    found = findings(call, file=GOOD + "Amber billing  LARCH,billing\nAmber general larch,billing\n")

    assert (found["duplicate"][0], found["conflict"][0]) == ("warning", "error")


# --- Splits ---------------------------------------------------------------------------------------
SPLIT = "text,label,split\n" + "".join(
    f"{row},{('train', 'Validation', 'test ', '')[number % 4]}\n" for number, row in enumerate(GOOD.splitlines()[1:])
)


def test_splits_of_the_column_are_looked_at_when_asked_for(call: Call) -> None:
    leaking = SPLIT + "Amber BILLING larch,billing,test\n"  # the first row's text, which stands in train

    assert call(file=leaking)[0] == 0
    code, out, _ = call("--check-splits", file=leaking)

    assert code == 1
    assert "Splits        train 5, validation 5, test 6 (the file's column)" in out.splitlines()
    assert "Error (text_in_two_splits)" in out


def test_near_duplicates_in_two_splits_are_warnings(call: Call) -> None:
    near = "please tell me where my parcel number {} might be right now,general,{}\n"
    file = SPLIT + near.format("12345", "train") + near.format("54321", "test")

    found = findings(call, "--check-splits", file=file)

    assert found == {"near_duplicate_in_two_splits": ("warning", [23], 1)}


def test_splits_with_other_names_are_errors(call: Call) -> None:
    found = findings(call, "--check-splits", file=SPLIT + "hello you there,general,dev\n")

    assert found == {"unknown_split": ("error", [22], 1)}


def test_splits_without_a_column_are_those_that_an_import_makes(call: Call, tmp_path: Path) -> None:
    alike = ("where is parcel 11111 of mine", "Where is parcel 22222 of mine", "where IS parcel 11111 of mine", " ")
    file = GOOD + "".join(f"{text},general\n" for text in alike)

    report = json.loads(call("--check-splits", "--json", file=file)[1])

    assert report["splits"] == "import"
    assert not any("split" in found["code"] for found in report["findings"])
    make_categories(("billing", "general"))
    imported = import_tickets(read(tmp_path / "tickets.csv"), seed=settings.SEED, skip_bad=True)
    unique = imported.per_split
    # The text that comes twice is one ticket, and its split has one row more than tickets.
    assert sum(report["per_split"].values()) == sum(unique.values()) + 1
    split = Ticket.objects.get(text__startswith="where is parcel 11111").split
    assert report["per_split"] == {**unique, split: unique[str(split)] + 1}


def test_splits_of_an_import_leave_out_labels_that_are_not_allowed(call: Call) -> None:
    make_categories(("billing", "general"))

    report = json.loads(call("--check-splits", "--json", file=GOOD + "a text,weather\n")[1])

    assert sum(report["per_split"].values()) == 20


def test_share_of_test_that_leaks_is_said(call: Call) -> None:
    near = "please tell me where my parcel number {} might be right now,general,{}\n"
    file = SPLIT + near.format("12345", "train") + near.format("54321", "test")

    report = json.loads(call("--check-splits", "--json", file=file)[1])

    assert report["test_leak_share"] == 1 / 6  # of the five rows of SPLIT and this one
    assert report["random_leak_share"] is None
    assert (
        "Leaks         16.7% of the test rows have a duplicate or near-duplicate in another split"
        in call("--check-splits", file=file)[1].splitlines()
    )


def test_share_that_leaks_is_not_told_without_a_test_row(call: Call) -> None:
    code, out, _ = call("--check-splits", file=SPLIT.replace("test ", "train"))

    assert code == 0
    assert "Leaks         not to be told: no row stands in test" in out.splitlines()
    assert json.loads(call("--json", file=SPLIT)[1])["test_leak_share"] is None


def test_file_without_splits_is_told_what_a_random_split_would_leak(call: Call) -> None:
    copies = "".join(f"please tell me where my parcel number {number:05} might be,shipping\n" for number in range(40))

    report = json.loads(call("--check-splits", "--json", file=GOOD + copies)[1])
    said = call("--check-splits", file=GOOD + copies)[1]

    assert report["test_leak_share"] == 0
    assert report["random_leak_share"] == 0.75  # of 8 test rows 6 are copies, whose likes stand in train
    assert "              (of a random split it would be 75.0%)" in said.splitlines()


# --- The database ---------------------------------------------------------------------------------
def near_duplicates(begin: int, end: int) -> list[tuple[str, str]]:
    """Families of three tickets that are alike, of two categories."""
    return [
        (f"{WORDS[number % 12]} {WORDS[-1 - number // 12]} order {copy}{number:04} of mine is late again", label)
        for number in range(begin, end)
        for copy, label in ((1, "billing"), (2, "billing"), (3, "general"))
    ]


def test_own_splits_have_no_near_duplicates_in_two(call: Call, settings: Any) -> None:
    categories = {category.slug: category for category in make_categories(("billing", "general"))}
    rows = [FileRow(number, text, label) for number, (text, label) in enumerate(near_duplicates(0, 40))]
    import_tickets(rows[::3], seed=0)
    for text, label in near_duplicates(20, 60):
        ticket = Ticket.objects.filter(text=text).first() or make_ticket(text)
        set_label(ticket, categories[label], source="agent", now=NOW)
    import_tickets(rows, seed=0)
    make_ticket("without a label")
    set_label(make_ticket(rows[0].text, is_demo=True), categories["general"], source="agent", now=NOW)

    code, out, _ = call("--database", "--check-splits", "--json")

    report = json.loads(out)
    assert code == 0
    assert (report["path"], report["splits"], report["n_rows"]) == (None, "database", 180)
    assert sum(report["per_split"].values()) + Ticket.objects.filter(split="excluded", is_demo=False).count() == 180
    assert (report["test_leak_share"], report["findings"]) == (0, [])


def test_database_is_checked_for_what_is_wrong_with_it(call: Call) -> None:
    billing, general = make_categories(("billing", "general"))
    first, second = make_ticket("Where is it?"), make_ticket("where is it?")
    set_label(first, billing, source="agent", now=NOW)
    set_label(second, general, source="agent", now=NOW)
    Ticket.objects.filter(pk=second.pk).update(split="test")

    code, out, err = call("--database", "--check-splits")

    assert code == 1
    assert out.splitlines()[0] == "Tickets       those of the database that have a label"
    assert (
        "Error (text_in_two_splits): A split must not know another's tickets; 1 row is with the text of another " in out
    )
    assert f"Rows: {first.pk}, {second.pk}" in out
    assert err.startswith("Error: The labelled tickets must be free of errors")
    assert json.loads(call("--database", "--json")[1])["per_split"] == {}


def test_database_and_file_exclude_each_other(call: Call) -> None:
    code, _, err = call("--database", file=GOOD)

    assert (code, err) == (2, "Error: --database and --data exclude each other. Leave one of them out.\n")


def test_jsonl_is_checked_as_well(call: Call) -> None:
    lines = [dict(zip(("text", "label"), row.split(","), strict=True)) for row in GOOD.splitlines()[1:]]
    file = "".join(json.dumps(line) + "\n" for line in lines)

    assert findings(call, file=file, name="tickets.jsonl") == {}
