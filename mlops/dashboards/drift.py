"""The Drift page: whether recent tickets are still like those the model was validated on, and what that means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from classifier.models import Category, ModelVersion
from classifier.wording import ago, counted, figure, local, share
from mlops.dashboards import doings, sides, snapshots
from mlops.dashboards.charts import Chart, Figure, Series, Tick, percent, ticks_between
from mlops.dashboards.filters import MOST_POINTS, Filters
from mlops.dashboards.snapshots import Point
from mlops.models import DriftSnapshot

Verdict = DriftSnapshot.Verdict


@dataclass(frozen=True)
class About:
    """A signal in people's words: its name, its unit, and how its chart is read."""

    name: str
    unit: str
    reading: str


SIGNALS = {
    "word_count_psi": About(
        "Mix of lengths", "stability index, 0: same mix", "High if short and long tickets come in other proportions."
    ),
    "word_count_ks": About(
        "Length of tickets", "widest gap, 0 to 1", "High if many tickets are longer, or shorter, than they were."
    ),
    "unknown_words": About(
        "Unknown words", "rise of their share", "High if customers use words that the model never learnt."
    ),
    "confidence": About(
        "Loss of confidence", "fall of the mean", "High if the model is less sure. This one speaks of damage."
    ),
    "category_shares": About(
        "Shares of categories", "stability index, 0: same", "High if tickets are about other things than they were."
    ),
    "text": About(
        "What texts say", "correlation, 0 to 1", "High if a second model can tell recent texts from the others."
    ),
}  # fmt: skip
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
        "charts": [signal_chart(name, points, filters) for name in SIGNALS],
        "estimate": estimate_chart(points, filters),
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
        "signals": [signal_row(signal) for signal in snapshot.signals],
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


def signal_row(signal: Mapping[str, Any]) -> dict[str, Any]:
    """A signal as the table shows it."""
    about = SIGNALS.get(signal["name"])
    threshold = signal.get("threshold")
    since = signal.get("since")
    tone, state = ("warn", "beyond") if signal.get("drifted") else ("good", "within")
    if threshold is None:
        tone, state = "", "unknown"
    calm = "No more than chance." if threshold is not None else "Too few tickets to tell."
    return {
        "name": about.name if about else signal["name"],
        "unit": about.unit if about else "",
        "tone": tone,
        "state": state,
        "value": told(signal.get("value")),
        "threshold": told(threshold),
        "since": f"{local(datetime.fromisoformat(since)):%b %-d, %H:%M}" if since else "-",
        "words": signal.get("words") or calm,
    }


def told(value: float | None) -> str:
    """A signal's value in three places, and no minus before a nothing.

    >>> told(-0.0004), told(-0.0121)
    ('0.000', '-0.012')
    """
    return figure(None if value is None else round(value, 3) + 0.0)


def no_telling(snapshot: DriftSnapshot) -> str:
    """Why no word is shown."""
    if snapshot.verdict == Verdict.TOO_FEW:
        return "There are too few tickets to tell words of recent tickets from words of chance."
    return (
        "No word stands out: what texts say differs by no more than chance, so any word shown would be one of chance."
    )


# --- Over time ------------------------------------------------------------------------------------
def _told(point: Point) -> dict[str, Any]:
    tone, words = standing(point)
    beyond = [SIGNALS[each["name"]].name for each in point.signals if each.get("drifted") and each["name"] in SIGNALS]
    return {
        "at": point.created_at,
        "moment": _moment(point),
        "tone": tone,
        "words": words,
        "beyond": ", ".join(beyond) or "-",
        "estimate": share(point.estimated_accuracy),
    }


def _moment(point: Point) -> str:
    return f"{local(point.created_at):%b %-d, %H:%M}"


def _links(points: Sequence[Point], filters: Filters) -> list[str]:
    return [filters.address(snapshot=str(point.pk)) for point in points]


def signal_chart(name: str, points: Sequence[Point], filters: Filters) -> Chart:
    """A signal over time with its threshold as dashes."""
    about = SIGNALS[name]
    found = [point.signal(name) for point in points]
    values = [each.get("value") for each in found]
    limits = [each.get("threshold") for each in found]
    known = [value for value in (*values, *limits) if value is not None]
    return Chart(
        name=f"signal-{name}",
        title=about.name,
        unit=about.unit,
        reading=f"{about.reading} Above the dashes it is more than chance.",
        labels=[_moment(point) for point in points],
        series=[
            Series("value", values, [told(value) for value in values], "primary"),
            Series("threshold", limits, [told(limit) for limit in limits], "warn", "dashes"),
        ],
        ticks=ticks_between(min(known, default=0.0), max(known, default=0.0), lambda value: f"{value:.3g}"),
        label_title="Snapshot",
        links=_links(points, filters),
    )


def estimate_chart(points: Sequence[Point], filters: Filters) -> Chart:
    """The estimated accuracy over time, against what was measured on validation."""
    estimates = [point.estimated_accuracy for point in points]
    measured = [point.reference_accuracy for point in points]
    return Chart(
        name="estimate",
        title="Estimated accuracy",
        unit="share of answers that are right",
        reading="An estimate without labels: the accuracy on validation, less what confidence has fallen since. A line "
        "that leaves the dashes downwards is damage; beside drifted signals and a level line there is only change.",
        labels=[_moment(point) for point in points],
        series=[
            Series("estimated", estimates, [share(value) for value in estimates], "primary"),
            Series("on validation", measured, [share(value) for value in measured], "muted", "dashes"),
        ],
        ticks=_shares_from(min((value for value in (*estimates, *measured) if value is not None), default=0.0)),
        label_title="Snapshot",
        links=_links(points, filters),
    )


def _shares_from(lowest: float) -> list[Tick]:
    """Ticks of tenths up to 100 %, from one below the lowest share: a line may leave out what no point comes near to.

    >>> [tick.text for tick in _shares_from(0.84)]
    ['70 %', '80 %', '90 %', '100 %']
    """
    first = max(0, min(9, int(lowest * 10) - 1))
    step = 2 if first < 5 else 1
    return [Tick(tenth / 10, percent(tenth / 10)) for tenth in range(first - first % step, 11, step)]
