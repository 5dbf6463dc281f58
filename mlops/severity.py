"""What a comparison of windows means, in words: which signal, how far, since when, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from classifier.ml.profile import Lengths
from classifier.ml.shift import Signal
from classifier.ml.telling import TellingWord
from mlops.models import DriftSnapshot

Severity = DriftSnapshot.Severity
CLEAR, STRONG = 1.5, 3.0  # times the threshold: what chance alone hardly doubles, nobody need look for twice
NAMED = 3  # categories or words that a sentence names
SAME_MEAN = 0.1  # standard deviations: closer means are those of another mix, not of longer or shorter tickets
MOVED = 0.02  # of the shares: a category that moved less is not worth naming

ABOUT = {
    "word_count_psi": "the word counts",
    "word_count_ks": "the word counts",
    "unknown_words": "the unknown words",
    "confidence": "the confidence",
    "category_shares": "the shares of the categories",
    "text": "the texts",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the sentences tell of. Shares are by slug, confidence and unknown words are means of the window."""

    signals: Sequence[Signal]
    since: Mapping[str, datetime]  # of each signal that has drifted
    lengths: Lengths
    expected_words: float  # the mean that validation would have with the categories of the window
    reference_shares: Mapping[str, float]
    recent_shares: Mapping[str, float]
    telling: Sequence[TellingWord]
    recent_confidence: float
    recent_unknown: float
    estimated_accuracy: float
    reference_accuracy: float

    @property
    def drifted(self) -> list[str]:
        return [signal.name for signal in self.signals if signal.drifted]


def severity(signals: Sequence[Signal]) -> Severity:
    """How far the signals are beyond their thresholds, by the one that is furthest.

    >>> severity([Signal("confidence", value=0.05, threshold=0.04)]).value
    'slight'
    """
    excess = max((_excess(signal) for signal in signals if signal.drifted), default=0.0)
    if not excess:
        return Severity.NONE
    return Severity.STRONG if excess > STRONG else Severity.CLEAR if excess > CLEAR else Severity.SLIGHT


def too_few(*, found: int, wanted: int, hours: int) -> tuple[str, str]:
    """The words and the advice of a window in which nothing can be told."""
    words = f"Too few to tell: {wanted} predictions of the last {hours} hours are needed; there are {found}."
    return words, "Wait for more tickets, or lower DRIFT_MIN_PREDICTIONS: then only larger changes are seen."


def steady(*, n_recent: int, n_reference: int) -> tuple[str, str]:
    return (
        f"Steady: the newest {n_recent} predictions differ from {n_reference} validation tickets by chance alone.",
        "",
    )


def drifted(facts: Facts) -> tuple[str, str]:
    """The words and the advice of a window that has drifted; the first sentence says which signals, and since when."""
    found = sorted((s for s in facts.signals if s.drifted), key=_excess, reverse=True)
    names = [signal.name for signal in found]
    first = min(facts.since.values())
    about = list(dict.fromkeys(ABOUT[name] for name in names))
    alone = " alone" if names == ["category_shares"] else ""
    listed = ", ".join(about[:-1]) + (" and " if about[1:] else "") + about[-1]
    said = [f"{severity(found).label} drift since {first:%Y-%m-%d %H:%M} UTC, in {listed}{alone}."]
    # Both are about word counts, and the distance of the two says it better than their mix.
    told = [s for s in found if not (s.name == "word_count_psi" and "word_count_ks" in names)]
    said += [sentence(signal, facts, first=first) for signal in told]
    if alone:
        said.append("Within each category the tickets are like before.")
    return " ".join(said), _advice(facts)


def sentence(signal: Signal, facts: Facts, *, first: datetime | None = None) -> str:
    """What one signal says, and since when, unless that is what was said first."""
    body = meaning(signal, facts)
    beyond = "" if signal.threshold is None else f" ({signal.value:.3f}, by chance up to {signal.threshold:.3f})"
    since = facts.since.get(signal.name)
    later = f", since {since:%Y-%m-%d %H:%M} UTC" if since and since != first else ""
    return f"{body}{beyond}{later}."


def meaning(signal: Signal, facts: Facts) -> str:
    """What a signal that has drifted means, without its figures."""
    return _BODIES[signal.name](facts)


def _excess(signal: Signal) -> float:
    """How many times its threshold a signal reaches."""
    return signal.value / signal.threshold if signal.threshold else 0.0


def _lengths(facts: Facts) -> str:
    found, expected = facts.lengths.recent_mean, facts.expected_words
    if abs(found - expected) < SAME_MEAN * max(1.0, facts.lengths.reference_std):
        return _spread(facts)
    kind = "longer" if found > expected else "shorter"
    return f"Tickets are {kind}: {found:.1f} words on average, {expected:.1f} in the same categories on validation"


def _spread(_: Facts) -> str:
    return "Short and long tickets come in another mix than on validation"


def _unknown(facts: Facts) -> str:
    return f"More words are new to the model: {facts.recent_unknown:.1%} of all"


def _confidence(facts: Facts) -> str:
    return f"The model is less sure than on tickets of the same categories: {facts.recent_confidence:.1%} on average"


def _shares(facts: Facts) -> str:
    moves = {slug: facts.recent_shares[slug] - share for slug, share in facts.reference_shares.items()}
    parts = []
    for verb, sign in (("grew", 1), ("shrank", -1)):
        ordered = sorted((slug for slug in moves if sign * moves[slug] > MOVED), key=lambda slug: -sign * moves[slug])
        if ordered:
            named = (
                f"{slug} ({facts.reference_shares[slug]:.0%} to {facts.recent_shares[slug]:.0%})"
                for slug in ordered[:NAMED]
            )
            parts.append(f"{', '.join(named)} {verb}")
    return "The shares of the categories have changed" + (f": {'; '.join(parts)}" if parts else "")


def _text(facts: Facts) -> str:
    words = [f"'{told.word}'" for told in facts.telling if told.side == "recent"][:NAMED]
    return "The texts speak of other things" + (f", of {', '.join(words)}" if words else "")


_BODIES = {
    "word_count_psi": _spread,
    "word_count_ks": _lengths,
    "unknown_words": _unknown,
    "confidence": _confidence,
    "category_shares": _shares,
    "text": _text,
}


def _advice(facts: Facts) -> str:
    estimate = (
        f"an accuracy of {facts.estimated_accuracy:.1%} is estimated from the confidence, "
        f"{facts.reference_accuracy:.1%} was measured on validation"
    )
    if "confidence" in facts.drifted:
        return (
            f"Answers are likely to be right less often: {estimate}. Label recent tickets, those for review first, and "
            "retrain with manage.py retrain. If it began with a promotion, look at manage.py roll_back."
        )
    if facts.drifted == ["category_shares"]:
        return (
            f"The model needs nothing: {estimate}. See whether the people are where the tickets are now; if a category "
            "is asked for far more often than it was, label some of its tickets."
        )
    return (
        f"Other tickets come in, and nothing says that answers are worse: {estimate}. Label some recent tickets, so "
        "that the next training knows them and the live quality shows what they do to it."
    )
