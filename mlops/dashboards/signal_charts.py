"""The six signals of drift in people's words: as a table of one snapshot, and each over time with its threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from classifier.wording import figure, local, share
from mlops.dashboards.charts import Chart, Series, Tick, percent, ticks_between
from mlops.dashboards.filters import Filters
from mlops.dashboards.snapshots import Point


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


# --- Over time ------------------------------------------------------------------------------------
def moment_of(point: Point) -> str:
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
        labels=[moment_of(point) for point in points],
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
        labels=[moment_of(point) for point in points],
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
