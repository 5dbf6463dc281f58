"""How long two models take for single answers, side by side on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from classifier.ml.model import TextModel

TEXTS = 60  # a few long ones among them, as tickets have
ROUNDS = 7
SECONDS = 1.0  # then it ends with what it has: a model that takes 0.1 s an answer is found out all the same


@dataclass(frozen=True)
class Latencies:
    """Milliseconds of a mean single answer of both models."""

    ours: float
    theirs: float


def compare(ours: TextModel, theirs: TextModel, texts: Sequence[str]) -> Latencies:
    """What a single answer takes at best, on up to 60 of the texts.

    Each text is answered by both in turn, seven times, and of each the shortest counts: whatever else the machine does
    only ever adds. The one that begins changes from round to round, so that none finds the other's text in the cache.
    Raises ValueError if there are no texts.
    """
    if not texts:
        raise ValueError("Latency is measured on at least one text; there is none. Give some.")
    chosen = texts[:: -(-len(texts) // TEXTS)]
    shortest = [[float("inf")] * len(chosen) for _ in range(2)]
    models, until = (ours, theirs), time.perf_counter() + SECONDS
    for turn in range(ROUNDS):
        for place, text in enumerate(chosen):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                shortest[side][place] = min(shortest[side][place], _seconds(models[side], text))
            if time.perf_counter() > until:
                return _means(shortest)
    return _means(shortest)


def _seconds(model: TextModel, text: str) -> float:
    began = time.perf_counter()
    model.predict([text])
    return time.perf_counter() - began


def _means(shortest: Sequence[Sequence[float]]) -> Latencies:
    """The means over the texts that were reached."""
    reached = [seconds for seconds in zip(*shortest, strict=True) if seconds[0] != float("inf")]
    ours, theirs = (1000 * sum(side) / len(reached) for side in zip(*reached, strict=True))
    return Latencies(ours=ours, theirs=theirs)
