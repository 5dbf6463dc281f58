"""Figures and tables of what a training left behind as JSON: scores, settings, the report on its data, a verdict.

The numbers were computed once and are read here as they are. A key that an older row lacks leaves its place empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from classifier.admin.cells import NOTHING, figure, share
from classifier.admin.sheets import Cell, Figure, Table

SHOWN_CATEGORIES = 12  # a larger confusion matrix cannot be read; its largest confusions can
SHOWN_CONFUSIONS = 20
COMPARED = {
    "macro_f1": "Macro-F1",
    "weighted_f1": "Weighted F1",
    "accuracy": "Accuracy",
    "log_loss": "Log-loss",
    "calibration_error": "Calibration error",
    "n_tickets": "Tickets",
}
RULES = {
    "not_demo": "Not a demonstration",
    "artifact_whole": "Model file",
    "self_test": "Self-test",
    "passed_over": "Passed over",
    "test_tickets": "Test tickets",
    "least_macro_f1": "Least macro-F1",
    "unseen_tickets": "Test tickets unseen",
    "comparable": "Comparable",
    "gain": "Gain",
    "likely_loss": "Gain, at worst",
    "recall_loss": "Recall by category",
    "calibration_loss": "Calibration",
    "lost_categories": "Categories kept",
    "latency": "Time of an answer",
    "new_recall": "New category",
}
LEVEL_WEIGHT = {"error": 0.6, "warning": None}
NUMBERS = frozenset(range(1, SHOWN_CATEGORIES + 2))
READING = {
    "macro_f1": ("Macro-F1", "the mean of the categories' F1, each counting alike; the gate looks at it"),
    "accuracy": ("Accuracy", "tickets answered rightly"),
    "calibration_error": ("Calibration error", "how far confidence and being right lie apart; 0 is honest"),
    "log_loss": ("Log-loss", "in nats; lower is better"),
    "n_tickets": ("Test tickets", "that no training has seen"),
}


def headline(scores: Mapping[str, Any]) -> list[Figure]:
    """The scores on the test split that decide."""
    shown = {"accuracy": share}
    return [
        Figure(name=name, value=str(shown.get(key, figure)(scores[key])), note=note)
        for key, (name, note) in READING.items()
        if scores.get(key) is not None
    ]


def per_category(scores: Mapping[str, Any]) -> Table:
    """Precision, recall, F1 and support, the weakest category first."""
    found = scores.get("per_category", {})
    weakest_first = sorted(found.items(), key=lambda pair: pair[1]["f1"])
    return Table(
        title="By category, on the test tickets",
        headers=("Category", "Precision", "Recall", "F1", "Tickets"),
        rows=[
            (slug, share(row["precision"]), share(row["recall"]), figure(row["f1"]), figure(row["support"]))
            for slug, row in weakest_first
        ],
        note="Precision: how many of the tickets that it put here belong here. Recall: how many of those that belong "
        "here it put here. F1 is low if either is. The weakest category comes first.",
        empty="This version was not scored.",
        numbers=NUMBERS,
    )


def confusion(scores: Mapping[str, Any]) -> Table:
    """The matrix of truth and answer, or its largest confusions if there are many categories."""
    found = scores.get("confusion", {})
    categories, matrix = found.get("categories", []), found.get("matrix", [])
    if len(categories) > SHOWN_CATEGORIES:
        return _largest_confusions(categories, matrix)
    rows = []
    for truth, (slug, counts) in enumerate(zip(categories, matrix, strict=True)):
        most = sum(counts) or 1
        cells = [Cell(n, weight=n / most, bad=guess != truth) for guess, n in enumerate(counts)]
        rows.append((slug, *cells))
    return Table(
        title="What was taken for what",
        headers=("Truth \\ answer", *categories),
        rows=rows,
        note="Test tickets. A row is what they are, a column what was answered; off the diagonal are the mistakes.",
        empty="This version was not scored.",
        numbers=NUMBERS,
    )


def _largest_confusions(categories: list[str], matrix: list[list[int]]) -> Table:
    pairs = [
        (count, categories[truth], categories[guess], sum(row))
        for truth, row in enumerate(matrix)
        for guess, count in enumerate(row)
        if count and truth != guess
    ]
    largest = sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:SHOWN_CONFUSIONS]
    return Table(
        title="What was taken for what",
        headers=("Truth", "Answered", "Tickets", "Of"),
        rows=[(truth, guess, Cell(count, weight=count / of, bad=True), of) for count, truth, guess, of in largest],
        note=f"The {SHOWN_CONFUSIONS} largest confusions on the test tickets, of {len(categories)} categories.",
        empty="No mistake on the test tickets.",
        numbers=frozenset({2, 3}),
    )


def splits(scores: Mapping[str, Any]) -> Table:
    """Validation beside test: a wide gap says that the choices made on validation do not hold."""
    kept = [split for split in ("validation", "test") if scores.get(split)]
    rows = [(words, *(figure(scores[split].get(name)) for split in kept)) for name, words in COMPARED.items()]
    return Table(
        title="Validation and test",
        headers=("Score", *(split.capitalize() for split in kept)),
        rows=rows if kept else [],
        note="Settings were chosen on validation; test was scored once.",
        empty="This run was not scored.",
        numbers=NUMBERS,
    )


def automatic(scores: Mapping[str, Any]) -> list[Figure]:
    """What the thresholds of its training gave on the test tickets."""
    trade = scores.get("automatic", {}).get("test")
    if not trade:
        return []
    right = "" if trade["precision"] is None else f", {share(trade['precision'])} right"
    note = f"of the answers to test tickets{right}; with the thresholds that its training solved"
    return [Figure(name="Automatic", value=share(trade["coverage"]), note=note)]


def thresholds(solved: Mapping[str, Any]) -> Table:
    """From which confidence on each category's answers are automatic, and what that gave on validation."""
    per_category = solved.get("per_category", {})
    rows: list[tuple[Any, ...]] = [
        (
            slug,
            "review only" if row["threshold"] is None else figure(row["threshold"]),
            "all categories" if row["pooled"] else "its own",
            share(row["target"]),
            share(row["coverage"]),
            share(row["precision"]),
            figure(row["n_tickets"]),
        )
        for slug, row in per_category.items()
    ]
    if rows:
        whole = solved["whole"]
        trade = (share(whole["coverage"]), share(whole["precision"]), figure(whole["n_answers"]))
        rows.append(("All", NOTHING, NOTHING, share(solved["target"]), *trade))
    return Table(
        title="Automatic or for review",
        headers=("Category", "Threshold", "Solved on", "Target", "Coverage", "Precision", "Tickets"),
        rows=rows,
        note="Answers at or above the threshold are automatic. Coverage: how many of a category's answers that is; "
        "precision: how many of those were right, both on the validation tickets, where the thresholds were solved. "
        "manage.py tune_thresholds shows what other targets would give.",
        empty="No thresholds: each of its answers is for review. Train anew with manage.py train.",
        numbers=NUMBERS,
    )


def settings_table(parameters: Mapping[str, Any], title: str = "Settings") -> Table:
    """Names and values, nested ones by their path."""
    return Table(
        title=title,
        headers=("Name", "Value"),
        rows=list(_flat(parameters)),
        empty="None are recorded.",
    )


def _flat(parameters: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in parameters.items():
        here = f"{path}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{here}: ")
        else:
            rows.append((here, value if isinstance(value, str) else json.dumps(value)))
    return rows


def findings(report: Mapping[str, Any]) -> Table:
    """What the validation found in the data."""
    rows = [
        (
            Cell(finding["level"], bad=finding["level"] == "error", weight=LEVEL_WEIGHT[finding["level"]]),
            finding["message"],
            figure(finding["count"]),
            ", ".join(map(str, finding["rows"])) or NOTHING,
        )
        for finding in report.get("findings", [])
    ]
    known = "n_rows" in report
    return Table(
        title="Validation of the data",
        headers=("Level", "Finding", "Rows", "The first of them"),
        rows=rows,
        note=f"{report['n_valid']:,} of {report['n_rows']:,} tickets are fit to train on." if known else "",
        empty="Nothing was found wrong." if known else "The data were not looked at.",
        numbers=frozenset({2}),
    )


def split_counts(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Tickets by category and split."""
    names = [split for split in ("train", "validation", "test") if split in counts]
    categories = sorted({slug for split in names for slug in counts[split]})
    rows = [(slug, *(counts[split].get(slug, 0) for split in names)) for slug in categories]
    whole = ("All", *(sum(counts[split].values()) for split in names))
    return Table(
        title="Tickets",
        headers=("Category", *(name.capitalize() for name in names), "All"),
        rows=[(row[0], *map(figure, row[1:]), figure(sum(row[1:]))) for row in ([*rows, whole] if rows else [])],
        empty="It holds no ticket.",
        numbers=NUMBERS,
    )


def rules(verdict: Mapping[str, Any]) -> Table:
    """What the gate said, rule by rule."""
    return Table(
        title="What the gate says",
        headers=("Rule", "Met", "In words", "Wanted", "Found"),
        rows=[
            (
                RULES.get(rule["name"], rule["name"]),
                "yes" if rule["passed"] else Cell("no", weight=0.6, bad=True),
                rule["words"],
                figure(rule.get("wanted")),
                figure(rule.get("found")),
            )
            for rule in verdict.get("reasons", [])
        ],
        note=_judged_on(verdict),
        empty="The gate was not asked.",
        numbers=frozenset({3, 4}),
        prose=frozenset({2}),
    )


def _judged_on(verdict: Mapping[str, Any]) -> str:
    """Which tickets decided; a verdict of before the gate wrote that down says nothing."""
    if not verdict.get("n_tickets"):
        return ""
    both = f", {verdict['n_compared']:,} of them by both versions" if verdict.get("production") else ""
    return f"Answered were {verdict['n_tickets']:,} test tickets of dataset {verdict['dataset']}{both}."
