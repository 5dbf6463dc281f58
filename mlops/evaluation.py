"""How good a version is: its scores on its own frozen tickets or on any file's, and the report files of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.inference import load
from classifier.ml.bootstrap import RESAMPLES
from classifier.ml.scoring import Scores, score
from classifier.ml.split import SPLITS
from classifier.models import Category, ModelVersion, Ticket
from classifier.naming import CategoryNames, UnusableLabel
from mlops.drawing import draw_confusion
from mlops.models import Dataset

if TYPE_CHECKING:
    from classifier.ml.model import TextModel
    from classifier.ml.validation import Row

TRAINED_ON = ("train", "validation")  # the last fit is on both
ALL = "all"
# A report has a row for each label, and the confusion as many columns: 3,000 labels of a wrong column took 21 GB.
MOST_UNKNOWN = 100
PLACES = 6  # decimals of a confidence that are kept, as for thresholds
IDS_A_QUERY = 500  # SQLite takes a limited number of values in one statement


class NothingToScore(ValueError):
    """There is no ticket to score a version on; the message says why."""


@dataclass(frozen=True)
class Tickets:
    """Texts and what is right for them, in the order of the tickets' ids; missing: how many are gone since.

    ids: of the tickets, in the same order; empty for texts that are no rows of ours.
    """

    texts: tuple[str, ...]
    truth: tuple[str, ...]
    missing: int = 0
    ids: tuple[int, ...] = ()


def own_tickets(version: ModelVersion, split: str) -> Tickets:
    """A split of the dataset that the version was trained from, or `all` of it.

    Its scores on `test` are the stored ones again, exactly. All other splits hold tickets that the version has seen in
    training (validation too: the last fit is on train and validation). Raises NothingToScore without a dataset.
    """
    return frozen_tickets(dataset_of(version), SPLITS if split == ALL else (split,))


def evaluate_tickets(model: TextModel, tickets: Tickets, *, resamples: int = RESAMPLES) -> Scores:
    """The model's scores on tickets; without resamples, no intervals. Raises NothingToScore if there are none."""
    if not tickets.texts:
        raise NothingToScore(
            "Scoring needs at least one labelled ticket; there is none. Import some, or name another split."
        )
    answers = model.predict(tickets.texts)
    return score(tickets.truth, answers.labels, answers.probabilities, categories=model.categories, resamples=resamples)


def answers_to(model: TextModel, tickets: Tickets) -> dict[str, list[Any]]:
    """What the model says of each test ticket, as ModelVersion.test_answers keeps it: four columns of one length.

    confidence: rounded to millionths; 3,000 tickets of 77 categories are 0.2 MB as JSON.
    """
    answers = model.predict(tickets.texts)
    return {
        "ticket_ids": list(tickets.ids),
        "truth": list(tickets.truth),
        "guess": list(answers.labels),
        "confidence": [round(float(value), PLACES) for value in answers.confidences],
    }


def restore_test_answers(version: ModelVersion) -> int:
    """Keeps what a version of before these columns says of its test tickets; gives how many there are still.

    Its file is asked again, so they are what they would have been. Tickets that were deleted since are missing.
    Raises NothingToScore if there is no ticket, or the version now answers otherwise than its scores say, and
    DamagedModel.
    """
    tickets = own_tickets(version, "test")
    if not tickets.texts:
        raise NothingToScore(f"All test tickets of {version} were deleted since. Train anew.")
    found = answers_to(load(version), tickets)
    stored = version.metrics.get("test", {}).get("confusion", {})
    pairs = Counter(zip(found["truth"], found["guess"], strict=True))
    if not tickets.missing and pairs != _cells(stored.get("categories", []), stored.get("matrix", [])):
        raise NothingToScore(
            f"What {version} answers of its test tickets must give its stored confusion matrix; it gives another. Its "
            "model file or its frozen tickets are not those that it was scored with. Train anew."
        )
    version.test_answers = found
    version.save(update_fields=["test_answers"])
    return len(tickets.ids)


def _cells(categories: Sequence[str], matrix: Sequence[Sequence[int]]) -> Counter[tuple[str, str]]:
    """The cells of a stored confusion that are not 0, by truth and guess."""
    rows = zip(categories, matrix, strict=True)
    return Counter({(truth, guess): n for truth, row in rows for guess, n in zip(categories, row, strict=True) if n})


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


def tickets_of_rows(rows: Iterable[Row], *, known: Sequence[str]) -> Tickets:
    """The rows of a file as tickets; a label means the category that an import would take it for.

    known: slugs of the model, which on another machine may be no categories of ours. A label that means none of them
    stays as it is and counts as wrong. Rows without a text or without a label are left out. Raises NothingToScore for
    labels of which none, or too few, are the model's.
    """
    ours = {category.slug: category for category in Category.objects.all()}
    names = CategoryNames([*ours.values(), *(Category(slug=slug, name=slug) for slug in known if slug not in ours)])
    texts, truth = [], []
    for row in rows:
        text, label = (row.text or "").strip(), (row.label or "").strip()
        if text and label:
            texts.append(text)
            truth.append(_meaning(label, names))
    if truth:
        _check_labels(set(truth), known=known)
    return Tickets(texts=tuple(texts), truth=tuple(truth))


def _meaning(label: str, names: CategoryNames) -> str:
    found = names.find(label)
    if found is not None:
        return found.slug
    try:
        category, is_new = names.make(label)  # the same but for hyphens and question marks
    except UnusableLabel:
        return label
    return label if is_new else category.slug


def count_seen(version: ModelVersion, texts: Iterable[str]) -> int:
    """How many of the texts the version was trained on, by their normalised text. Raises NothingToScore as dataset_of.

    A ticket that was deleted since is not recognised any more.
    """
    digests = set(digests_of(ids_of(dataset_of(version), *TRAINED_ON)).values())
    return sum(Ticket.digest(text) in digests for text in texts)


def digests_of(ids: Sequence[int]) -> dict[int, str]:
    """The digest of the normalised text of each of these tickets that is there still."""
    return dict(_columns(ids, "text_digest"))


def texts_of(ids: Sequence[int]) -> dict[int, str]:
    """The texts of those of these tickets that are there still."""
    return dict(_columns(ids, "text"))


def _columns(ids: Sequence[int], column: str) -> Iterator[tuple[int, str]]:
    for start in range(0, len(ids), IDS_A_QUERY):
        yield from Ticket.objects.filter(pk__in=ids[start : start + IDS_A_QUERY]).values_list("pk", column)


def library_warning(version: ModelVersion) -> str:
    """Words of warning if the version was made with another scikit-learn than there is now; empty if not."""
    made, here = version.parameters.get("scikit-learn"), installed("scikit-learn")
    if made in (None, here):  # None: nobody wrote it down
        return ""
    return (
        f"{str(version).capitalize()} was made with scikit-learn {made}, and {here} is installed. Its model file needs "
        "neither, so these scores are its own; a training from now on, or MLflow's copy of it, may answer otherwise."
    )


def dataset_of(version: ModelVersion) -> Dataset:
    """The frozen tickets the version was trained from. Raises NothingToScore for a version without (a demo one)."""
    dataset = Dataset.objects.filter(runs__version=version).first()
    if dataset is None:
        raise NothingToScore(
            f"Scoring {version} on its own tickets needs its training run; it has none. Use a file of tickets."
        )
    return dataset


def ids_of(dataset: Dataset, *splits: str) -> list[int]:
    """The ids of the dataset's tickets of these splits, deleted ones too."""
    return [pk for split in splits for ids in dataset.members.get(split, {}).values() for pk in ids]


def frozen_tickets(dataset: Dataset, splits: Sequence[str]) -> Tickets:
    """The tickets of a dataset's splits, with the labels that they had then, ordered by split and id.

    The order is part of the promise that numbers come out again exactly: a sum of floats depends on it.
    """
    texts: list[str] = []
    truth: list[str] = []
    kept: list[int] = []
    missing = 0
    for split in splits:
        label_of = {pk: slug for slug, ids in dataset.members.get(split, {}).items() for pk in ids}
        ids = sorted(label_of)
        found = dict(_columns(ids, "text"))
        left = [pk for pk in ids if pk in found]
        texts += [found[pk] for pk in left]
        truth += [label_of[pk] for pk in left]
        kept += left
        missing += len(ids) - len(left)
    return Tickets(texts=tuple(texts), truth=tuple(truth), missing=missing, ids=tuple(kept))


# --- The report files -----------------------------------------------------------------------------
def write_report(
    scores: Scores, folder: Path, *, prefix: str, about: Mapping[str, Any] | None = None
) -> tuple[Path, Path]:
    """Writes `<prefix>_classification_report.json` and `<prefix>_confusion_matrix.png`; gives both paths.

    about: what the numbers are of (version, split), put before them in the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / f"{prefix}_classification_report.json"
    write_json({**(about or {}), **scores.as_dict()}, report)
    picture = folder / f"{prefix}_confusion_matrix.png"
    draw_confusion(scores, picture, title=prefix)
    return report, picture


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Writes an object as a report for people: indented, its letters as they are."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
