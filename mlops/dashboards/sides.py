"""What a drift snapshot compared: validation tickets and recent ones, side by side, in figures, charts and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from classifier.wording import figure, share
from mlops.dashboards.charts import Chart, Series, highest_of, percent, ticks_to
from mlops.models import DriftSnapshot

REFERENCE, RECENT = "validation", "recent"
MOST_CATEGORIES = 20  # pairs of bars; with more the page shows those that moved furthest


@dataclass(frozen=True)
class Row:
    """A line of the table: what it is, and its figure on both sides."""

    name: str
    reference: str
    recent: str


def table(snapshot: DriftSnapshot) -> list[Row]:
    """Both sides in figures."""
    reference, recent = snapshot.reference, snapshot.recent
    words = reference.get("words", {}), recent.get("words", {})
    rows = [
        Row(name, *(figure(side.get(key), places) for side in words))
        for name, key, places in (
            ("Tickets", "count", 0),
            ("Words of a ticket, mean", "mean", 1),
            ("Words, standard deviation", "std", 1),
            ("Words, fewest", "min", 0),
            ("Words, most", "max", 0),
        )
    ]
    for name, key in (("Confidence, mean", "confidence"), ("Words new to the model", "unknown")):
        rows.append(Row(name, share(reference.get(key)), share(recent.get(key))))
    return rows


def lengths(snapshot: DriftSnapshot) -> Chart:
    """The word counts of both sides, laid over each other."""
    sides = [side.get("words", {}) for side in (snapshot.reference, snapshot.recent)]
    edges = [int(edge) for edge in sides[0].get("edges", ())]
    labels = [bin_of(low, high, is_last=high == edges[-1]) for low, high in pairwise(edges)]
    return _overlaid(
        [_parts(side.get("histogram", ())) for side in sides],
        name="lengths",
        title="How long tickets are",
        reading="Of each side's tickets the share that has so many words. Where bars part, tickets grew or shrank.",
        labels=labels,
        label_title="Words",
    )


def categories(snapshot: DriftSnapshot, names: Mapping[str, str]) -> Chart:
    """What both sides were answered. names: of the categories, by slug."""
    sides = [side.get("categories", {}) for side in (snapshot.reference, snapshot.recent)]
    reference, recent = sides
    slugs = sorted(reference, key=lambda slug: -abs(recent.get(slug, 0.0) - reference[slug]))[:MOST_CATEGORIES]
    hidden = len(reference) - len(slugs)
    rest = f" {hidden} categories that moved less are left out." if hidden > 0 else ""
    return _overlaid(
        [[side.get(slug, 0.0) for slug in slugs] for side in sides],
        name="shares",
        title="What they were answered",
        reading=f"The category that moved furthest stands first. A share that grew is no fault of the model.{rest}",
        labels=[names.get(slug, slug) for slug in slugs],
        label_title="Category",
        kind="across",
    )


def _overlaid(values: Sequence[Sequence[float]], **named: Any) -> Chart:
    tones = {REFERENCE: "muted", RECENT: "primary"}
    series = [
        Series(f"{name} tickets", found, [share(value) for value in found], tone)  # type: ignore[arg-type]
        for (name, tone), found in zip(tones.items(), values, strict=True)
    ]
    series = series if all(each.values for each in series) else []
    return Chart(
        **{
            "unit": "share of the tickets of a side",
            "kind": "bar",
            "series": series,
            "ticks": ticks_to(highest_of(series), percent),
            **named,
        }
    )


def _parts(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def bin_of(low: int, high: int, *, is_last: bool) -> str:
    """A bin of word counts in words; the last has all that are longer.

    >>> bin_of(5, 10, is_last=False), bin_of(5, 6, is_last=False), bin_of(80, 110, is_last=True)
    ('5 to 9', '5', '80 and more')
    """
    if is_last:
        return f"{low} and more"
    return str(low) if high - low == 1 else f"{low} to {high - 1}"


# --- Words ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Word:
    """A word that tells the sides apart, and the share of each side's tickets that have it."""

    word: str
    reference: str
    recent: str


def telling_words(snapshot: DriftSnapshot) -> list[tuple[str, list[Word]]]:
    """The words that recent tickets have more, and less, than the reference; only what has a word."""
    groups = [
        (
            title,
            [
                Word(told["word"], share(told["reference"]), share(told["recent"]))
                for told in snapshot.telling_words
                if told["side"] == side
            ],
        )
        for side, title in (("recent", "More often now"), ("reference", "Less often now"))
    ]
    return [(title, words) for title, words in groups if words]
