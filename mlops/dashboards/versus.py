"""Two versions on the test tickets that both were asked: which is better, and whether chance alone would do that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from classifier.ml.bootstrap import Interval
from classifier.ml.comparison import macro_f1_gain
from classifier.ml.scoring import score
from classifier.wording import counted
from mlops.dashboards.versions import Shown
from mlops.rules import signed

Column = tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What comes of it. verdict: in a few words; words: the sentences below it. n_common: tickets both were asked."""

    verdict: str
    words: str
    n_common: int


def compared(ours: Shown, theirs: Shown) -> Comparison:
    """Our version against theirs: on common test tickets if both kept their answers, else by their scores alone."""
    gap = ours.scores["macro_f1"] - theirs.scores["macro_f1"]
    stored = f"{ours.scores['macro_f1']:.3f} against {theirs.scores['macro_f1']:.3f}, {signed(gap)}"
    place = {pk: index for index, pk in enumerate(theirs.tested.ids) if pk is not None}
    common = [(index, place[pk]) for index, pk in enumerate(ours.tested.ids) if pk in place]
    if not common:
        return Comparison(
            "Not compared ticket by ticket",
            f"{_why_not(ours, theirs)} Their scores are {stored}: part of that may come from other tickets.",
            0,
        )
    truth = tuple(ours.tested.truth[index] for index, _ in common)
    our_guess = tuple(ours.tested.guess[index] for index, _ in common)
    their_guess = tuple(theirs.tested.guess[index] for _, index in common)
    interval = _gain(truth, our_guess, their_guess)
    known = sorted(set(truth))
    mine, other = (score(truth, guess, categories=known).macro_f1 for guess in (our_guess, their_guess))
    on = f"On the {counted(len(common), 'test ticket')} that both were asked, {ours} has a macro-F1 of {mine:.3f} and "
    span = (
        f"With other tickets the difference would lie between {signed(interval.low)} and {signed(interval.high)} (95 %)"
    )
    return Comparison(
        _verdict(ours, theirs, interval, gain=mine - other),
        f"{on}{theirs} {other:.3f}, a difference of {signed(mine - other)}. {span}{_so(interval)}",
        len(common),
    )


@lru_cache(maxsize=32)
def _gain(truth: Column, ours: Column, theirs: Column) -> Interval:
    """Kept for the next time: 2,000 draws of 3,000 tickets take 0.1 s, and what was answered never changes."""
    return macro_f1_gain(truth, ours, theirs)


def _verdict(ours: Shown, theirs: Shown, interval: Interval, *, gain: float) -> str:
    name = str(ours).capitalize()
    if interval.low > 0:
        return f"{name} is better than {theirs} by {gain:.3f}, more than chance would make it"
    if interval.high < 0:
        return f"{name} is worse than {theirs} by {-gain:.3f}, more than chance would make it"
    if not gain:
        return f"{name} and {theirs} are equally good"
    return f"{name} looks {'better' if gain > 0 else 'worse'} than {theirs} by {abs(gain):.3f}, which may be chance"


def _so(interval: Interval) -> str:
    if interval.low > 0 or interval.high < 0:
        return f": all of that lies {'above' if interval.low > 0 else 'below'} 0, so it is more than luck."
    return ": 0, no difference at all, lies within that, so it may be luck."


def _why_not(ours: Shown, theirs: Shown) -> str:
    lacking = [str(each) for each in (ours, theirs) if not each.tested.has_tickets]
    if not lacking:
        return "They share no test ticket."
    if ours.is_demo:
        return "Sample versions are about no tickets."
    return f"What {' and '.join(lacking)} said of each test ticket was not kept."
