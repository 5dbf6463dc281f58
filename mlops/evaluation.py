"""How good a version is: its scores on its own frozen tickets or on any file's, and the report files of them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from classifier.inference import load
from classifier.ml.scoring import Scores, score
from classifier.models import Category, ModelVersion, Ticket
from mlops.models import Dataset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from classifier.ml.model import TextModel
    from classifier.ml.validation import Row

SPLITS = ("train", "validation", "test")
ALL = "all"
# The names that the original's reports had, so that scripts written for it find them.
PREFIXES = {"train": "train", "validation": "val", "test": "test", ALL: "all"}
# A report has a row for each label, and the confusion as many columns: 3,000 labels of a wrong column took 21 GB.
MOST_UNKNOWN = 100
IDS_A_QUERY = 500  # SQLite takes a limited number of values in one statement


class NothingToScore(ValueError):
    """There is no ticket to score a version on; the message says why."""


@dataclass(frozen=True)
class Tickets:
    """Texts and what is right for them, in the order of the tickets' ids; missing: how many are gone since."""

    texts: tuple[str, ...]
    truth: tuple[str, ...]
    missing: int = 0


def evaluate(version: ModelVersion, split: str) -> Scores:
    """The version's scores on a split of the dataset it was trained from, or on `all` of it.

    On `test` these are the stored numbers again, exactly. All other splits hold tickets that the version has seen in
    training (validation too: the last fit is on train and validation). Raises NothingToScore and DamagedModel.
    """
    dataset = dataset_of(version)
    return evaluate_tickets(load(version), frozen_tickets(dataset, SPLITS if split == ALL else (split,)))


def evaluate_tickets(model: TextModel, tickets: Tickets) -> Scores:
    """The model's scores on tickets. Raises NothingToScore if there are none."""
    if not tickets.texts:
        raise NothingToScore(
            "Scoring needs at least one labelled ticket; there is none. Import some, or name another split."
        )
    _check_labels(set(tickets.truth), known=model.categories)
    answers = model.predict(tickets.texts)
    return score(tickets.truth, answers.labels, answers.probabilities, categories=model.categories)


def _check_labels(labels: set[str], *, known: Sequence[str]) -> None:
    """Raises NothingToScore for labels that say nothing of the model: those of a wrong column, usually."""
    unknown = sorted(labels.difference(known))
    if len(unknown) < len(labels) and len(unknown) <= MOST_UNKNOWN:
        return
    shown = ", ".join(repr(label[:40]) for label in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
    raise NothingToScore(
        f"Scoring needs labels that the version knows ({', '.join(known[:20])}); {len(unknown):,} of {len(labels):,} "
        f"are others ({shown}). Correct them, or name the right column with --label-column."
    )


def evaluate_rows(model: TextModel, rows: Iterable[Row]) -> Scores:
    """The model's scores on the rows of a file; labels are matched to categories after strip and casefold.

    Rows without a text or without a label are left out. A label that the model does not know counts as wrong.
    """
    known = {slug.casefold(): slug for slug in (*Category.objects.values_list("slug", flat=True), *model.categories)}
    texts, truth = [], []
    for row in rows:
        text, label = (row.text or "").strip(), (row.label or "").strip()
        if text and label:
            texts.append(text)
            truth.append(known.get(label.casefold(), label))
    return evaluate_tickets(model, Tickets(texts=tuple(texts), truth=tuple(truth)))


def dataset_of(version: ModelVersion) -> Dataset:
    """The frozen tickets the version was trained from. Raises NothingToScore for a version without (a demo one)."""
    dataset = Dataset.objects.filter(runs__version=version).first()
    if dataset is None:
        raise NothingToScore(
            f"Scoring {version} on its own tickets needs its training run; it has none. Use a file of tickets."
        )
    return dataset


def frozen_tickets(dataset: Dataset, splits: Sequence[str]) -> Tickets:
    """The tickets of a dataset's splits, with the labels that they had then, ordered by split and id.

    The order is part of the promise that numbers come out again exactly: a sum of floats depends on it.
    """
    texts: list[str] = []
    truth: list[str] = []
    missing = 0
    for split in splits:
        label_of = {pk: slug for slug, ids in dataset.members.get(split, {}).items() for pk in ids}
        ids = sorted(label_of)
        found: dict[int, str] = {}
        for start in range(0, len(ids), IDS_A_QUERY):
            chunk = ids[start : start + IDS_A_QUERY]
            found.update(Ticket.objects.filter(pk__in=chunk).values_list("pk", "text"))
        texts += [found[pk] for pk in ids if pk in found]
        truth += [label_of[pk] for pk in ids if pk in found]
        missing += len(ids) - len(found)
    return Tickets(texts=tuple(texts), truth=tuple(truth), missing=missing)


# --- The report files -----------------------------------------------------------------------------
def write_report(
    scores: Scores, folder: Path, *, prefix: str = "test", about: Mapping[str, Any] | None = None
) -> tuple[Path, Path]:
    """Writes `<prefix>_classification_report.json` and `<prefix>_confusion_matrix.png`; gives both paths.

    about: what the numbers are of (version, split), put before them in the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / f"{prefix}_classification_report.json"
    report.write_text(json.dumps({**(about or {}), **scores.as_dict()}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    picture = folder / f"{prefix}_confusion_matrix.png"
    draw_confusion(scores, picture, title=prefix)
    return report, picture


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
