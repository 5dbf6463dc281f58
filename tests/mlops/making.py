"""Labelled tickets and trained versions for the tests of mlops; each builds only what the test speaks of."""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from classifier.ml.model import TextModel
from classifier.ml.pipeline import Fitted, refit
from classifier.models import Label, ModelVersion, Ticket
from mlops.evaluation import evaluate_tickets
from mlops.gathering import freeze, gather
from mlops.models import TrainingRun
from tests.factories import make_categories, make_version, shipped

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
THREE = ("billing", "shipping", "technical")
# Of seven tickets five train, one validates, one tests.
SPLITS = ("train", "train", "train", "validation", "train", "test", "train")

# What the shop of these tickets has never been asked about.
KITCHEN = {
    "verb": ("simmer", "whisk", "marinate", "caramelise", "knead", "blanch", "saute", "braise"),
    "food": ("leeks", "brioche dough", "venison", "chanterelles", "polenta", "rhubarb", "fennel", "lentils"),
    "tool": ("skillet", "tagine", "bain-marie", "mandoline", "casserole", "wok"),
    "herb": ("tarragon", "sumac", "cardamom", "marjoram", "juniper", "saffron"),
}


def noon() -> datetime:
    """A clock that stands."""
    return NOW


def rows_of(category: str, count: int) -> list[str]:
    return [text for text, label in shipped() if label == category][:count]


def kitchen(count: int, *, seed: int) -> list[str]:
    """Texts that the shipped tickets know nothing of, hardly two alike."""
    chance = random.Random(seed)
    return [
        "How long should I {verb} the {food} in a {tool} before adding the {herb}?".format(
            **{kind: chance.choice(words) for kind, words in KITCHEN.items()}
        )
        for _ in range(count)
    ]


def label_tickets(per_category: int = 14, *, categories: Sequence[str] = THREE) -> None:
    """Tickets of each category with a label and a split, as an import would leave them.

    Left at 42 of three categories, a training takes half a second and answers its six test tickets without a fault.
    """
    for category in make_categories(categories):
        texts = rows_of(category.slug, per_category)
        tickets = Ticket.objects.bulk_create(
            Ticket(
                text=text,
                text_digest=Ticket.digest(text),
                source=Ticket.Source.IMPORT,
                split=SPLITS[index % len(SPLITS)],
                group=0,
            )
            for index, text in enumerate(texts)
        )
        Label.objects.bulk_create(
            Label(ticket=ticket, category=category, source=Label.Source.IMPORT, created_at=NOW) for ticket in tickets
        )


def of_three() -> tuple[list[str], list[str]]:
    """The shipped tickets of the three categories that `label_tickets` labels: texts and labels."""
    rows = [(text, label) for text, label in shipped() if label in THREE]
    return [text for text, _ in rows], [label for _, label in rows]


@functools.cache
def good_fit() -> Fitted:
    """A model of all shipped tickets of three categories, the tests' own among them, so that it passes any gate.

    The gate cannot know: the dataset that `make_trained` freezes beside it says that it learnt from other tickets.
    """
    return refit(*of_three(), recipe="word_char", c=100.0, temperature=0.9)


@functools.cache
def small_fit() -> Fitted:
    """A model of 30 tickets, for where only its being one matters."""
    texts = [text for category in THREE for text in rows_of(category, 10)]
    labels = [category for category in THREE for _ in range(10)]
    return refit(texts, labels, recipe="word_char", c=100.0, temperature=0.9)


@functools.cache
def poor_fit() -> Fitted:
    """A model that has learnt next to nothing: each label is that of the ticket before."""
    texts, labels = of_three()
    return refit(texts, [labels[-1], *labels[:-1]], recipe="word_char", c=1.0, temperature=1.0)


def make_trained(model: TextModel | None = None, *, status: str = "candidate", **fields: Any) -> ModelVersion:
    """A version with run, frozen dataset and its test scores, of the tickets that are labelled now."""
    model = model or good_fit().model
    material = gather()
    scores = {split: evaluate_tickets(model, material.of(split)).as_dict() for split in ("validation", "test")}
    version = make_version(model=model, status=status, metrics=scores, **fields)
    TrainingRun.objects.create(
        status=TrainingRun.Status.SUCCEEDED,
        trigger=TrainingRun.Trigger.COMMAND,
        recipe=version.recipe,
        dataset=freeze(material),
        version=version,
        metrics=scores,
        started_at=NOW,
        ended_at=NOW,
    )
    return version


@contextmanager
def mlflow_client(uri: str = "") -> Iterator[Any]:
    """MLflow's own client of the configured MLflow, or of another one: what a person with its pages could do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        yield MlflowClient(tracking_uri=uri or settings.MLFLOW_TRACKING_URI)
