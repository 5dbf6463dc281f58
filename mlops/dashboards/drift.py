"""The Drift page: whether recent tickets are still like those the model was validated on, and what that means."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from classifier.models import Category, ModelVersion
from classifier.wording import ago, counted, figure, local, share
from mlops.dashboards import doings, sides, signal_charts, snapshots
from mlops.dashboards.charts import Figure
from mlops.dashboards.filters import MOST_POINTS, Filters
from mlops.dashboards.snapshots import Point
from mlops.models import DriftSnapshot

Verdict = DriftSnapshot.Verdict
LEADS = {"too_few": ("", "Too few to tell"), "steady": ("good", "Steady")}
DRIFTED = {"slight": "Slight drift", "clear": "Clear drift", "strong": "Strong drift"}


def drift(filters: Filters, *, snapshot_pk: int | None = None, now: datetime) -> dict[str, Any]:
    """All that the page shows: of the snapshot with that number or, without one, of the version's newest."""
    is_demo = filters.is_demo
    snapshot = snapshots.one(snapshot_pk, is_demo=is_demo) if snapshot_pk is not None else None
    is_missing = snapshot_pk is not None and snapshot is None
    version = snapshot.version if snapshot else filters.version or watched_version(is_demo=is_demo)
    if version is not None and snapshot is None:
        snapshot = snapshots.newest(version, is_demo=is_demo)
    shown: dict[str, Any] = {
        "version": version,
        "versions": snapshots.watched(is_demo=is_demo),
        "snapshot": snapshot,
        "is_missing": is_missing,
    }
    if version is None or snapshot is None:
        return {**shown, "first": first_words()}
    points = snapshots.points(version, is_demo=is_demo, since=filters.since)
    return {
        **shown,
        **_of_snapshot(snapshot, now=now),
        "points": [
            {**_told(point), "address": filters.address(snapshot=str(point.pk)), "is_here": point.pk == snapshot.pk}
            for point in reversed(points)
        ],
        "is_all": len(points) < MOST_POINTS,
        "charts": [signal_charts.signal_chart(name, points, filters) for name in signal_charts.SIGNALS],
        "estimate": signal_charts.estimate_chart(points, filters),
        "doings": [] if is_demo else doings.doings(filters.since),
    }


def watched_version(*, is_demo: bool) -> ModelVersion | None:
    """The version in production; among sample rows the newest."""
    rows = ModelVersion.objects.filter(is_demo=True) if is_demo else ModelVersion.objects.in_production()
    return rows.defer(*ModelVersion.HEAVY).order_by("-number").first()


def first_words() -> str:
    """When the first snapshot comes, or the next."""
    return (
        f"One is taken within a minute after a version went to production, then each {settings.DRIFT_SNAPSHOT_MINUTES} "
        f"minutes, or after {counted(settings.DRIFT_SNAPSHOT_PREDICTIONS, 'new prediction')}."
    )


# --- One snapshot ---------------------------------------------------------------------------------
def _of_snapshot(snapshot: DriftSnapshot, *, now: datetime) -> dict[str, Any]:
    older, newer = snapshots.neighbours(snapshot)
    names = dict(Category.objects.values_list("slug", "name"))
    tone, lead = standing(snapshot)
    headline, _, detail = snapshot.words.partition(". ")
    return {
        "tone": tone,
        "lead": lead,
        "headline": f"{headline.rstrip('.')}.",
        "detail": detail,
        "taken": f"{local(snapshot.created_at):%Y-%m-%d %H:%M %Z}, {ago(now, snapshot.created_at)}",
        "window": window(snapshot),
        "next": next_words(snapshot, is_newest=newer is None, now=now),
        "older": older,
        "newer": newer,
        "figures": figures(snapshot),
        "signals": [signal_charts.signal_row(signal) for signal in snapshot.signals],
        "sides": sides.table(snapshot),
        "lengths": sides.lengths(snapshot),
        "shares": sides.categories(snapshot, names),
        "telling": sides.telling_words(snapshot),
        "no_telling": no_telling(snapshot),
    }


def standing(row: DriftSnapshot | Point) -> tuple[str, str]:
    """The verdict in words, and its tone: drift is a warning, and bad only if answers are likely to be worse."""
    if row.verdict in LEADS:
        return LEADS[row.verdict]
    return "bad" if row.is_likely_worse else "warn", DRIFTED.get(row.severity, "Drift")


def window(snapshot: DriftSnapshot) -> str:
    """What was held against what."""
    compared = f"{counted(snapshot.recent_count, 'prediction')} against {snapshot.reference_count:,} validation tickets"
    if snapshot.window_from is None or snapshot.window_to is None:
        return compared
    return f"{compared}, from {local(snapshot.window_from):%b %-d, %H:%M} to {local(snapshot.window_to):%b %-d, %H:%M}"


def next_words(snapshot: DriftSnapshot, *, is_newest: bool, now: datetime) -> str:
    """When the next snapshot of the version in production is due; nothing of an older one or of sample rows."""
    is_watched = snapshot.version.status == ModelVersion.Status.PRODUCTION and not snapshot.is_demo
    if not is_newest or not is_watched:
        return ""
    due = snapshot.created_at + timedelta(minutes=settings.DRIFT_SNAPSHOT_MINUTES)
    when = f"at {local(due):%H:%M}" if due > now else "within a minute, if beat and a worker run"
    sooner = f", or sooner after {counted(settings.DRIFT_SNAPSHOT_PREDICTIONS, 'new prediction')}" if due > now else ""
    return f"The next is taken {when}{sooner}."


def figures(snapshot: DriftSnapshot) -> list[Figure]:
    """The figures under the verdict."""
    quality = snapshot.quality or {}
    gap = _gap(snapshot)
    found = [
        damage(snapshot),
        Figure(
            "Estimated accuracy",
            share(snapshot.estimated_accuracy),
            f"{gap} on validation",
            tone="bad" if snapshot.is_likely_worse else "",
        ),
        Figure("Live precision", share(quality.get("precision")), "of automatic answers labelled since"),
        Figure("Drift score", figure(snapshot.drift_score, 2), "mean lengths apart, in standard deviations"),
    ]
    if snapshot.verdict == Verdict.TOO_FEW:
        wanted = settings.DRIFT_MIN_PREDICTIONS
        missing = f"of {wanted:,} of the last {settings.DRIFT_WINDOW_HOURS} hours"
        found.insert(0, Figure("Still missing", f"{max(0, wanted - snapshot.recent_count):,}", missing))
    return found


def _gap(snapshot: DriftSnapshot) -> str:
    if snapshot.estimated_accuracy is None or snapshot.reference_accuracy is None:
        return f"{share(snapshot.reference_accuracy)} was measured"
    points = (snapshot.estimated_accuracy - snapshot.reference_accuracy) * 100
    return f"{points:+.1f} points to {share(snapshot.reference_accuracy)}"


def damage(snapshot: DriftSnapshot) -> Figure:
    """Whether answers are likely to be worse, or tickets are only other ones."""
    if snapshot.verdict == Verdict.TOO_FEW:
        return Figure("Damage to answers", "Unknown", "too few tickets to tell")
    if snapshot.is_likely_worse:
        return Figure("Damage to answers", "Likely", "the model is less sure than it was", tone="bad")
    if snapshot.verdict == Verdict.DRIFTED:
        return Figure("Damage to answers", "None seen", "only change: it is as sure as it was", tone="good")
    return Figure("Damage to answers", "None seen", "and nothing has changed", tone="good")


def no_telling(snapshot: DriftSnapshot) -> str:
    """Why no word is shown."""
    if snapshot.verdict == Verdict.TOO_FEW:
        return "There are too few tickets to tell words of recent tickets from words of chance."
    return (
        "No word stands out: what texts say differs by no more than chance, so any word shown would be one of chance."
    )


def _told(point: Point) -> dict[str, Any]:
    tone, words = standing(point)
    drifted = {each["name"] for each in point.signals if each.get("drifted")}
    beyond = [about.name for name, about in signal_charts.SIGNALS.items() if name in drifted]
    return {
        "at": point.created_at,
        "moment": signal_charts.moment_of(point),
        "tone": tone,
        "words": words,
        "beyond": ", ".join(beyond) or "-",
        "estimate": share(point.estimated_accuracy),
    }
