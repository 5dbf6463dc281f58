"""The confusion matrix as a picture, legible from 2 to 200 categories. Its numbers are scoring.py's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from classifier.ml.scoring import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of 77 rows the eye loses its own between name and cell: each fifth line is darker, as on squared paper.
GUIDE, GUIDED_FROM, GUIDE_COLOUR = 5, 20, "#8fa1b8"


def draw_confusion(scores: Scores, path: Path, *, title: str) -> None:
    """Draws the confusion matrix: each row's shares as colour, its counts where they fit. Same numbers, same file."""
    # Its font cache would otherwise go to the home folder, which a service may not write.
    os.environ.setdefault("MPLCONFIGDIR", str(settings.VAR / "matplotlib"))
    import matplotlib.style  # 0.5 s, and only reports draw
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    counts = np.array(scores.confusion, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [name if len(name) <= 40 else f"{name[:39]}…" for name in scores.confusion_categories]
    layout = Layout.of(names, largest=int(counts.max(initial=0)))
    # The reader's matplotlibrc must not change the picture; a font without a script's letters only draws boxes.
    with matplotlib.style.context("default"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)  # inches
        figure = Figure(figsize=(layout.side, layout.side * 0.94), dpi=layout.dpi, layout=engine)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)  # one hue, light to dark: safe for the colour-blind
        _label(axes, names, layout)
        if layout.number_points:
            _write_counts(axes, counts, shares, points=layout.number_points)
        headline = f"{scores.n_tickets:,} tickets, accuracy {scores.accuracy:.3f}, macro-F1 {scores.macro_f1:.3f}"
        figure.suptitle(f"{title}\n{headline}", fontsize=layout.title_points, parse_math=False)
        bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
        bar.set_label("share of the row", fontsize=layout.title_points - 2)
        bar.ax.tick_params(labelsize=layout.title_points - 3)
        figure.savefig(path, metadata={"Software": None})  # a version of matplotlib in the file would change its bytes


@dataclass(frozen=True)
class Layout:
    """Sizes of a confusion picture, in inches and points, so that 2 categories and 200 both can be read."""

    side: float
    dpi: int
    label_points: float
    title_points: float
    number_points: float  # 0: the numbers would not fit

    @classmethod
    def of(cls, names: Sequence[str], *, largest: int) -> Layout:
        """The sizes for these names; largest is the largest count that must fit into a cell."""
        n = max(len(names), 1)
        cell = min(0.95, max(0.25, 6.5 / n))  # inches; below 0.25 a label is larger than its row
        label_points = min(12.0, cell * 72 * 0.45)
        longest = max(map(len, names), default=0)
        margin = longest * label_points * 0.6 / 72 + 1.6
        # A digit is 0.6 of its font's size wide; a tenth of the cell stays free on each side.
        number_points = min(12.0, cell * 72 * 0.8 / (0.6 * len(f"{largest}")), cell * 72 * 0.5)
        return cls(
            side=max(6.5, n * cell + margin),
            dpi=120 if n <= 30 else 100,
            label_points=label_points,
            title_points=12.0 if n <= 30 else 18.0,
            number_points=number_points if number_points >= 5 else 0.0,
        )


def _label(axes: Axes, names: Sequence[str], layout: Layout) -> None:
    places = range(len(names))
    # parse_math: an unknown label of a file may hold dollar signs.
    axes.set_xticks(
        places, names, rotation=90 if len(names) > 8 else 30, fontsize=layout.label_points, parse_math=False
    )
    if len(names) <= 8:
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names, fontsize=layout.label_points, parse_math=False)
    axes.set_xlabel("answered category", fontsize=layout.title_points)
    axes.set_ylabel("right category", fontsize=layout.title_points)
    axes.set_xticks([place - 0.5 for place in places][1:], minor=True)
    axes.set_yticks([place - 0.5 for place in places][1:], minor=True)
    axes.grid(which="minor", color="#d9dee5", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    for place in range(GUIDE, len(names) if len(names) > GUIDED_FROM else 0, GUIDE):
        axes.axhline(place - 0.5, color=GUIDE_COLOUR, linewidth=0.9, antialiased=False)
        axes.axvline(place - 0.5, color=GUIDE_COLOUR, linewidth=0.9, antialiased=False)


def _write_counts(axes: Axes, counts: Any, shares: Any, *, points: float) -> None:
    """Writes each count that is not 0 into its cell, white on the dark ones."""
    for row, column in zip(*counts.nonzero(), strict=True):
        axes.text(
            column,
            row,
            f"{counts[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=points,
            color="white" if shares[row, column] > 0.55 else "#1b2733",
        )
