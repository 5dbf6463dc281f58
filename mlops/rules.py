"""One rule of the gate: what it wanted, what it found, and both in words. Which rules there are is judging.py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

SAME = 1e-9  # two numbers nearer than this are equal: the order of a sum of floats must not decide


@dataclass(frozen=True)
class Rule:
    """What a rule said. found: None if there is no number, or none could be had."""

    name: str
    passed: bool
    wanted: float | None
    found: float | None
    words: str

    def as_dict(self) -> dict[str, Any]:
        """The rule in plain JSON types: finite numbers or null."""
        return {
            "name": self.name,
            "passed": self.passed,
            "wanted": self.wanted,
            "found": self.found,
            "words": self.words,
        }


def signed(number: float) -> str:
    """A difference in words: three places, more if they hid that there is one, and no minus before a nothing.

    >>> signed(-0.0401), signed(0.5), signed(-0.0), signed(0.00021)
    ('-0.040', '+0.500', '+0.000', '+0.0002')
    """
    if SAME < abs(number) < 0.0005:
        return f"{number:+.1g}" if abs(number) < 0.0001 else f"{number:+.4f}"
    return f"{round(number, 3) + 0.0:+.3f}"


def at_least(name: str, wanted: float, *, found: float | None, words: str) -> Rule:
    """A rule that wants no less than a number. One that is missing or no number never meets it."""
    return _held(name, wanted, found, words, short=None if found is None else wanted - found)


def at_most(name: str, wanted: float, *, found: float | None, words: str) -> Rule:
    """A rule that wants no more than a number. One that is missing or no number never meets it."""
    return _held(name, wanted, found, words, short=None if found is None else found - wanted)


def more_than(name: str, wanted: float, *, found: float | None, words: str) -> Rule:
    """A rule that wants more than a number: as much is a tie, and not enough."""
    short = None if found is None else wanted - found
    if short is not None and abs(short) <= SAME:
        return Rule(name, False, wanted, found, f"{words} That is a tie, and a tie does not pass.")
    return _held(name, wanted, found, words, short=short)


def _held(name: str, wanted: float, found: float | None, words: str, *, short: float | None) -> Rule:
    if found is None or short is None or not math.isfinite(found):
        return Rule(name, False, wanted, None, f"{words} No number could be had, so the rule is not met.")
    if short > SAME:
        return Rule(name, False, wanted, found, f"{words} It fails by {short:.3g}.")
    return Rule(name, True, wanted, found, words)
