"""The figures of a training under the names that MLflow keeps them by. What is sent, and how, is tracking.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from classifier.ml.scoring import Scores

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


def named(*, validation: Scores, test: Scores, trades: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """All figures of a training. trades: what its thresholds give on `validation` and on `test`."""
    automatic = {**_automatic("val", trades["validation"]), **_automatic("test", trades["test"])}
    return {**_flat("val", validation), **_flat("test", test), **automatic}


def _flat(prefix: str, scores: Scores) -> dict[str, float]:
    """Scores: test_macro_f1, test_category/billing/f1."""
    found: Mapping[str, Any] = scores.as_dict()
    named = {f"{prefix}_{name}": found[name] for name in AGGREGATES if found[name] is not None}
    for slug, of_category in found["per_category"].items():
        named |= {f"{prefix}_category/{slug}/{name}": float(value) for name, value in of_category.items()}
    return named


def _automatic(prefix: str, trade: Mapping[str, Any]) -> dict[str, float]:
    """A trade as Trade.as_dict() has it: test_auto_coverage, test_auto_precision (if any answer was automatic)."""
    named = {f"{prefix}_auto_{name}": trade[name] for name in ("coverage", "precision")}
    return {name: value for name, value in named.items() if value is not None}
