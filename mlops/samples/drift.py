"""A made-up drift snapshot of a demo version: longer tickets with other words than those it was held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings

from classifier.ml.profile import Batch, Indices, Numbers, lengths
from classifier.ml.shift import Signal, psi
from classifier.ml.telling import TellingWord
from classifier.models import ModelVersion
from mlops import severity
from mlops.models import DriftSnapshot

REFERENCE, RECENT = 600, 500  # tickets
WINDOW_HOURS = 30
EDGES = np.array([0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 110], dtype=np.float64)  # words, of the histogram
# Thresholds about as large as chance makes them for 500 recent tickets against 600.
THRESHOLDS = {
    "word_count_psi": 0.1,
    "word_count_ks": 0.11,
    "unknown_words": 0.02,
    "confidence": 0.02,
    "category_shares": 0.1,
    "text": 0.12,
}
TOLD_APART = 0.21  # the correlation by which made-up texts, of which there are none, can be told apart
TELLING = (
    TellingWord("roaming", "recent", 0.064, 0.002),
    TellingWord("esim", "recent", 0.052, 0.0),
    TellingWord("voucher", "recent", 0.038, 0.005),
    TellingWord("fax", "reference", 0.0, 0.018),
)


def make_snapshot(version: ModelVersion, *, seed: int, now: datetime) -> DriftSnapshot:
    """A demo snapshot that says drifted; its means, histograms and signals are of the same made-up tickets."""
    rng = np.random.default_rng(seed)
    slugs = version.categories
    shares = rng.dirichlet(np.full(len(slugs), 20.0))
    reference = _tickets(rng, n=REFERENCE, longer=1.0, unknown=0.05, shares=shares)
    recent = _tickets(rng, n=RECENT, longer=1.35, unknown=0.12, shares=shares)
    told = _told(reference, recent, slugs, since=now - timedelta(hours=WINDOW_HOURS))
    words, advice = severity.drifted(told)
    return DriftSnapshot.objects.create(
        version=version,
        verdict=DriftSnapshot.Verdict.DRIFTED,
        severity=severity.severity(told.signals),
        words=f"Made up for demonstration. {words}",
        advice=f"Nothing, for these tickets do not exist. Were they real: {advice}",
        method="made up for demonstration",
        window_size=settings.DRIFT_WINDOW,
        recent_count=RECENT,
        reference_count=REFERENCE,
        window_from=now - timedelta(hours=WINDOW_HOURS),
        window_to=now,
        **asdict(told.lengths),
        signals=[_plain(signal, told) for signal in told.signals],
        telling_words=[asdict(word) for word in TELLING],
        reference=_side(reference, slugs),
        recent=_side(recent, slugs),
        estimated_accuracy=told.estimated_accuracy,
        reference_accuracy=told.reference_accuracy,
        is_likely_worse="confidence" in told.drifted,
        is_demo=True,
        created_at=now,
    )


def _tickets(rng: np.random.Generator, *, n: int, longer: float, unknown: float, shares: Numbers) -> Batch:
    """Made-up tickets in figures; no text stands behind them."""
    return Batch(
        n_words=np.maximum(1, rng.gamma(2.0, 13.0 * longer, size=n)).astype(np.int64),
        unknown=rng.beta(1, 1 / unknown - 1, size=n),
        confidence=0.5 + 0.5 * rng.beta(5, 0.9, size=n),
        category=rng.choice(len(shares), size=n, p=shares).astype(np.int64),
    )


def _told(reference: Batch, recent: Batch, slugs: Sequence[str], *, since: datetime) -> severity.Facts:
    """All that the snapshot's sentences tell of: they are put together as those of a real one."""
    signals = _signals(reference, recent, n_categories=len(slugs))
    sure = float(recent.confidence.mean())
    return severity.Facts(
        signals=signals,
        since={signal.name: since for signal in signals if signal.drifted},
        lengths=lengths(reference.n_words, recent.n_words),
        expected_words=float(reference.n_words.mean()),
        reference_shares=_side(reference, slugs)["categories"],
        recent_shares=_side(recent, slugs)["categories"],
        telling=TELLING,
        recent_confidence=sure,
        recent_unknown=float(recent.unknown.mean()),
        estimated_accuracy=sure,  # a calibrated model is right as often as it says
        reference_accuracy=float(reference.confidence.mean()),
    )


def _signals(reference: Batch, recent: Batch, *, n_categories: int) -> list[Signal]:
    histograms = [_histogram(side).astype(np.float64) for side in (reference, recent)]
    categories = [np.bincount(side.category, minlength=n_categories).astype(np.float64) for side in (reference, recent)]
    values = {
        "word_count_psi": float(psi(*histograms)),
        "word_count_ks": _widest_gap(reference.n_words, recent.n_words),
        "unknown_words": float(recent.unknown.mean() - reference.unknown.mean()),
        "confidence": float(reference.confidence.mean() - recent.confidence.mean()),
        "category_shares": float(psi(*categories)),
        "text": TOLD_APART,
    }
    return [Signal(name=name, value=value, threshold=THRESHOLDS[name]) for name, value in values.items()]


def _plain(signal: Signal, told: severity.Facts) -> dict[str, Any]:
    since = told.since.get(signal.name)
    return {
        "name": signal.name,
        "value": round(signal.value, 6),
        "threshold": signal.threshold,
        "drifted": signal.drifted,
        "since": since.isoformat() if since else None,
        "words": f"{severity.meaning(signal, told)}." if signal.drifted else "",
    }


def _side(side: Batch, slugs: Sequence[str]) -> dict[str, Any]:
    """One side in figures, in the shape of a real snapshot's."""
    counts = np.bincount(side.category, minlength=len(slugs)) / len(side)
    return {
        "words": {
            "count": len(side),
            "mean": float(side.n_words.mean()),
            "std": float(side.n_words.std()),
            "min": int(side.n_words.min()),
            "max": int(side.n_words.max()),
            "edges": EDGES.tolist(),
            "histogram": _histogram(side).tolist(),
        },
        "categories": dict(zip(slugs, counts.tolist(), strict=True)),
        "confidence": float(side.confidence.mean()),
        "unknown": float(side.unknown.mean()),
    }


def _histogram(side: Batch) -> Indices:
    """Tickets by their words; the last bin has all that are longer."""
    counts: Indices = np.histogram(np.minimum(side.n_words, EDGES[-1]), bins=EDGES)[0]
    return counts


def _widest_gap(reference: Indices, recent: Indices) -> float:
    """The Kolmogorov-Smirnov distance of two samples."""
    points = np.union1d(reference, recent)
    held, now = (np.searchsorted(np.sort(words), points, side="right") / len(words) for words in (reference, recent))
    return float(np.abs(held - now).max())
