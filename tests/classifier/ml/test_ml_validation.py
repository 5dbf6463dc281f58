"""What check finds in tickets, and leaks between splits."""

from __future__ import annotations

import json
import re

import pytest

from classifier.ml.text import fingerprint
from classifier.ml.validation import Finding, Leak, Report, Row, check, leaks

CATEGORIES = ("billing", "shipping")


def good(per_category: int = 7) -> list[Row]:
    """Rows with nothing wrong, numbered from 2 as in a file with a header."""
    pairs = [(word, label) for label in CATEGORIES for word in NUMBERS[:per_category]]
    return [Row(number, f"{label} {word} {word[::-1]}", label) for number, (word, label) in enumerate(pairs, 2)]


NUMBERS = re.findall(r"\w+", "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november")


def found(report: Report, code: str) -> Finding:
    (finding,) = [finding for finding in report.findings if finding.code == code]
    return finding


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def test_good_rows_have_no_findings() -> None:
    report = check(iter(good()), categories=CATEGORIES)

    assert report.ok
    assert report.findings == ()
    assert (report.n_rows, report.n_valid) == (14, 14)
    assert report.counts == {"billing": 7, "shipping": 7}
    assert report.fingerprint == fingerprint((row.text or "", row.label or "") for row in good())


def test_empty_texts_are_listed_by_row() -> None:
    report = check([*good(), Row(90, None, "billing"), Row(91, " \u200b\n", "billing")], categories=CATEGORIES)

    assert found(report, "empty_text") == Finding(
        level="error",
        code="empty_text",
        message="Every ticket needs a text; 2 rows are without. Fill in the text or delete the row.",
        rows=(90, 91),
        count=2,
    )
    assert (report.ok, report.n_rows, report.n_valid) == (False, 16, 14)


def test_missing_labels_are_errors() -> None:
    report = check([*good(), Row(90, "hello", None), Row(91, "hello you", "  ")], categories=None)

    assert found(report, "missing_label").rows == (90, 91)
    assert not report.ok


def test_unknown_labels_are_counted_and_listed() -> None:
    extra = [Row(90, "a b", "fraud"), Row(91, "c d", " Legal"), Row(92, "e f", "fraud")]

    report = check([*good(), *extra], categories=CATEGORIES)

    finding = found(report, "unknown_label")
    assert (finding.level, finding.rows, finding.count) == ("error", (90, 91, 92), 3)
    assert "one of billing, shipping; found 'fraud' (2), 'Legal' (1)." in finding.message
    assert report.n_valid == 14


def test_labels_are_compared_stripped_and_casefolded() -> None:
    report = check([Row(1, "a fee", " BILLING "), Row(2, "a box", "Shipping")], categories=["Billing", "shipping"])

    assert report.counts == {"Billing": 1, "shipping": 1}
    assert "unknown_label" not in codes(report)


def test_any_label_is_allowed_without_categories() -> None:
    report = check([Row(1, "a fee", " Fraud "), Row(2, "a box", "fraud"), Row(3, "a lawyer", "legal")], categories=None)

    assert report.counts == {"fraud": 2, "legal": 1}
    assert report.ok


def test_repeats_are_a_warning() -> None:
    report = check([*good(), Row(90, "BILLING alpha  ahpla", "billing")], categories=CATEGORIES)

    finding = found(report, "duplicate")
    assert (finding.level, finding.rows) == ("warning", (90,))
    assert "1 row is with text and label of an earlier one" in finding.message
    assert report.ok


def test_one_text_with_two_labels_is_an_error_that_names_all_its_rows() -> None:
    report = check(
        [*good(), Row(90, "billing alpha ahpla!", "x"), Row(91, "Billing alpha ahpla", "shipping")], categories=None
    )

    finding = found(report, "conflict")
    assert (finding.level, finding.rows, finding.count) == ("error", (2, 91), 2)


def test_only_the_first_twenty_rows_are_named() -> None:
    report = check([*good(), *(Row(100 + number, "", "billing") for number in range(30))], categories=CATEGORIES)

    assert found(report, "empty_text").rows == tuple(range(100, 120))
    assert found(report, "empty_text").count == 30


def test_one_category_alone_is_an_error() -> None:
    report = check(good()[:7], categories=CATEGORIES)

    assert found(report, "one_category").level == "error"
    assert "these are of 1 (billing)" in found(report, "one_category").message
    assert found(report, "category_without_tickets").message.startswith("Each category should have tickets; shipping")


def test_no_rows_at_all_are_an_error() -> None:
    report = check([], categories=None)

    assert codes(report) == {"one_category"}
    assert "these are of 0 (none)" in report.findings[0].message


def test_a_category_that_cannot_be_split_is_a_warning() -> None:
    report = check(good()[1:], categories=CATEGORIES)

    finding = found(report, "category_too_small")
    assert (finding.level, finding.count) == ("warning", 1)
    assert "billing (6)" in finding.message


@pytest.mark.parametrize(("ratio", "warned"), [(1.9, True), (2.0, False)])
def test_imbalance_above_the_ratio_is_a_warning(ratio: float, warned: bool) -> None:
    rows = [row for row in good(14) if row.label == "billing"] + good(7)[7:]

    report = check(rows, categories=CATEGORIES, imbalance_ratio=ratio)

    assert ("imbalance" in codes(report)) is warned
    assert report.ok


def test_imbalance_names_both_ends() -> None:
    report = check(good(14)[:14] + good(7)[7:], categories=None, imbalance_ratio=1.5)

    assert found(report, "imbalance").message == (
        "No category should have more than 1.5 times the tickets of another; billing has 14, shipping 7. "
        "Add tickets of shipping."
    )


# --- leaks ----------------------------------------------------------------------------------------
LONG = "my parcel number {} has not arrived and nobody answers my calls about it"


def test_leaks_pair_each_later_text_with_the_earlier_one() -> None:
    texts = ["Card lost", LONG.format(1), "CARD lost", LONG.format(27), "hello there", "card  lost", "bye"]
    splits = ["train", "validation", "test", "test", "test", "validation", "test"]

    result = leaks(texts, splits)

    assert result.pairs == (
        Leak(first=0, second=2, exact=True),
        Leak(first=5, second=2, exact=True),
        Leak(first=1, second=3, exact=False),
        Leak(first=0, second=5, exact=True),
    )
    assert result.test_share == 2 / 4


def test_many_copies_on_both_sides_are_one_pair_each() -> None:
    result = leaks(["same text"] * 200, ["train"] * 100 + ["test"] * 100)

    assert len(result.pairs) == 100
    assert result.test_share == 1.0


def test_splits_without_test_have_no_share() -> None:
    assert leaks(["a text", "a text"], ["train", "validation"]).test_share == 0.0
    assert leaks([], []).pairs == ()


@pytest.mark.parametrize(("texts", "splits"), [(["a"], []), (["a"], ["excluded"])])
def test_leaks_refuses_what_is_no_split(texts: list[str], splits: list[str]) -> None:
    with pytest.raises(ValueError, match="one of the splits train, validation, test"):
        leaks(texts, splits)


def test_check_tells_exact_leaks_from_near_ones() -> None:
    rows = [
        *good(),
        Row(50, LONG.format(1), "shipping", "train"),
        Row(51, LONG.format(22), "shipping", "test"),
        Row(52, "same words", "billing", "validation"),
        Row(53, "Same words", "billing", "test"),
        Row(54, "same WORDS", "billing", "excluded"),
    ]

    report = check(rows, categories=CATEGORIES)

    assert (found(report, "text_in_two_splits").level, found(report, "text_in_two_splits").rows) == ("error", (53,))
    near = found(report, "near_duplicate_in_two_splits")
    assert (near.level, near.rows) == ("warning", (51,))
    assert "100% of test leak in all" in near.message


# --- report ---------------------------------------------------------------------------------------
def test_report_is_plain_json() -> None:
    report = check([*good(), Row(90, "", "billing")], categories=CATEGORIES)

    plain = json.loads(json.dumps(report.as_dict()))

    assert plain == report.as_dict()
    assert set(plain) == {"ok", "n_rows", "n_valid", "counts", "fingerprint", "findings", "test_leak_share"}
    assert plain["ok"] is False
    assert set(plain["findings"][0]) == {"level", "code", "message", "rows", "count"}
