"""The names of scores: of those over all categories, of the splits in files, and all of a training's in MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# The scores over all categories, by their name in Scores, and in words.
AGGREGATES = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "weighted_f1": "weighted F1",
    "log_loss": "log-loss",
    "calibration_error": "calibration error",
}
# The names that the original's reports had, so that scripts written for it find them.
PREFIXES = {"train": "train", "validation": "val", "test": "test", "all": "all"}
TOLD = ("validation", "test")  # the splits whose scores a training leaves


def named(metrics: Mapping[str, Any]) -> dict[str, float]:
    """All figures of ModelVersion.metrics: test_macro_f1, test_category/billing/f1, test_auto_coverage.

    What an older version does not have, or what is no number, is left out.
    """
    return {
        f"{PREFIXES[split]}_{name}": float(value)
        for split in TOLD
        for name, value in _of_split(metrics, split)
        if isinstance(value, int | float)
    }


def _of_split(metrics: Mapping[str, Any], split: str) -> Iterator[tuple[str, Any]]:
    scores, trade = metrics.get(split, {}), metrics.get("automatic", {}).get(split, {})
    yield from ((name, scores.get(name)) for name in AGGREGATES)
    for slug, of_category in scores.get("per_category", {}).items():
        yield from ((f"category/{slug}/{name}", value) for name, value in of_category.items())
    yield from ((f"auto_{name}", trade.get(name)) for name in ("coverage", "precision"))
