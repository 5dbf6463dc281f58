"""Drift snapshots: the newest predictions of the version in production held against what it was on validation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings

from classifier.ml import profile as profiles
from classifier.ml import shift, telling
from classifier.ml.artifact import DamagedModel
from classifier.ml.profile import Batch, Indices, Numbers, Profile
from classifier.ml.shift import Signal
from classifier.models import ModelVersion, Prediction
from mlops import quality, severity
from mlops.evaluation import NothingToScore, texts_of
from mlops.models import DriftSnapshot
from mlops.profiling import profile_of

METHOD = (
    f"Six signals, thresholds resampled for both sizes, family-wise {shift.FAMILY_WISE:.0%}; all but the shares within "
    "the answered categories"
)
HISTOGRAM_BINS = 12
Verdict = DriftSnapshot.Verdict


class NoReference(RuntimeError):
    """The version in production has nothing that its predictions could be compared with; the message says why."""


@dataclass(frozen=True, eq=False)
class Window:
    """The newest predictions, oldest first: their columns, their texts (None: removed) and where they stand.

    last_prediction: the newest that was looked at, also if it is too old for the window.
    """

    batch: Batch
    texts: tuple[str | None, ...]
    from_: datetime | None
    to: datetime | None
    last_prediction: int | None


def watch(now: datetime) -> DriftSnapshot | None:
    """A snapshot, if one is due: by the clock or by the number of new predictions; else, or without a version, None.

    Raises NoReference.
    """
    version = ModelVersion.objects.in_production().light().first()
    return take_snapshot(now) if version is not None and is_due(version, now) else None


def is_due(version: ModelVersion, now: datetime) -> bool:
    newest = DriftSnapshot.objects.real().filter(version=version).defer(*DriftSnapshot.HEAVY).first()
    if newest is None or now - newest.created_at >= timedelta(minutes=settings.DRIFT_SNAPSHOT_MINUTES):
        return True
    wanted = settings.DRIFT_SNAPSHOT_PREDICTIONS
    # By the index, and no further than to the number that decides.
    fresh = Prediction.objects.filter(version=version, is_demo=False, pk__gt=newest.last_prediction or 0)
    return bool(fresh.order_by("-pk").values("pk")[:wanted].count() >= wanted)


def take_snapshot(now: datetime) -> DriftSnapshot | None:
    """Compares the newest predictions of the version in production with its profile, and stores what came of it.

    The newest DRIFT_WINDOW predictions, none older than DRIFT_WINDOW_HOURS, demo ones left out. None without a version
    in production. Raises NoReference if the version's profile is missing and cannot be made.
    """
    began = time.perf_counter()
    # Megabytes of scores and answers are not needed.
    version = (
        ModelVersion.objects.in_production()
        .defer("metrics", "parameters", "thresholds", "validation_answers", "test_answers")
        .first()
    )
    if version is None:
        return None
    try:
        profile = profile_of(version)
    except (NothingToScore, DamagedModel, ValueError) as error:
        raise NoReference(f"Drift of {version} cannot be told: {error} Train anew with: manage.py train") from error
    window = recent(version, profile, now=now)
    snapshot = DriftSnapshot(version=version, created_at=now, method=METHOD, **_figures(profile, window))
    if len(window.batch):
        _compare(snapshot, profile, window)
    else:
        snapshot.verdict = Verdict.TOO_FEW
    if snapshot.verdict == Verdict.TOO_FEW:
        snapshot.words, snapshot.advice = severity.too_few(
            found=len(window.batch), wanted=settings.DRIFT_MIN_PREDICTIONS, hours=settings.DRIFT_WINDOW_HOURS
        )
    snapshot.quality = quality.summary(version, now)
    snapshot.seconds = round(time.perf_counter() - began, 2)
    snapshot.save()
    return snapshot


def recent(version: ModelVersion, profile: Profile, *, now: datetime) -> Window:
    """The version's newest predictions. A category that the profile lacks is counted as none of its own."""
    rows = (
        Prediction.objects.filter(version=version, is_demo=False)
        .order_by("-pk")
        .values_list(
            "pk",
            "created_at",
            "n_words",
            "unknown_share",
            "confidence",
            "category__slug",
            "ticket__text",
            "ticket__text_removed_at",
        )
    )
    oldest = now - timedelta(hours=settings.DRIFT_WINDOW_HOURS)
    # The number first, by the index: a condition on the time would read on through all that is older.
    looked = list(rows[: settings.DRIFT_WINDOW])
    found = [row for row in looked if row[1] >= oldest][::-1]
    place = {slug: index for index, slug in enumerate(profile.categories)}
    return Window(
        batch=Batch(
            n_words=np.array([row[2] for row in found], dtype=np.int64),
            unknown=np.array([row[3] for row in found], dtype=np.float64),
            confidence=np.array([row[4] for row in found], dtype=np.float64),
            category=np.array([place.get(row[5], -1) for row in found], dtype=np.int64),
        ),
        texts=tuple(None if removed else text for *_, text, removed in found),
        from_=found[0][1] if found else None,
        to=found[-1][1] if found else None,
        last_prediction=looked[0][0] if looked else None,  # too old, it is at least not new the next time
    )


# --- Below: a snapshot's parts ------------------------------------------------------------------------
def _compare(snapshot: DriftSnapshot, profile: Profile, window: Window) -> None:
    """Fills in verdict, signals, words and estimate."""
    is_enough = len(window.batch) >= settings.DRIFT_MIN_PREDICTIONS
    strata = shift.stratify(profile, window.batch)
    signals = list(shift.compare(profile, window.batch, strata, is_enough=is_enough))
    told = _tell_apart(profile, window, strata, is_enough=is_enough)
    if told is not None:
        signals.append(told.signal)
    snapshot.estimated_accuracy = profiles.estimated_accuracy(profile, window.batch)
    # Words of texts that chance alone tells apart as well are words of chance.
    snapshot.telling_words = [asdict(word) for word in told.words] if told and told.signal.drifted else []
    facts = severity.Facts(
        signals=signals,
        since=_since(snapshot, signals),
        lengths=profiles.lengths(profile.batch.n_words, window.batch.n_words),
        expected_words=float(profile.batch.n_words @ strata.weights),
        reference_shares=snapshot.reference["categories"],
        recent_shares=snapshot.recent["categories"],
        telling=told.words if told else (),
        recent_confidence=float(window.batch.confidence.mean()),
        recent_unknown=float(window.batch.unknown.mean()),
        estimated_accuracy=snapshot.estimated_accuracy,
        reference_accuracy=profile.accuracy,
    )
    snapshot.signals = [_plain(signal, facts) for signal in signals]
    snapshot.severity = severity.severity(signals)
    snapshot.is_likely_worse = "confidence" in facts.drifted
    if not is_enough:
        snapshot.verdict = Verdict.TOO_FEW
    elif facts.drifted:
        snapshot.verdict = Verdict.DRIFTED
        snapshot.words, snapshot.advice = severity.drifted(facts)
    else:
        snapshot.verdict = Verdict.STEADY
        snapshot.words, snapshot.advice = severity.steady(n_recent=len(window.batch), n_reference=len(profile.batch))


def _tell_apart(profile: Profile, window: Window, strata: shift.Strata, *, is_enough: bool) -> telling.Told | None:
    """The texts of both sides told apart: those of the reference that are still there, those of the window that are."""
    held = texts_of(profile.ids)
    known = [index for index, pk in enumerate(profile.ids) if pk in held]
    if len(known) > telling.MOST_TEXTS:
        known = sorted(np.random.RandomState(profiles.SEED).permutation(known)[: telling.MOST_TEXTS].tolist())
    asked = [index for index, text in enumerate(window.texts) if text is not None]
    return telling.tell_apart(
        [held[profile.ids[index]] for index in known],
        [text for text in window.texts if text is not None],
        reference_strata=strata.reference[known],
        recent_strata=strata.window[asked],
        is_enough=is_enough,
    )


def _since(snapshot: DriftSnapshot, signals: Sequence[Signal]) -> dict[str, datetime]:
    """Since when each drifted signal is beyond its threshold without a pause, this snapshot included."""
    before = DriftSnapshot.objects.real().filter(version=snapshot.version).only("signals", "created_at").first()
    earlier: dict[str, str] = {}
    if before is not None:
        earlier = {signal["name"]: signal["since"] for signal in before.signals if signal.get("since")}
    return {
        signal.name: datetime.fromisoformat(earlier[signal.name]) if signal.name in earlier else snapshot.created_at
        for signal in signals
        if signal.drifted
    }


def _plain(signal: Signal, facts: severity.Facts) -> dict[str, Any]:
    since = facts.since.get(signal.name)
    return {
        "name": signal.name,
        "value": round(signal.value, 6),
        "threshold": None if signal.threshold is None else round(signal.threshold, 6),
        "drifted": signal.drifted,
        "since": since.isoformat() if since else None,
        "words": f"{severity.meaning(signal, facts)}." if signal.drifted else "",
    }


def _figures(profile: Profile, window: Window) -> dict[str, Any]:
    """The columns that only describe the two sides."""
    sides = profiles.lengths(profile.batch.n_words, window.batch.n_words)
    found = {**asdict(sides)}
    if not len(window.batch):
        found |= {"recent_mean": None, "recent_std": None, "drift_score": None}
    both = np.concatenate([profile.batch.n_words, window.batch.n_words])
    edges = np.unique(np.linspace(0, max(1.0, float(np.quantile(both, 0.99))), HISTOGRAM_BINS + 1).round())
    return {
        **found,
        "window_size": settings.DRIFT_WINDOW,
        "recent_count": len(window.batch),
        "reference_count": len(profile.batch),
        "window_from": window.from_,
        "window_to": window.to,
        "last_prediction": window.last_prediction,
        "reference_accuracy": profile.accuracy,
        "reference": _side(profile.batch, profile.categories, edges),
        "recent": _side(window.batch, profile.categories, edges),
    }


def _side(batch: Batch, categories: Sequence[str], edges: Numbers) -> dict[str, Any]:
    """One side in figures: {"words": {...}, "categories": {slug: share}, "confidence", "unknown"}."""
    return {
        "words": _words(batch.n_words, edges),
        "categories": _shares(batch.category, categories),
        "confidence": float(batch.confidence.mean()) if len(batch) else None,
        "unknown": float(batch.unknown.mean()) if len(batch) else None,
    }


def _words(counts: Indices, edges: Numbers) -> dict[str, Any]:
    """Word counts in figures, and a histogram whose last bin has all that are longer."""
    histogram = np.histogram(np.minimum(counts, edges[-1]), bins=edges)[0]
    some = len(counts) > 0
    return {
        "count": len(counts),
        "mean": float(counts.mean()) if some else None,
        "std": float(counts.std()) if some else None,
        "min": int(counts.min()) if some else None,
        "max": int(counts.max()) if some else None,
        "edges": edges.tolist(),
        "histogram": histogram.tolist(),
    }


def _shares(category: Indices, categories: Sequence[str]) -> Mapping[str, float]:
    counts = np.bincount(category[category >= 0], minlength=len(categories))
    total = max(1, len(category))
    return {slug: float(count / total) for slug, count in zip(categories, counts, strict=True)}
