"""What Try it shows of one answer: how sure it is, every category's probability, and the words that spoke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from classifier.explaining import SpokenWord, spoken
from classifier.inference import Answered, Serving
from classifier.ml.deciding import AUTOMATIC
from classifier.models import Category, Label, Prediction, doer
from classifier.wording import ago, share
from mlops.dashboards.answers import choices, reason_in_words

SHOWN_FIRST = 8  # categories above the fold; of 77 the rest share a few percent
EXAMPLES = (
    "I was charged twice for the same order, please refund one of the payments.",
    "My parcel should have come on Monday and the tracking has not moved since.",
    "The app closes by itself each time I open the settings page.",
)


@dataclass(frozen=True)
class Bar:
    """A category, or a word, with a length from 0 to 1 and what it says."""

    name: str
    length: float
    text: str
    is_best: bool = False


@dataclass(frozen=True)
class Told:
    """An answer as the page tells it, whether it was stored or not."""

    text: str
    category: str
    confidence: float
    reason: str
    number: int


def told(text: str, answered: Answered) -> Told:
    """A fresh answer to one text."""
    return Told(text, answered.labels[0], answered.confidences[0], answered.reasons[0], number=answered.serving.number)


def told_of(prediction: Prediction) -> Told:
    """A stored answer."""
    return Told(
        prediction.ticket.text,
        prediction.category.slug,
        prediction.confidence,
        prediction.reason,
        number=prediction.version.number,
    )


def answer(shown: Told, using: Serving | None, *, about: str = "") -> dict[str, Any]:
    """The page's words and bars. using: the model, if it is the version that answered; about: a category's slug."""
    categories = list(Category.objects.all())
    names = {category.slug: category.name for category in categories}
    found: dict[str, Any] = {
        "asked": shown.text,
        "best": names.get(shown.category, shown.category),
        "confidence": share(shown.confidence),
        "number": shown.number,
        "is_sure": shown.reason == AUTOMATIC,
        "verdict": verdict(shown.reason),
        "choices": choices(categories, guess=shown.category),
        "bars": [],
    }
    if using is None:
        return found
    model = using.model
    probabilities = model.predict([shown.text]).probabilities[0].tolist()
    bars = [
        Bar(names.get(slug, slug), value, share(value), is_best=slug == shown.category)
        for slug, value in sorted(zip(model.categories, probabilities, strict=True), key=lambda pair: -pair[1])
    ]
    about = about if about in model.categories else shown.category
    for_it, against = spoken(model, shown.text, about)
    loudest = max((abs(word.weight) for word in [*for_it, *against]), default=1.0)
    return {
        **found,
        "bars": bars[:SHOWN_FIRST],
        "more_bars": bars[SHOWN_FIRST:],
        "about": names.get(about, about),
        "abouts": [
            {"slug": slug, "name": names.get(slug, slug), "is_chosen": slug == about} for slug in model.categories
        ],
        "for_it": word_bars(for_it, loudest=loudest),
        "against": word_bars(against, loudest=loudest),
    }


def verdict(reason: str) -> str:
    """Whether the answer may be acted on, and if not why.

    >>> verdict(""), verdict("unknown_words")
    ('Sure enough to act on.', 'Goes to review, because too few of the words are known.')
    """
    return f"Goes to review, because {reason_in_words(reason)}." if reason else "Sure enough to act on."


def word_bars(words: Sequence[SpokenWord], *, loudest: float) -> list[Bar]:
    """The words with a length against the loudest of both sides."""
    return [Bar(word.word, abs(word.weight) / loudest, f"{word.weight:+.2f}") for word in words]


def label_in_words(label: Label | None, *, now: Any) -> str:
    """The label that a ticket has, by whom and since when; "" for none."""
    if label is None:
        return ""
    return (
        f"Labelled {label.category.name} by {doer(label.by, label.key) or 'an import'}, {ago(now, label.created_at)}."
    )
