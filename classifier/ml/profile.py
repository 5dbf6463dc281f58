"""The two sides of a comparison: what a model said of its validation tickets, and what it says of recent ones.

Whether they differ is shift.py; which tickets they are is mlops/profiling.py and mlops/drift.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

MOST_REFERENCE = 2_000  # tickets a profile keeps: then its own share of a threshold is small, and it is 60 kB of JSON
SEED = 0  # of its own: the same tickets give the same sample


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What a model said of some tickets, column by column, each of shape (n_tickets,).

    n_words: words of the text. unknown: share of them that the vocabulary lacks, confidence: 0.0 to 1.0. category:
    index of the answer into the categories of the profile; -1 for one that it does not have.
    """

    n_words: Indices
    unknown: Numbers
    confidence: Numbers
    category: Indices

    def __len__(self) -> int:
        return len(self.n_words)


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """The reference: what a model said of its validation tickets, and how often that was right.

    ids: of the tickets, in the order of the columns; empty where they are no rows.
    """

    categories: tuple[str, ...]
    batch: Batch
    ids: tuple[int, ...]
    accuracy: float
    source: str = "validation"

    def as_dict(self) -> dict[str, Any]:
        """The columns in plain JSON types."""
        return {
            "categories": list(self.categories),
            "n_words": self.batch.n_words.tolist(),
            "unknown": self.batch.unknown.round(4).tolist(),
            "confidence": self.batch.confidence.round(6).tolist(),
            "category": self.batch.category.tolist(),
            "ids": list(self.ids),
            "accuracy": self.accuracy,
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Profile":
        """The profile that as_dict() gave. Raises KeyError if a column is missing."""
        return cls(
            categories=tuple(plain["categories"]),
            batch=Batch(
                n_words=np.array(plain["n_words"], dtype=np.int64),
                unknown=np.array(plain["unknown"], dtype=np.float64),
                confidence=np.array(plain["confidence"], dtype=np.float64),
                category=np.array(plain["category"], dtype=np.int64),
            ),
            ids=tuple(plain["ids"]),
            accuracy=plain["accuracy"],
            source=plain["source"],
        )


@dataclass(frozen=True)
class Lengths:
    """The word counts of both sides, and the score of the system that this one re-creates.

    drift_score: distance of the means in standard deviations of the reference; 0 is none, there is no upper bound.
    """

    reference_mean: float
    reference_std: float
    recent_mean: float
    recent_std: float
    drift_score: float


def moved(batch: Batch, *, before: Batch, after: Batch) -> Batch:
    """The batch as it would be, had the model answered that serves, and not the fit that has not seen its tickets.

    before, after: what the two said of the same tickets, which neither has seen. Fitted on more tickets, the second
    knows more words and is surer: on the shipped ones by 0.02, half of what 200 tickets can tell from chance.
    """
    unknown = batch.unknown + (after.unknown.mean() - before.unknown.mean())
    confidence = batch.confidence + (after.confidence.mean() - before.confidence.mean())
    return replace(batch, unknown=np.clip(unknown, 0.0, 1.0), confidence=np.clip(confidence, 0.0, 1.0))


def describe(
    batch: Batch, *, categories: Sequence[str], accuracy: float, ids: Sequence[int] = (), source: str
) -> Profile:
    """The profile of answers; of more than MOST_REFERENCE tickets a sample, always the same.

    accuracy: of all of them, by their truth. Raises ValueError without a ticket.
    """
    if not len(batch):
        raise ValueError("A profile needs at least one ticket; there is none. Give held-out tickets.")
    chosen = np.arange(len(batch))
    if len(batch) > MOST_REFERENCE:
        chosen = np.sort(np.random.RandomState(SEED).permutation(len(batch))[:MOST_REFERENCE])
    return Profile(
        categories=tuple(categories),
        batch=_taken(batch, chosen),
        ids=tuple(ids[index] for index in chosen.tolist()) if ids else (),
        accuracy=accuracy,
        source=source,
    )


def lengths(reference: Indices, recent: Indices) -> Lengths:
    """The word counts of both sides in figures.

    >>> found = lengths(np.array([8, 12]), np.array([13, 13]))  # means 10 and 13, standard deviation 2
    >>> found.drift_score, found.recent_std
    (1.5, 0.0)
    """
    mean, std = float(reference.mean()), float(reference.std())
    recent_mean = float(recent.mean()) if len(recent) else 0.0
    distance = abs(recent_mean - mean) if len(recent) else 0.0
    return Lengths(
        reference_mean=mean,
        reference_std=std,
        recent_mean=recent_mean,
        recent_std=float(recent.std()) if len(recent) else 0.0,
        drift_score=distance / (std or 1.0),  # all of one length: counted in words
    )


def estimated_accuracy(profile: Profile, window: Batch) -> float:
    """How often the window's answers are right, if the confidence is as honest now as it was on the reference.

    The accuracy there, less what the mean confidence has fallen since; 0.0 to 1.0.
    Source: Guillory et al., Predicting with confidence on unseen distributions, ICCV 2021 (difference of confidences).
    """
    fallen = float(profile.batch.confidence.mean() - window.confidence.mean())
    return min(1.0, max(0.0, profile.accuracy - fallen))


def _taken(batch: Batch, rows: Indices) -> Batch:
    return replace(batch, **{name: column[rows] for name, column in vars(batch).items()})
