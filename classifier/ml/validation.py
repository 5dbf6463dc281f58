"""Whether tickets are fit to train on: what is wrong with them, in words, row by row. Reads no files."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from classifier.ml.split import SPLITS
from classifier.ml.text import fingerprint, near_pairs, normalise

SHOWN = 20  # rows named in a finding; its count tells of the rest
SPLITTABLE = 7  # tickets from which on split.assign fills all three splits


@dataclass(frozen=True)
class Row:
    """One row of tickets as it was read; number is its line, for the reader's eyes."""

    number: int
    text: str | None
    label: str | None
    split: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing found. level: "error" (do not train) or "warning". rows: the first 20 line numbers of count."""

    level: str
    code: str
    message: str
    rows: tuple[int, ...]
    count: int


@dataclass(frozen=True)
class Report:
    """What check found. n_valid: rows with a text and a known label; counts and fingerprint are of these alone.

    test_leak_share: share of the test rows, 0.0 to 1.0, with a duplicate or near-duplicate in another split; None if
    no row stands in test.
    """

    n_rows: int
    n_valid: int
    counts: Mapping[str, int]
    fingerprint: str
    findings: tuple[Finding, ...]
    test_leak_share: float | None = None

    @property
    def ok(self) -> bool:
        return not any(finding.level == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report in plain JSON types, with "ok"."""
        findings = [asdict(finding) | {"rows": list(finding.rows)} for finding in self.findings]
        return asdict(self) | {"ok": self.ok, "counts": dict(self.counts), "findings": findings}


@dataclass(frozen=True)
class Leak:
    """Two texts, by index, that stand in different splits: the same text (exact) or near-duplicates.

    first stands in the earlier split (train before validation before test), second in the later one.
    """

    first: int
    second: int
    exact: bool


@dataclass(frozen=True)
class Leaks:
    """All leaks, and the share of test texts (0.0 to 1.0) with a duplicate or near-duplicate in another split."""

    pairs: tuple[Leak, ...]
    test_share: float


def check(rows: Iterable[Row], *, categories: Collection[str] | None, imbalance_ratio: float = 10.0) -> Report:
    """Looks for everything that would make a training on these rows fail or mislead.

    categories: the allowed labels; None allows any. Labels are compared stripped and casefolded.
    imbalance_ratio: how many times the rarest category the commonest may be without a warning.
    Rows that carry a split are looked through for leaks, too.

    >>> report = check([Row(2, "Refund", "billing"), Row(3, " ", "general")], categories=["billing", "general"])
    >>> [(finding.level, finding.code, finding.rows) for finding in report.findings]  # doctest: +NORMALIZE_WHITESPACE
    [('error', 'empty_text', (3,)), ('error', 'one_category', ()),
     ('warning', 'category_without_tickets', ()), ('warning', 'category_too_small', ())]
    """
    allowed = None if categories is None else {label_key(category): category for category in categories}
    held = [(row, normalise(row.text or ""), label_key(row.label or "")) for row in rows]
    valid = [
        (row, text, key if allowed is None else allowed[key])
        for row, text, key in held
        if text and key and (allowed is None or key in allowed)
    ]
    counts = Counter(label for _, _, label in valid)
    standing = [row for row, _, _ in valid if row.split in SPLITS]
    found = leaks([row.text or "" for row in standing], [row.split or "" for row in standing])
    findings = [
        *_row_findings(held, allowed),
        *_duplicates(valid),
        *_class_findings(counts, categories, imbalance_ratio=imbalance_ratio),
        *_leak_findings(standing, found),
    ]
    return Report(
        n_rows=len(held),
        n_valid=len(valid),
        counts=dict(sorted(counts.items())),
        fingerprint=fingerprint((text, label) for _, text, label in valid),
        findings=tuple(findings),
        test_leak_share=found.test_share if any(row.split == "test" for row in standing) else None,
    )


def label_key(label: str) -> str:
    """The label as it is compared: stripped and casefolded.

    >>> label_key(" Billing ")
    'billing'
    """
    return label.strip().casefold()


def leaks(texts: Sequence[str], splits: Sequence[str]) -> Leaks:
    """The texts that stand in two splits, whole or nearly (Jaccard of at least 0.8).

    splits: one of train, validation and test for each text. Each text of a later split is paired with the first copy
    of each text it repeats in an earlier one, so 1,000 copies on both sides give 1,000 pairs.
    Raises ValueError if the lengths differ or a split has another name.

    >>> leaks(["card lost", "Card lost", "hello there"], ["train", "test", "test"])
    Leaks(pairs=(Leak(first=0, second=1, exact=True),), test_share=0.5)
    """
    if len(texts) != len(splits) or not set(splits) <= set(SPLITS):
        raise ValueError(
            f"Each text needs one of the splits {', '.join(SPLITS)}; there are {len(texts)} texts and {len(splits)} "
            f"splits, named {', '.join(sorted(set(splits)))}. Leave out rows that stand in no split."
        )
    copies: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, (text, split) in enumerate(zip(texts, splits, strict=True)):
        copies[normalise(text), split].append(index)
    items = list(copies)
    found: list[Leak] = []
    for one, other in near_pairs([text for text, _ in items], sides=[split for _, split in items]):
        earlier, later = sorted((items[one], items[other]), key=lambda item: SPLITS.index(item[1]))
        found += [Leak(copies[earlier][0], index, earlier[0] == later[0]) for index in copies[later]]
    leaking = {leak.second for leak in found if splits[leak.second] == "test"}
    return Leaks(tuple(sorted(found, key=lambda leak: (leak.second, leak.first))), _share(len(leaking), splits))


def _share(n_leaking: int, splits: Sequence[str]) -> float:
    n_test = sum(split == "test" for split in splits)
    return n_leaking / n_test if n_test else 0.0


def _finding(level: str, code: str, message: str, rows: Sequence[int] = (), *, count: int | None = None) -> Finding:
    return Finding(level, code, message, tuple(rows[:SHOWN]), len(rows) if count is None else count)


def _row_findings(held: Sequence[tuple[Row, str, str]], allowed: Mapping[str, str] | None) -> Iterator[Finding]:
    """What is wrong with single rows: no text, no label, an unknown label."""
    empty = [row.number for row, text, _ in held if not text]
    if empty:
        message = f"Every ticket needs a text; {_rows(empty)} without. Fill in the text or delete the row."
        yield _finding("error", "empty_text", message, empty)
    missing = [row.number for row, _, key in held if not key]
    if missing:
        message = f"Every ticket needs a label; {_rows(missing)} without. Label the ticket or delete the row."
        yield _finding("error", "missing_label", message, missing)
    if allowed is None:
        return
    unknown = [(row.number, (row.label or "").strip()) for row, _, key in held if key and key not in allowed]
    if unknown:
        listed = _listed(
            [f"{label[:40]!r} ({count})" for label, count in Counter(label for _, label in unknown).items()]
        )
        message = (
            f"Labels must be one of {', '.join(allowed.values())}; found {listed}. Correct them, or add the category."
        )
        yield _finding("error", "unknown_label", message, [number for number, _ in unknown])


def _duplicates(valid: Sequence[tuple[Row, str, str]]) -> Iterator[Finding]:
    """Texts given twice: with the same label a waste, with different ones a contradiction."""
    seen: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, text, label in valid:
        seen[text][label].append(row.number)
    conflicts = sorted(
        number for by_label in seen.values() if len(by_label) > 1 for n in by_label.values() for number in n
    )
    if conflicts:
        message = (
            f"A text must have one label; {_rows(conflicts)} with a text that has several. Decide which is right and "
            "correct or delete the others."
        )
        yield _finding("error", "conflict", message, conflicts)
    repeats = sorted(number for by_label in seen.values() for numbers in by_label.values() for number in numbers[1:])
    if repeats:
        message = f"A ticket counts once; {_rows(repeats)} with text and label of an earlier one. Delete the repeats."
        yield _finding("warning", "duplicate", message, repeats)


def _class_findings(
    counts: Mapping[str, int], categories: Collection[str] | None, *, imbalance_ratio: float
) -> Iterator[Finding]:
    """What is wrong with the number of tickets by category."""
    if len(counts) < 2:
        message = (
            f"Training needs tickets of at least two categories; these are of {len(counts)} "
            f"({''.join(counts)[:40] or 'none'}). Import tickets of another one."
        )
        yield _finding("error", "one_category", message)
    without = sorted(set(categories or ()) - set(counts))
    if without:
        message = f"Each category should have tickets; {', '.join(without)} have none and are never answered. Add some."
        yield _finding("warning", "category_without_tickets", message, count=len(without))
    small = [f"{label[:40]} ({count})" for label, count in sorted(counts.items()) if count < SPLITTABLE]
    if small:
        message = (
            f"A category needs {SPLITTABLE} tickets to stand in train, validation and test; too few: "
            f"{_listed(small)}. Add tickets, or its scores mean nothing."
        )
        yield _finding("warning", "category_too_small", message, count=len(small))
    if counts and max(counts.values()) > imbalance_ratio * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        message = (
            f"No category should have more than {imbalance_ratio:g} times the tickets of another; {most[:40]} has "
            f"{counts[most]}, {least[:40]} {counts[least]}. Add tickets of {least[:40]}."
        )
        yield _finding("warning", "imbalance", message)


def _leak_findings(rows: Sequence[Row], found: Leaks) -> Iterator[Finding]:
    """Texts in two splits: an error; near-duplicates in two splits: a warning, since the line is not sharp."""
    wordings = (
        (True, "error", "text_in_two_splits", "the text of another split"),
        (False, "warning", "near_duplicate_in_two_splits", "a near-duplicate in another split"),
    )
    for exact, level, code, words in wordings:
        numbers = sorted({rows[leak.second].number for leak in found.pairs if leak.exact is exact})
        if numbers:
            message = (
                f"A split must not know another's tickets; {_rows(numbers)} with {words} "
                f"({found.test_share:.0%} of test leak in all). Move the group into one split, or delete the copies."
            )
            yield _finding(level, code, message, numbers)


def _listed(names: Sequence[str]) -> str:
    """The first twenty of the names, and how many more: the wrong column may have a label for every row."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _rows(numbers: Sequence[int]) -> str:
    """How many rows there are: "1 row is", "3 rows are"."""
    return "1 row is" if len(numbers) == 1 else f"{len(numbers)} rows are"
