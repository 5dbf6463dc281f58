"""The figures of a training under the names that MLflow keeps them by. What is sent, and how, is tracking.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

AGGREGATES = (
    "accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "log_loss",
    "calibration_error",
)


PREFIXES = {"validation": "val", "test": "test"}  # the splits whose scores a training leaves


def named(metrics: Mapping[str, Any]) -> dict[str, float]:
    """All figures of ModelVersion.metrics: test_macro_f1, test_category/billing/f1, test_auto_coverage.

    What an older version does not have, or what is no number, is left out.
    """
    return {
        f"{prefix}_{name}": float(value)
        for split, prefix in PREFIXES.items()
        for name, value in _of_split(metrics, split)
        if isinstance(value, int | float)
    }


def _of_split(metrics: Mapping[str, Any], split: str) -> Iterator[tuple[str, Any]]:
    scores, trade = metrics.get(split, {}), metrics.get("automatic", {}).get(split, {})
    yield from ((name, scores.get(name)) for name in AGGREGATES)
    for slug, of_category in scores.get("per_category", {}).items():
        yield from ((f"category/{slug}/{name}", value) for name, value in of_category.items())
    yield from ((f"auto_{name}", trade.get(name)) for name in ("coverage", "precision"))
