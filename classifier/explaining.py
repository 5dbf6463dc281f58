"""Why a text was given a category, told in its own words. The weights of terms are TextModel.explain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from classifier.ml.featurise import WORDS
from classifier.ml.model import Term, TextModel
from classifier.ml.text import normalise

ALL_TERMS = 1_000_000  # more than any text of 10,000 characters has
MARKS = ".,;:!?\"'()[]"  # around a word: they count for the model, and people read past them


@dataclass(frozen=True)
class SpokenWord:
    """A word of the text, and how much it spoke for the category, or below 0 against it."""

    word: str
    weight: float


def spoken(model: TextModel, text: str, category: str, *, limit: int = 8) -> tuple[list[SpokenWord], list[SpokenWord]]:
    """The words of a text that spoke for a category and those that spoke against it, the loudest first.

    A term's weight goes to the words it is made of, in equal parts: a pair of words to both, a run of letters to each
    word that holds it. So the words' weights add up to those of all terms.
    Raises ValueError for a category the model does not know.
    """
    weights = _by_word(normalise(text), model.explain(text, category, limit=ALL_TERMS))
    words = [SpokenWord(word, weight) for word, weight in weights.items()]
    for_it = sorted((word for word in words if word.weight > 0), key=lambda word: -word.weight)
    against = sorted((word for word in words if word.weight < 0), key=lambda word: word.weight)
    return for_it[:limit], against[:limit]


def _by_word(text: str, terms: tuple[Term, ...]) -> Mapping[str, float]:
    tokens = {word: set(WORDS(word)) for word in dict.fromkeys(text.split())}
    weights: dict[str, float] = defaultdict(float)
    for term in terms:
        if term.kind == "word":
            parts = term.term.split()
            owners = [word for word, held in tokens.items() if not held.isdisjoint(parts)]
        else:
            owners = [word for word in tokens if term.term in f" {word} "]
        for word in owners:
            weights[word.strip(MARKS) or word] += term.weight / len(owners)
    return weights
