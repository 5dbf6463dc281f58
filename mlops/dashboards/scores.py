"""A version's scores on its test tickets in words, figures and charts, beside another version's if there is one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from classifier.wording import NOTHING, counted, figure, local, share
from mlops.dashboards.charts import SHARES, Chart, Figure, Series, Tick, percent
from mlops.dashboards.versions import Shown
from mlops.rules import signed

HALF = 0.5  # of a point: what is nearer to the truth than that is told as honest
LEVELS = tuple(level / 20 for level in range(1, 21))  # shares of tickets answered alone, at which versions are compared
STEPS = (0.01, 0.02, 0.05, 0.1, 0.25)


def headline(version: Shown, *, since: str) -> list[str]:
    """How good it is, in two sentences for people who know no statistics. since: in production, in words, or empty."""
    scores = version.scores
    interval = scores.get("intervals", {}).get("macro_f1")
    within = (
        f" With other test tickets it would lie between {interval['low']:.3f} and {interval['high']:.3f}, in 95 of 100 "
        "draws."
        if interval
        else ""
    )
    n = counted(scores["n_tickets"], "test ticket")
    return [
        f"is the macro-F1 of {version} on {n} that it has never seen. 1 would be no mistake at all.{within}",
        f"{since or standing(version)} Macro-F1 is the mean of all categories' F1, so a rare category counts as much "
        "as a frequent one.",
    ]


def standing(version: Shown) -> str:
    """Where a version stands that is not in production."""
    if version.is_demo:
        return "It is made up for demonstration and never answers."
    trained = f"{local(version.created_at):%Y-%m-%d %H:%M}"
    if version.status == "candidate":
        return f"It is a candidate, trained {trained}, and answers nobody yet."
    return f"It is archived: trained {trained}, and another version answers now."


def figures(version: Shown, against: Shown | None, names: Mapping[str, str]) -> list[Figure]:
    """The figures under the headline; `more` says what each is or, compared, the other version's."""
    scores, other = version.scores, against.scores if against else {}
    wrong = scores["n_tickets"] - round(scores["accuracy"] * scores["n_tickets"])
    tested = [(slug, row["f1"]) for slug, row in scores["per_category"].items() if row["support"]]
    weakest = min(tested, key=lambda pair: (pair[1], pair[0]), default=None)
    alone, their_alone = version.automatic.get("test"), against.automatic.get("test") if against else None
    found = [
        Figure(
            "Accuracy",
            share(scores["accuracy"]),
            _beside("of the test tickets are answered rightly", against, share(other.get("accuracy"))),
        ),
        Figure("Mistakes", f"{wrong:,}", f"of {counted(scores['n_tickets'], 'test ticket')}"),
        Figure(
            "Calibration error",
            figure(scores.get("calibration_error")),
            _beside("0 is an honest confidence", against, figure(other.get("calibration_error"))),
        ),
    ]
    if weakest:
        found.append(Figure("Weakest F1", figure(weakest[1]), names.get(weakest[0], weakest[0])))
    if alone:
        found += [
            Figure(
                "Answered alone",
                share(alone["coverage"]),
                _beside(
                    "of the test tickets need no person",
                    against,
                    share(their_alone["coverage"] if their_alone else None),
                ),
            ),
            Figure(
                "Right alone",
                share(alone["precision"]),
                _beside("of those are right", against, share(their_alone["precision"] if their_alone else None)),
            ),
        ]
    return found


def _beside(words: str, against: Shown | None, value: str) -> str:
    return f"{against}: {value}" if against else words


def calibration(scores: Mapping[str, Any]) -> str:
    """Whether its confidence can be believed, in words; empty for scores without probabilities."""
    bins, error = scores.get("reliability") or [], scores.get("calibration_error")
    n = sum(row["count"] for row in bins)
    if error is None or not n:
        return ""
    surer = sum(row["count"] * (row["confidence"] - row["accuracy"]) for row in bins) / n * 100
    points = f"{error * 100:.1f} points"
    if abs(surer) < HALF:
        lean = "In all it is neither too sure nor too modest."
    else:
        lean = f"In all it is {abs(surer):.1f} points {'surer' if surer > 0 else 'more modest'} than it should be."
    return (
        f"Confidence and the share that is right lie {points} apart on average (calibration error {error:.3f}). {lean}"
    )


# --- Charts ---------------------------------------------------------------------------------------
def reliability(version: Shown, against: Shown | None) -> Chart | None:
    """Observed share of right answers by confidence, with the diagonal; None for scores without probabilities."""
    bins = version.scores.get("reliability") or []
    if not bins:
        return None
    middles = [(row["low"] + row["high"]) / 2 for row in bins]
    series = [_observed(version, "primary")]
    if against and len(against.scores.get("reliability") or []) == len(bins):
        series.append(_observed(against, "second"))
    honest = Series("honest", middles, [f"{percent(middle)} right" for middle in middles], "muted", "dashes")
    return Chart(
        name="reliability",
        title="Can its confidence be believed?",
        unit="share of answers that are right",
        reading="A bar that ends at the dashed line is honest: of the answers that say 80 %, 80 in 100 are right. "
        "Below the line it is too sure, above it too modest. Few tickets make a bar jump.",
        labels=[f"{row['low'] * 100:.0f} to {row['high'] * 100:.0f} %" for row in bins],
        series=[*series, honest],
        ticks=SHARES,
        kind="bar",
        label_title="Confidence",
    )


def _observed(version: Shown, tone: Any) -> Series:
    bins = version.scores["reliability"]
    return Series(
        name=str(version),
        values=[row["accuracy"] if row["count"] else None for row in bins],
        texts=[
            f"{share(row['accuracy'])} of {counted(row['count'], 'answer')} right, {share(row['confidence'])} confident"
            if row["count"]
            else "no answer"
            for row in bins
        ],
        tone=tone,
    )


def coverage(version: Shown, against: Shown | None) -> Chart | None:
    """How right the surest answers are if so many are given alone; None for scores of before there was a curve."""
    points = version.scores.get("coverage") or []
    if not points:
        return None
    series = [_right(version, "primary")]
    if against and against.scores.get("coverage"):
        series.append(_right(against, "second"))
    target = version.thresholds.get("target")
    if target:
        wanted = [float(target)] * len(LEVELS)
        series.append(Series("wanted", wanted, [f"{share(target)} wanted"] * len(LEVELS), "muted", "dashes"))
    lowest = min(value for each in series for value in each.values if value is not None)
    return Chart(
        name="coverage",
        title="How many could it answer alone?",
        unit="share of those that are right",
        reading="From the left its surest answers, at the right all of them. Where the line falls below what is "
        "wanted, more answers alone cost too many mistakes: the rest should go to people.",
        labels=[percent(level) for level in LEVELS],
        series=series,
        ticks=_ticks_from(lowest),
        label_title="Answered alone",
    )


def _right(version: Shown, tone: Any) -> Series:
    found = [_point_at(version.scores["coverage"], level) for level in LEVELS]
    return Series(
        name=str(version),
        values=[point["precision"] if point else None for point in found],
        texts=[
            f"{share(point['precision'])} right, from a confidence of {point['threshold']:.2f} on" if point else NOTHING
            for point in found
        ],
        tone=tone,
    )


def _point_at(points: Sequence[Mapping[str, float]], level: float) -> Mapping[str, float] | None:
    """The first point at which at least that share is answered; they are stored from few to all."""
    return next((point for point in points if point["coverage"] >= level - 1e-9), None)


def _ticks_from(lowest: float) -> list[Tick]:
    """Ticks from a round share not above the lowest value to 1, five steps at most.

    >>> [tick.text for tick in _ticks_from(0.913)]
    ['90 %', '92 %', '94 %', '96 %', '98 %', '100 %']
    """
    step = next((step for step in STEPS if (1 - lowest) / step <= 5), STEPS[-1])
    first = math.floor(lowest / step + 1e-9)
    return [Tick(round(n * step, 4), percent(n * step)) for n in range(first, round(1 / step) + 1)]


# --- By category ----------------------------------------------------------------------------------
def by_category(version: Shown, against: Shown | None, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each category, the weakest first; compared, each figure with the other version's and the difference."""
    ours = version.scores.get("per_category", {})
    theirs = against.scores.get("per_category", {}) if against else {}
    weakest_first = sorted(ours.items(), key=lambda pair: (pair[1]["f1"], pair[0]))
    rows = []
    for slug, found in weakest_first:
        other = theirs.get(slug)
        cells = [_cell(found[key], other[key] if other else None, against) for key in ("precision", "recall", "f1")]
        alone = [_alone(each.thresholds.get("per_category", {}).get(slug)) for each in (version, against) if each]
        tickets = other["support"] if other else found["support"]
        differs = f"{against}: {tickets:,}" if tickets != found["support"] else ""
        cells.append({"value": f"{found['support']:,}", "other": differs})
        cells += [
            {"value": value, "other": f"{against}: {alone[1][place]}" if against else ""}
            for place, value in enumerate(alone[0])
        ]
        rows.append({"slug": slug, "name": names.get(slug, slug), "cells": cells})
    return rows


def _cell(value: float, other: float | None, against: Shown | None) -> dict[str, str]:
    if against is None:
        return {"value": figure(value), "other": ""}
    if other is None:
        return {"value": figure(value), "other": f"unknown to {against}"}
    change = value - other
    word = "better" if change > 0 else "worse"
    return {"value": figure(value), "other": "the same" if not change else f"{signed(change)}, {word} than {other:.3f}"}


def _alone(solved: Mapping[str, Any] | None) -> tuple[str, str]:
    """From which confidence on a category is answered alone, and the share of its answers that are."""
    if solved is None:
        return NOTHING, NOTHING
    if solved.get("threshold") is None:
        return "never", share(0.0)
    return f"from {solved['threshold']:.2f}", share(solved.get("coverage"))
