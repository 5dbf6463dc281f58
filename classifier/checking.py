"""Whether tickets are fit to train on, those of a file before it is imported or the database's: validate_data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.db import OperationalError, ProgrammingError

from classifier.ml.split import SPLITS, assign, at_random
from classifier.ml.text import groups, normalise
from classifier.ml.validation import SHOWN, Finding, Report, Row, check, label_key, leaks
from classifier.models import Category, Label
from classifier.naming import CategoryNames
from classifier.placing import Progress, unseen
from classifier.reading import Columns, FileRow, read


@dataclass(frozen=True)
class Checked:
    """What was found in a file, or in the database (path is None then).

    categories: the labels that were allowed; None if the database has none yet, so that any was.
    splits: "column", "import" (those an import into an empty database would make), "database" or None (not looked at).
    random_leak_share: where the file has no splits, the share of test rows that a random split would leak.
    """

    path: Path | None
    report: Report
    categories: tuple[str, ...] | None
    splits: str | None
    per_split: Mapping[str, int]
    random_leak_share: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints and `--output` writes, in plain JSON types.

        path, categories, splits, per_split {split: rows} and random_leak_share as above; ok, n_rows, n_valid, counts
        {label: tickets}, fingerprint (SHA-256 of the valid rows in any order), test_leak_share (of the test rows, 0 to
        1, or null), findings [{level "error" or "warning", code, message, rows (the first 20 numbers of lines or, in
        the database, of tickets), count}].
        """
        return {
            "path": None if self.path is None else str(self.path),
            "categories": None if self.categories is None else list(self.categories),
            "splits": self.splits,
            "per_split": dict(self.per_split),
            "random_leak_share": self.random_leak_share,
            **self.report.as_dict(),
        }


@dataclass
class Faults:
    """The rows that could not be read, by code; a place to note them while the others stream by."""

    messages: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def sound(self, rows: Iterable[FileRow]) -> Iterator[FileRow]:
        """The rows without a fault; the others are noted."""
        for row in rows:
            if row.fault is None:
                yield row
                continue
            code = row.fault.code
            self.counts[code] += 1
            self.messages.setdefault(code, f"Line {row.number} {row.fault.message}")
            if self.counts[code] <= SHOWN:
                self.rows.setdefault(code, []).append(row.number)

    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            Finding("error", code, self._message(code), tuple(self.rows[code]), count)
            for code, count in self.counts.items()
        )

    def _message(self, code: str) -> str:
        more = self.counts[code] - 1
        others = f" So {'does 1 row' if more == 1 else f'do {more:,} rows'} more." if more else ""
        return self.messages[code] + others


def check_file(
    path: Path,
    *,
    columns: Columns,
    imbalance_ratio: float,
    check_splits: bool = False,
    seed: int = 0,
    progress: Progress = unseen,
) -> Checked:
    """Looks through a file for all that would make a training on it fail or mislead.

    Allowed labels are the active categories of the database or, if it has none, whatever the file has. check_splits:
    no text may stand in two splits, be they those of a column `split` or, without one, those that an import would
    make; then it is also said what the random split of the original would leak. Raises UnreadableFile.
    """
    categories = _categories()
    allowed = tuple(category.slug for category in categories if category.active) or None
    names = CategoryNames(categories)
    faults = Faults()
    columns = replace(columns, split="split" if check_splits else None)
    rows: Sequence[Row] = [
        replace(row, label=_slug(row.label, names), split=label_key(row.split or "") or None)
        for row in faults.sound(progress(read(path, columns=columns), None, "Reading"))
    ]
    source = by_chance = None
    if check_splits:
        source = "column" if any(row.split for row in rows) else "import"
    if source == "import":
        rows = _with_splits(rows, allowed=allowed, seed=seed)
        by_chance = _random_leak_share([row for row in rows if row.split], seed=seed)
    report = check(rows, categories=allowed, imbalance_ratio=imbalance_ratio)
    report = replace(
        report,
        n_rows=report.n_rows + faults.counts.total(),
        findings=(*faults.findings(), *_unknown_splits(rows), *report.findings, *_too_much_alike(rows, report)),
    )
    return Checked(
        path=path,
        report=report,
        categories=allowed,
        splits=source,
        per_split=_per_split(rows) if source else {},
        random_leak_share=by_chance,
    )


def check_database(*, imbalance_ratio: float, check_splits: bool = False) -> Checked:
    """Looks through the labelled tickets of the database, whoever labelled them; demo tickets and retired ones apart.

    check_splits: no text may stand in two splits; tickets that are excluded stand in none.
    """
    labels = Label.objects.current().filter(ticket__is_demo=False, category__active=True).order_by("ticket_id")
    rows = [
        Row(pk, text, slug, split if check_splits and split in SPLITS else None)
        for pk, text, slug, split in labels.values_list("ticket_id", "ticket__text", "category__slug", "ticket__split")
    ]
    categories = tuple(category.slug for category in _categories() if category.active)
    return Checked(
        path=None,
        report=check(rows, categories=categories, imbalance_ratio=imbalance_ratio),
        categories=categories,
        splits="database" if check_splits else None,
        per_split=_per_split(rows) if check_splits else {},
    )


def _per_split(rows: Iterable[Row]) -> dict[str, int]:
    counts = Counter(row.split for row in rows)
    return {split: counts[split] for split in SPLITS}


def _random_leak_share(rows: Sequence[Row], *, seed: int) -> float:
    """What the original's split of these rows would leak: each text once, as it would have them."""
    labels = {normalise(row.text or ""): label_key(row.label or "") for row in rows}
    return leaks(list(labels), at_random(list(labels.values()), seed=seed)).test_share


def _categories() -> list[Category]:
    try:
        return list(Category.objects.all())
    except (OperationalError, ProgrammingError):  # a file can be looked at before the database is migrated
        return []


def _slug(label: str | None, names: CategoryNames) -> str | None:
    """The slug of the category that an import would take the label for, else the label."""
    category = names.find(label or "")
    return label if category is None else category.slug


def _with_splits(rows: Sequence[Row], *, allowed: Sequence[str] | None, seed: int) -> list[Row]:
    """The rows with the splits that an import into an empty database would give them; bad rows get none."""
    known = None if allowed is None else {label_key(slug) for slug in allowed}
    labels: dict[str, str] = {}  # by normalised text: of rows with the same text only the first becomes a ticket
    for row in rows:
        text, label = normalise(row.text or ""), label_key(row.label or "")
        if text and label and (known is None or label in known):
            labels.setdefault(text, label)
    texts = list(labels)
    members: dict[int, list[str]] = defaultdict(list)
    for name, text in zip(groups(texts), texts, strict=True):
        members[name].append(text)
    splits = assign([Counter(labels[text] for text in found) for found in members.values()], {}, seed=seed)
    split_of = {text: split for found, split in zip(members.values(), splits, strict=True) for text in found}
    return [replace(row, split=split_of.get(normalise(row.text or ""))) for row in rows]


def _too_much_alike(rows: Sequence[Row], report: Report) -> list[Finding]:
    """Whether fewer than two categories have different texts for every split: then nothing can be learnt."""
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        text, label = normalise(row.text or ""), label_key(row.label or "")
        if text and label:
            texts[label][text] = text
    poor = {label: count for label, count in report.counts.items() if not _are_different(texts[label_key(label)])}
    if len(report.counts) < 2 or len(report.counts) - len(poor) >= 2:
        return []  # one category alone is told of already
    listed = ", ".join(f"{label[:40]} ({count})" for label, count in list(poor.items())[:SHOWN])
    message = (
        f"Training needs two categories that each have a different ticket for {', '.join(SPLITS)}; too few or too much "
        f"alike: {listed}. Add other tickets, not variants of these."
    )
    return [Finding("error", "too_much_alike", message, (), len(poor))]


def _are_different(texts: Collection[str]) -> bool:
    """Whether the texts are of as many near-duplicate groups as there are splits; the first few hundred mostly tell."""
    first = list(texts)[:300]
    return len(set(groups(first))) >= len(SPLITS) or (
        len(first) < len(texts) and len(set(groups(list(texts)))) >= len(SPLITS)
    )


def _unknown_splits(rows: Sequence[Row]) -> list[Finding]:
    unknown = [row for row in rows if row.split is not None and row.split not in SPLITS]
    if not unknown:
        return []
    found = ", ".join(sorted({repr(row.split) for row in unknown})[:5])
    message = f"A split must be one of {', '.join(SPLITS)}; found {found}. Rename it, or leave it empty."
    return [Finding("error", "unknown_split", message, tuple(row.number for row in unknown[:SHOWN]), len(unknown))]
