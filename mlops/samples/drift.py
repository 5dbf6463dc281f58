"""A made-up drift snapshot of a demo version: longer tickets with other words than those it was held against."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from classifier.models import ModelVersion
from mlops.models import DriftSnapshot

REFERENCE, RECENT = 600, 500  # tickets
WINDOW_HOURS = 30
EDGES = (0, 5, 8, 12, 16, 22, 30, 40, 55, 80)  # words, the least of each bin of the histogram; the last is open
CONFIDENCE_BINS = 10
# Thresholds as they come out for 500 recent tickets against 600.
THRESHOLDS = {
    "word_count_psi": 0.1,
    "word_count_ks": 0.11,
    "unknown_words": 0.02,
    "confidence": 0.02,
    "category_shares": 0.1,
    "text": 0.55,
}
IN_WORDS = {
    "word_count_psi": "The lengths of tickets",
    "word_count_ks": "The widest gap between the lengths of tickets",
    "unknown_words": "The share of unknown words",
    "confidence": "The fall of the mean confidence",
    "category_shares": "The shares of the categories",
    "text": "How well the texts can be told apart",
}
TOLD_APART = 0.63  # of pairs of an old and a new text, by their words; 0.5 is chance
TELLING = ("roaming", "eSIM", "voucher", "courier", "chargeback")
Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


class Tickets:
    """Made-up tickets in figures: words, unknown share, confidence and category of each, shape (n,)."""

    def __init__(self, rng: np.random.Generator, *, n: int, longer: float, unknown: float, shares: Numbers) -> None:
        self.words = np.maximum(1, rng.gamma(2.0, 13.0 * longer, size=n)).astype(np.int64)
        self.unknown = rng.beta(1, 1 / unknown - 1, size=n)
        self.confidence = 0.5 + 0.5 * rng.beta(5, 0.9, size=n)
        self.category = rng.choice(len(shares), size=n, p=shares)

    def figures(self, slugs: Sequence[str]) -> dict[str, Any]:
        """Histograms and shares, for the column `reference` or `recent`; each histogram adds up to the count."""
        of_category = np.bincount(self.category, minlength=len(slugs))
        of_confidence, _ = np.histogram(self.confidence, bins=CONFIDENCE_BINS, range=(0, 1))
        return {
            "count": len(self.words),
            "words": {
                "mean": round(float(self.words.mean()), 2),
                "std": round(float(self.words.std()), 2),
                "min": int(self.words.min()),
                "max": int(self.words.max()),
            },
            "word_histogram": {"edges": list(EDGES), "counts": self.histogram.tolist()},
            "confidence_histogram": {"bins": CONFIDENCE_BINS, "counts": of_confidence.tolist()},
            "mean_confidence": round(float(self.confidence.mean()), 4),
            "unknown_share": round(float(self.unknown.mean()), 4),
            "categories": {
                slug: round(count / len(self.words), 4) for slug, count in zip(slugs, of_category.tolist(), strict=True)
            },
        }

    @property
    def histogram(self) -> Counts:
        return np.histogram(self.words, bins=[*EDGES, np.inf])[0]


def make_snapshot(version: ModelVersion, *, seed: int, now: datetime) -> DriftSnapshot:
    """A demo snapshot that says drifted; its means, histograms and signals are of the same made-up tickets."""
    rng = np.random.default_rng(seed)
    slugs = version.categories
    shares = rng.dirichlet(np.full(len(slugs), 20.0))
    reference = Tickets(rng, n=REFERENCE, longer=1.0, unknown=0.05, shares=shares)
    recent = Tickets(rng, n=RECENT, longer=1.35, unknown=0.12, shares=shares)
    signals = _signals(reference, recent, n_categories=len(slugs), now=now)
    drifted = [signal["name"] for signal in signals if signal["drifted"]]
    mean, std = float(reference.words.mean()), float(reference.words.std())
    return DriftSnapshot.objects.create(
        version=version,
        verdict=DriftSnapshot.Verdict.DRIFTED,
        severity=DriftSnapshot.Severity.CLEAR,
        words=f"Made up for demonstration. Drifted: {', '.join(drifted)}. Tickets are longer, with words that are new.",
        advice="Nothing: these tickets do not exist. Remove them with manage.py purge_demo.",
        method="made up for demonstration",
        window_size=settings.DRIFT_WINDOW,
        recent_count=RECENT,
        reference_count=REFERENCE,
        window_from=now - timedelta(hours=WINDOW_HOURS),
        window_to=now,
        reference_mean=mean,
        reference_std=std,
        recent_mean=float(recent.words.mean()),
        recent_std=float(recent.words.std()),
        drift_score=abs(float(recent.words.mean()) - mean) / std,
        signals=signals,
        telling_words=list(TELLING),
        reference=reference.figures(slugs),
        recent=recent.figures(slugs),
        estimated_accuracy=round(float(recent.confidence.mean()), 4),
        reference_accuracy=round(float(reference.confidence.mean()), 4),
        is_likely_worse=any(signal["drifted"] for signal in signals if signal["name"] == "confidence"),
        is_demo=True,
        created_at=now,
    )


def _signals(reference: Tickets, recent: Tickets, *, n_categories: int, now: datetime) -> list[dict[str, Any]]:
    categories = [np.bincount(tickets.category, minlength=n_categories) for tickets in (reference, recent)]
    values = {
        "word_count_psi": _psi(reference.histogram, recent.histogram),
        "word_count_ks": _widest_gap(reference.words, recent.words),
        "unknown_words": float(recent.unknown.mean() - reference.unknown.mean()),
        "confidence": float(reference.confidence.mean() - recent.confidence.mean()),
        "category_shares": _psi(*categories),
        "text": TOLD_APART,
    }
    since = (now - timedelta(hours=WINDOW_HOURS)).isoformat()
    return [
        {
            "name": name,
            "value": round(value, 4),
            "threshold": THRESHOLDS[name],
            "drifted": value > THRESHOLDS[name],
            "since": since if value > THRESHOLDS[name] else None,
            "words": f"{IN_WORDS[name]}: {value:.3f}, where {THRESHOLDS[name]:g} is the limit.",
        }
        for name, value in values.items()
    ]


def _psi(reference: Counts, recent: Counts) -> float:
    """As a snapshot has it: half a count is added to each bin, so that empty ones are finite."""
    held, now = ((counts + 0.5) / (counts + 0.5).sum() for counts in (reference, recent))
    return float(((now - held) * np.log(now / held)).sum())


def _widest_gap(reference: Counts, recent: Counts) -> float:
    """The Kolmogorov-Smirnov distance of two samples."""
    points = np.union1d(reference, recent)
    held, now = (np.searchsorted(np.sort(words), points, side="right") / len(words) for words in (reference, recent))
    return float(np.abs(held - now).max())
