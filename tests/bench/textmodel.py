"""How much faster the TextModel answers than the scikit-learn pipeline it was made from, side by side in one run.

Run from the checkout: python tests/bench/textmodel.py [--json]. Exits 1 if a ratio misses its bar. The microseconds are
of the thread's processor time, not of the clock on the wall: on a machine that has other work, a call that is
interrupted would be charged with the work of others.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a script has its own folder on the path, not the checkout

from classifier.ml.pipeline import refit  # noqa: E402 -- only now

TICKETS = ROOT / "data" / "raw" / "support_tickets.csv"
BARS = {"10 words": 1 / 10, "60 words": 1 / 10, "250 words": 1 / 5, "batch of 1,000": 1.0}
TEXTS, ROUNDS, BATCHES = 60, 5, 7  # medians: one busy moment of the machine must not decide

Answer = Callable[[list[str]], object]


def tickets() -> tuple[list[str], list[str]]:
    with TICKETS.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    random.Random(0).shuffle(rows)
    return [text for text, _ in rows], [label for _, label in rows]


def cuttings(texts: Sequence[str], *, words: int) -> list[list[str]]:
    """Single texts of exactly that many words, cut from the tickets laid end to end."""
    running = " ".join(texts).split()
    chance = random.Random(words)
    starts = [chance.randrange(len(running) - words) for _ in range(TEXTS)]
    return [[" ".join(running[start : start + words])] for start in starts]


def medians(inputs: Sequence[list[str]], answers: Sequence[Answer], *, rounds: int) -> list[float]:
    """The median processor microseconds of each way to answer.

    They take turns round by round, so that a busy machine slows both; not text by text, where each would find the
    processor's caches full of the other's data (that trebles the TextModel's time, and says nothing of either).
    """
    taken: list[list[float]] = [[] for _ in answers]
    for _ in range(rounds):
        for answer, times in zip(answers, taken, strict=True):
            for texts in inputs:
                start = time.thread_time()
                answer(texts)
                times.append((time.thread_time() - start) * 1e6)
    return [statistics.median(times) for times in taken]


def measure() -> list[dict[str, Any]]:
    texts, labels = tickets()
    fitted = refit(texts, labels, recipe="word_char", c=100.0, temperature=1.0, seed=0)
    answers: list[Answer] = [fitted.model.predict, fitted.pipeline.predict_proba]
    fitted.model.predict(texts)  # a process that has answered for a while knows the common words
    batch = (texts * (1 + 1000 // len(texts)))[:1000]
    cases = {f"{words} words": (cuttings(texts, words=words), ROUNDS) for words in (10, 60, 250)}
    cases["batch of 1,000"] = ([batch], BATCHES)
    found: list[dict[str, Any]] = []
    for name, (inputs, rounds) in cases.items():
        model, pipeline = medians(inputs, answers, rounds=rounds)
        ratio, bar = model / pipeline, BARS[name]
        times = {"model_us": round(model, 1), "pipeline_us": round(pipeline, 1)}
        found.append({"case": name, **times, "ratio": round(ratio, 4), "bar": bar, "passed": ratio <= bar})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    rows = measure()
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{'':>16}{'TextModel us':>16}{'pipeline us':>16}{'ratio':>9}{'bar':>7}")
        for row in rows:
            missed = "" if row["passed"] else "  missed"
            print("{case:>16}{model_us:>16,.1f}{pipeline_us:>16,.1f}{ratio:>9.3f}{bar:>7.2f}".format(**row) + missed)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
