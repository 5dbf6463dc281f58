"""Whether an answer may be acted on by itself or needs a person, and why. Solving the thresholds is thresholds.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.ml.model import Answers

# Why an answer needs a review, the first that holds; none: it is automatic. The order goes from what makes the others
# meaningless to what is a matter of degree: another category than the likeliest is answered, the text cannot be read,
# two categories fit, none fits well enough.
CATEGORY_RETIRED, UNKNOWN_WORDS, AMBIGUOUS, BELOW_THRESHOLD = REASONS = (
    "category_retired",
    "unknown_words",
    "ambiguous",
    "below_threshold",
)
AUTOMATIC = ""
LEAST_LETTERS = 4  # "pin", "app" and "fee" were answered with a confidence of 1.00, and do not say what is wanted
# Between the two likeliest. Below it the first is right in 52 % of the answers to shipped tickets (the second in 37 %),
# and in 46 % of those to BANKING77's: a coin would do. That touches 4 and 5 % of the tickets.
LEAST_MARGIN = 0.2
# The share of a text's words that may be unknown; thresholds.py chooses within. Of 80 tickets in ten other languages,
# 36 fits on the shipped tickets let none pass at 0.35, 2 % at 0.4 and 4 % at 0.5 (their vocabulary has "in", "die",
# "on" and "app" too); of English tickets they had not seen, 0.35 stops 0.4 %, and 1 % after half as many.
UNKNOWN_LIMITS = (0.35, 0.5)
NEVER = np.inf  # the threshold of a category that is for review only


@dataclass(frozen=True, eq=False)
class Rules:
    """What an answer must meet to be automatic.

    thresholds: the least confidence for each of the model's categories, shape (n_categories,); NEVER: review only.
    unknown_limit: the share of a text's words that may be unknown; 1.0: words do not tell, see thresholds.py.
    """

    thresholds: NDArray[np.float64]
    unknown_limit: float = UNKNOWN_LIMITS[0]
    least_margin: float = LEAST_MARGIN

    @classmethod
    def of(cls, plain: Mapping[str, Any], categories: Sequence[str]) -> "Rules":
        """The rules in what Thresholds.as_dict() gave, for a model's categories in its order.

        A category without a threshold is for review only. So are all of them where nothing was solved (an empty dict,
        of a version older than thresholds are): nobody has shown that its answers can be relied on.
        """
        solved = plain.get("per_category", {})
        found = [solved.get(slug, {}).get("threshold") for slug in categories]
        return cls(
            thresholds=np.array([NEVER if threshold is None else threshold for threshold in found]),
            unknown_limit=plain.get("unknown_limit", UNKNOWN_LIMITS[0]),
            least_margin=plain.get("least_margin", LEAST_MARGIN),
        )


def decide(answers: Answers, texts: Sequence[str], *, chosen: NDArray[np.int64], rules: Rules) -> list[str]:
    """Why each answer needs a review: one of REASONS, or AUTOMATIC.

    chosen: index of the category that is answered, shape (n_texts,); another than the likeliest where that is retired.
    """
    confidences = answers.probabilities[np.arange(len(chosen)), chosen]
    is_legible = np.array([has_letters(text) for text in texts], dtype=bool)
    reasons = np.stack(
        [
            chosen != answers.best,
            ~is_legible | (answers.unknown > rules.unknown_limit),
            margins(answers.probabilities) < rules.least_margin,
            confidences < rules.thresholds[chosen],
            np.ones(len(chosen), dtype=bool),
        ]
    )
    names = (*REASONS, AUTOMATIC)
    return [names[index] for index in reasons.argmax(axis=0).tolist()]  # the first that holds


def margins(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the likeliest category is ahead of the next one, shape (n_texts,).

    >>> margins(np.array([[0.1, 0.6, 0.3]])).round(2).tolist()
    [0.3]
    """
    leading = np.partition(probabilities, -2, axis=1)[:, -2:]
    ahead: NDArray[np.float64] = leading[:, 1] - leading[:, 0]
    return ahead


def has_letters(text: str) -> bool:
    """Whether the text has at least LEAST_LETTERS letters, of any script.

    >>> has_letters("help"), has_letters("app"), has_letters("4711 - 99 ?!")
    (True, False, False)
    """
    return sum(1 for _ in islice(filter(str.isalpha, text), LEAST_LETTERS)) == LEAST_LETTERS
