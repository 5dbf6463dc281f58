"""What a version was like on tickets it has not seen: the profile that drift is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from classifier.inference import load
from classifier.ml import profile as profiles
from classifier.ml.profile import Batch, Profile
from classifier.models import ModelVersion
from mlops.evaluation import Tickets, own_tickets

if TYPE_CHECKING:
    from classifier.ml.model import Answers, TextModel


def make(first: TextModel, last: TextModel, *, validation: Tickets, test: Tickets) -> Profile:
    """The profile of a model in the making, from its validation tickets.

    first: fitted without them, so that it answers them as it would any ticket. last: what will serve. What the second
    fit changes in the confidence and in the unknown words is measured on the test tickets, which neither has seen.
    """
    answers = first.predict(validation.texts)
    return profiles.describe(
        profiles.moved(
            batch_of(answers, validation.texts),
            before=batch_of(first.predict(test.texts), test.texts),
            after=batch_of(last.predict(test.texts), test.texts),
        ),
        categories=first.categories,
        accuracy=_accuracy(answers, validation.truth),
        ids=validation.ids,
        source="validation",
    )


def profile_of(version: ModelVersion) -> Profile:
    """The version's profile; one that is older than profiles are gets one from its test tickets, which is kept.

    Raises NothingToScore without a dataset or its tickets, DamagedModel if the model has to answer and cannot.
    """
    if version.profile:
        return Profile.from_dict(version.profile)
    tickets = own_tickets(version, "test")
    model = load(version)
    answers = model.predict(tickets.texts)
    made = profiles.describe(
        batch_of(answers, tickets.texts),
        categories=model.categories,
        accuracy=_accuracy(answers, tickets.truth),
        ids=tickets.ids,
        source="test",
    )
    version.profile = made.as_dict()
    version.save(update_fields=["profile"])
    return made


def batch_of(answers: Answers, texts: Sequence[str]) -> Batch:
    """The columns of answers; words are counted as /api/predict stores them."""
    return Batch(
        n_words=np.array([len(text.split()) for text in texts], dtype=np.int64),
        unknown=answers.unknown,
        confidence=np.array(answers.confidences, dtype=np.float64),
        category=answers.best,
    )


def _accuracy(answers: Answers, truth: Sequence[str]) -> float:
    right: Any = np.mean([guess == label for guess, label in zip(answers.labels, truth, strict=True)])
    return float(right)
