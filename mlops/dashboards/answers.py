"""An answer in words, and the categories a person chooses from: what the label queue and Try it share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from classifier.models import Category, Prediction

REASONS = {
    Prediction.Reason.BELOW_THRESHOLD: "it is not sure enough of this category to act on",
    Prediction.Reason.AMBIGUOUS: "a second category fits nearly as well",
    Prediction.Reason.UNKNOWN_WORDS: "too few of the words are known",
    Prediction.Reason.CATEGORY_RETIRED: "the likeliest category is retired",
}
IN_SHORT = {
    Prediction.Reason.BELOW_THRESHOLD: "not sure enough",
    Prediction.Reason.AMBIGUOUS: "two categories fit",
    Prediction.Reason.UNKNOWN_WORDS: "unknown words",
    Prediction.Reason.CATEGORY_RETIRED: "category retired",
}
# Keys of the first nine categories and of the next ones; S skips and U undoes.
KEYS = "123456789abcdefghijklmnopqrtvwxyz"


@dataclass(frozen=True)
class Choice:
    """A category to choose: key is what a person presses, "" where the keys are used up."""

    slug: str
    name: str
    description: str
    key: str
    is_guess: bool


def reason_in_words(reason: str) -> str:
    """Why a person should look, as the end of a sentence.

    >>> reason_in_words("ambiguous")
    'a second category fits nearly as well'
    """
    return REASONS[Prediction.Reason(reason)]


def choices(categories: Iterable[Category], *, guess: str = "") -> list[Choice]:
    """The active ones of the categories in their order, so that a key keeps its category. guess: the model's slug."""
    return [
        Choice(
            slug=category.slug,
            name=category.name,
            description=category.description,
            key=KEYS[place : place + 1],
            is_guess=category.slug == guess,
        )
        for place, category in enumerate(category for category in categories if category.active)
    ]
