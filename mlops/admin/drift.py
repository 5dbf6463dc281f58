"""The page of drift snapshots: what was compared, how far apart it was, what it means."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from classifier.admin.base import FactAdmin
from classifier.admin.cells import NOTHING, excerpt, figure, link, moment, paragraph, share, when
from classifier.admin.sheets import Cell, Figure, Sheet, Table
from classifier.models import ModelVersion
from mlops.models import DriftSnapshot

COLOURS = {"steady": "success", "too few": "", "drifted": "warning"}
NAMES = {
    "word_count_psi": "Word counts, mix",
    "word_count_ks": "Word counts, distance",
    "unknown_words": "Unknown words, rise",
    "confidence": "Confidence, fall",
    "category_shares": "Shares of the categories",
    "text": "Texts",
}
SIDES = {"recent": "recent tickets", "reference": "validation tickets"}
created = moment("created_at", "time")


@admin.register(DriftSnapshot)
class DriftSnapshotAdmin(FactAdmin):
    """Each comparison of recent tickets with validation, the newest first."""

    empty = (
        "No snapshot yet. Beat takes one within a minute after a version went to production, or manage.py watch_drift."
    )
    list_display = (created, "standing", "how_far", "in_words", "of_version", "compared", "estimate")
    list_filter = ("verdict", "severity", "is_demo", "created_at")
    sortable_by = ()
    fieldsets = (
        (None, {"fields": ("standing", "how_far", "whole_words", "whole_advice", "of_version")}),
        ("What was compared", {"fields": (created, "compared", "window", "method", "took")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("version").defer(*ModelVersion.heavy("version"))

    def for_list(self, queryset: QuerySet) -> QuerySet:
        return queryset.defer(*DriftSnapshot.HEAVY)

    @display(description="verdict", label=COLOURS)
    def standing(self, snapshot: DriftSnapshot) -> str:
        return snapshot.verdict.replace("_", " ")

    @display(description="severity")
    def how_far(self, snapshot: DriftSnapshot) -> str:
        likely = ", likely worse" if snapshot.is_likely_worse else ""
        demo = ", made up for demonstration" if snapshot.is_demo else ""
        return f"{snapshot.severity}{likely}{demo}"

    @display(description="in words")
    def in_words(self, snapshot: DriftSnapshot) -> str:
        return excerpt(snapshot.words)

    @display(description="in words")
    def whole_words(self, snapshot: DriftSnapshot) -> str:
        return paragraph(snapshot.words)

    @display(description="what to do")
    def whole_advice(self, snapshot: DriftSnapshot) -> str:
        return paragraph(snapshot.advice)

    @display(description="version")
    def of_version(self, snapshot: DriftSnapshot) -> str:
        return link(snapshot.version)

    @display(description="predictions")
    def compared(self, snapshot: DriftSnapshot) -> str:
        return f"{snapshot.recent_count:,} with {snapshot.reference_count:,} validation tickets"

    @display(description="estimated accuracy")
    def estimate(self, snapshot: DriftSnapshot) -> str:
        return share(snapshot.estimated_accuracy)

    @display(description="window")
    def window(self, snapshot: DriftSnapshot) -> str:
        if snapshot.window_from is None:
            return NOTHING
        return format_html("from {} to {}", when(snapshot.window_from), when(snapshot.window_to))

    @display(description="seconds")
    def took(self, snapshot: DriftSnapshot) -> str:
        return figure(snapshot.seconds, 2)

    def sheet(self, row: DriftSnapshot) -> Sheet:
        return Sheet(figures=_figures(row), tables=(_signals(row), _words(row), _shares(row), _lengths(row)))


def _figures(row: DriftSnapshot) -> list[Figure]:
    quality = row.quality or {}
    return [
        Figure("Estimated accuracy", share(row.estimated_accuracy), "of the recent answers, by their confidence"),
        Figure("Accuracy on validation", share(row.reference_accuracy), "measured when the version was made"),
        Figure("Live precision", share(quality.get("precision")), "of automatic answers that were labelled since"),
        Figure("Drift score", figure(row.drift_score, 2), "distance of mean word counts, in standard deviations"),
    ]


def _signals(row: DriftSnapshot) -> Table:
    return Table(
        title="Signals",
        headers=("Signal", "What it says", "Value", "Threshold", "Since"),  # words first: a phone shows no more
        rows=[
            (
                NAMES.get(signal["name"], signal["name"]),
                signal["words"] or "no more than chance" if signal["threshold"] is not None else "too few to tell",
                Cell(figure(signal["value"]), weight=0.6 if signal["drifted"] else None, bad=True),
                figure(signal["threshold"]),
                f"{signal['since'][:16].replace('T', ' ')} UTC" if signal.get("since") else NOTHING,
            )
            for signal in row.signals
        ],
        note="A signal has drifted when its value is above the threshold: what chance alone passes rarely with so many "
        "tickets. All but the shares are compared within the categories that were answered.",
        empty="Nothing was compared: there is no prediction yet.",
        numbers=frozenset({2, 3}),
        prose=frozenset({1}),
    )


def _words(row: DriftSnapshot) -> Table:
    return Table(
        title="Words that tell the sides apart",
        headers=("Word", "Speaks for", "Recent tickets", "Validation tickets"),
        rows=[
            (told["word"], SIDES.get(told["side"], told["side"]), share(told["recent"]), share(told["reference"]))
            for told in row.telling_words
        ],
        note="How many of the tickets of each side have the word.",
        empty="No word stands out.",
        numbers=frozenset({2, 3}),
    )


def _shares(row: DriftSnapshot) -> Table:
    recent = row.recent.get("categories", {})
    return Table(
        title="What was answered",
        headers=("Category", "Recent tickets", "Validation tickets"),
        rows=[
            (slug, share(recent.get(slug)), share(known)) for slug, known in row.reference.get("categories", {}).items()
        ],
        empty="The version has no categories on record.",
        numbers=frozenset({1, 2}),
    )


def _lengths(row: DriftSnapshot) -> Table:
    sides = [side.get("words", {}) for side in (row.recent, row.reference)]
    return Table(
        title="Words of a ticket",
        headers=("", "Recent tickets", "Validation tickets"),
        rows=[
            (name, *(figure(side.get(key), 1) for side in sides))
            for name, key in (
                ("Tickets", "count"),
                ("Mean", "mean"),
                ("Standard deviation", "std"),
                ("Shortest", "min"),
                ("Longest", "max"),
            )
        ],
        numbers=frozenset({1, 2}),
    )
