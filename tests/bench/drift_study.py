"""How often drift is seen where there is some, and where there is none: streams through the program's own comparison.

Run from the checkout: python tests/bench/drift_study.py [--windows N] [--json]. Exits 1 if a bar is missed. The tickets
are those of the folder that TICKETCLF_SHARED_DATA names (files *_5.csv with the columns text and label, one for each
source) or, without it, those of data/raw; foreign to them are then sentences of the project's own documents.

For each source, several times: 35 % of its tickets are set aside as the stream, near-duplicates together; of the others
a model is fitted, C and temperature chosen on validation and the profile made there, as a training does. Then windows
are drawn from the stream.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a script has its own folder on the path, not the checkout

from classifier.ml import pipeline, shift, telling  # noqa: E402 -- only now
from classifier.ml import profile as profiles  # noqa: E402
from classifier.ml.model import Answers, TextModel  # noqa: E402
from classifier.ml.profile import Batch, Profile  # noqa: E402
from classifier.ml.split import SPLITS, assign  # noqa: E402
from classifier.ml.text import groups  # noqa: E402

WINDOW = 200
FITS = 5  # references a source: a profile is drawn by chance as well
STREAM = 0.35  # of a source's tickets
MOST_ROWS = 6_000  # of a source: fits then take seconds
FOREIGN = 0.2  # of a window's tickets
SHRUNK = 0.8  # of its share that the commonest category loses to the rarest
SLOW_STEPS = 20  # windows in which foreign tickets grow from none to twice FOREIGN
ORIGINAL_LIMIT = 1.0  # the reference system calls a z-score above it drift
# Name of the bar: the share of windows that must, or may, be called so.
BARS = {"unchanged": 0.05, "foreign": 0.95, "shares": 0.95, "off-topic": 0.95}

Row = tuple[str, str]
Draw = Callable[["Setting", random.Random, int], list[str]]


@dataclass(frozen=True, eq=False)
class Setting:
    """A model with its profile, the texts of its reference, a stream of its own source and foreign texts."""

    model: TextModel
    profile: Profile
    reference: list[str]
    stream: list[Row]
    foreign: list[str]


@dataclass(frozen=True, eq=False)
class Seen:
    """What one window was found to be: drifted signals, and the score of the system that this one re-creates."""

    drifted: frozenset[str]
    z_score: float


# --- Streams ------------------------------------------------------------------------------------------
def sources() -> dict[str, list[Row]]:
    """The tickets of each source, by its name."""
    folder = os.environ.get("TICKETCLF_SHARED_DATA")
    files = sorted(Path(folder).glob("*_5.csv")) if folder else []
    files = files or [ROOT / "data" / "raw" / "support_tickets.csv"]
    return {file.stem: rows_of(file) for file in files}


def rows_of(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as opened:
        rows = [(row["text"].strip(), row["label"]) for row in csv.DictReader(opened)]
    rows = [row for row in rows if row[0]]
    random.Random(0).shuffle(rows)
    return rows[:MOST_ROWS]


def setting(name: str, tickets: dict[str, list[Row]], *, seed: int) -> Setting:
    """A model of the source, as a training would make it, and what it will be asked."""
    rows = list(tickets[name])
    foreign = [text for other, found in tickets.items() if other != name for text, _ in found]
    foreign = foreign or sentences()
    stream, known = set_aside(rows, seed=seed)
    train, validation, test = split(known, seed=seed)
    first, last = fitted(train, validation)
    texts, truth = [text for text, _ in validation], [label for _, label in validation]
    answers, held_out = first.predict(texts), [text for text, _ in test]
    profile = profiles.describe(
        profiles.moved(
            batch(answers, texts),
            before=batch(first.predict(held_out), held_out),
            after=batch(last.predict(held_out), held_out),
        ),
        categories=first.categories,
        accuracy=float(np.mean([guess == label for guess, label in zip(answers.labels, truth, strict=True)])),
        ids=range(len(texts)),
        source="validation",
    )
    return Setting(last, profile, [texts[index] for index in profile.ids], stream, foreign)


def sentences() -> list[str]:
    """Sentences of the project's documents: English, about software, and no tickets."""
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("*/**/README.md"))]
    texts = [
        file.read_text(encoding="utf-8") for file in files if ".venv" not in file.parts and "var" not in file.parts
    ]
    found = re.split(r"(?<=[.:;])\s|\n\n|\|", " \n\n ".join(texts))
    return sorted({" ".join(sentence.split()) for sentence in found if 5 <= len(sentence.split()) <= 60})


def grouped(rows: list[Row]) -> list[list[Row]]:
    """The rows by their groups of near-duplicates."""
    members: dict[int, list[Row]] = defaultdict(list)
    for row, group in zip(rows, groups([text for text, _ in rows]), strict=True):
        members[group].append(row)
    return list(members.values())


def set_aside(rows: list[Row], *, seed: int) -> tuple[list[Row], list[Row]]:
    """The stream and the others; a near-duplicate group is never torn."""
    found = grouped(rows)
    random.Random(seed).shuffle(found)
    stream: list[Row] = []
    while len(stream) < STREAM * len(rows):
        stream += found.pop()
    return stream, [row for group in found for row in group]


def split(rows: list[Row], *, seed: int) -> list[list[Row]]:
    """The rows by split; a near-duplicate group is never torn."""
    members = grouped(rows)
    found = assign([Counter(label for _, label in group) for group in members], {}, seed=seed)
    return [[row for group, at in zip(members, found, strict=True) if at == name for row in group] for name in SPLITS]


def fitted(train: list[Row], validation: list[Row]) -> tuple[TextModel, TextModel]:
    """The fit that has not seen validation, and the one that serves, as a training makes them."""
    (texts, labels), (held_texts, held_labels) = (zip(*rows, strict=True) for rows in (train, validation))
    first = pipeline.fit(texts, labels, validation_texts=held_texts, validation_categories=held_labels)
    last = pipeline.refit(
        [*texts, *held_texts],
        [*labels, *held_labels],
        recipe="word_char",
        c=first.c,
        temperature=first.temperature,
    )
    return first.model, last.model


def batch(answers: Answers, texts: Sequence[str]) -> Batch:
    return Batch(
        n_words=np.array([len(text.split()) for text in texts]),
        unknown=answers.unknown,
        confidence=np.array(answers.confidences),
        category=answers.best,
    )


def unchanged(using: Setting, chance: random.Random, size: int) -> list[str]:
    return [text for text, _ in chance.sample(using.stream, size)]


def foreign(using: Setting, chance: random.Random, size: int, *, share: float = FOREIGN) -> list[str]:
    others = round(size * share)
    return [*unchanged(using, chance, size - others), *chance.sample(using.foreign, others)]


def shares(using: Setting, chance: random.Random, size: int) -> list[str]:
    """The commonest category loses most of its tickets to the rarest; within each nothing changes."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for text, label in using.stream:
        by_label[label].append(text)
    common = max(by_label, key=lambda label: len(by_label[label]))
    rare = min(by_label, key=lambda label: len(by_label[label]))
    wanted = {label: len(texts) / len(using.stream) for label, texts in by_label.items()}
    moved = min(SHRUNK * wanted[common], len(by_label[rare]) / size - wanted[rare])  # no ticket twice
    wanted[common], wanted[rare] = wanted[common] - moved, wanted[rare] + moved
    return [text for label, share in wanted.items() for text in chance.sample(by_label[label], int(share * size))]


def off_topic(using: Setting, chance: random.Random, size: int) -> list[str]:
    """Half of the tickets replaced by as many words of foreign ones: not one word count changes."""
    texts = unchanged(using, chance, size)
    words = iter([word for text in chance.sample(using.foreign, len(using.foreign)) for word in text.split()] * 50)
    half = size // 2
    return [*texts[:half], *(" ".join(next(words) for _ in text.split()) for text in texts[half:])]


STREAMS: dict[str, Draw] = {"unchanged": unchanged, "foreign": foreign, "shares": shares, "off-topic": off_topic}


# --- What is seen -------------------------------------------------------------------------------------
def look(using: Setting, texts: list[str]) -> Seen:
    """Compares a window as a snapshot does."""
    window = batch(using.model.predict(texts), texts)
    strata = shift.stratify(using.profile, window)
    signals = list(shift.compare(using.profile, window, strata, is_enough=True))
    reference, known = using.reference, strata.reference
    if len(reference) > telling.MOST_TEXTS:
        chosen = np.random.RandomState(0).permutation(len(reference))[: telling.MOST_TEXTS]
        reference, known = [reference[index] for index in chosen], known[chosen]
    told = telling.tell_apart(reference, texts, reference_strata=known, recent_strata=strata.window, is_enough=True)
    if told is not None:
        signals.append(told.signal)
    lengths = profiles.lengths(using.profile.batch.n_words, window.n_words)
    return Seen(frozenset(signal.name for signal in signals if signal.drifted), lengths.drift_score)


def study(*, windows: int, fits: int = FITS, size: int = WINDOW, is_slow_told: bool = True) -> dict[str, Any]:
    """Looks at so many windows of each stream, spread over all sources and fits; gives the shares that were seen.

    is_slow_told: whether slow changes are followed as well.
    """
    tickets = sources()
    seen: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    slow: dict[str, list[int | None]] = defaultdict(list)
    each = max(1, round(windows / len(tickets) / fits))
    for name in tickets:
        for seed in range(fits):
            using = setting(name, tickets, seed=seed)
            for stream, draw in STREAMS.items():
                chance = random.Random(f"{name} {seed} {stream}")
                seen[name, stream] += [look(using, draw(using, chance, size)) for _ in range(each)]
            if is_slow_told:
                slow[name].append(first_seen(using, random.Random(seed), size))
    return {
        "sources": list(tickets),
        "window": size,
        "streams": {stream: told(seen, stream) for stream in STREAMS},
        "slow": dict(slow),
    }


def first_seen(using: Setting, chance: random.Random, size: int) -> int | None:
    """The step of a slow change at which it is first seen; None if it never is."""
    for step in range(SLOW_STEPS + 1):
        if look(using, foreign(using, chance, size, share=2 * FOREIGN * step / SLOW_STEPS)).drifted:
            return step
    return None


def told(seen: dict[tuple[str, str], list[Seen]], stream: str) -> dict[str, Any]:
    by_source = {name: found for (name, of), found in seen.items() if of == stream}
    every = [one for found in by_source.values() for one in found]

    def share(true: Callable[[Seen], object]) -> float:
        return sum(bool(true(one)) for one in every) / len(every)

    return {
        "windows": len(every),
        "drifted": share(lambda one: one.drifted),
        "signals": {name: share(lambda one, name=name: name in one.drifted) for name in shift.SIGNALS},
        "only_shares": share(lambda one: one.drifted == {"category_shares"}),
        "original": share(lambda one: one.z_score > ORIGINAL_LIMIT),
        "by_source": {
            name: sum(map(bool, (one.drifted for one in found))) / len(found) for name, found in by_source.items()
        },
    }


def missed(found: dict[str, Any]) -> list[str]:
    """The bars that are not met, in words."""
    streams = found["streams"]
    measured = {
        "unchanged": streams["unchanged"]["drifted"],
        "foreign": streams["foreign"]["drifted"],
        "shares": streams["shares"]["signals"]["category_shares"],
        "off-topic": streams["off-topic"]["drifted"],
    }
    return [
        f"{name}: {measured[name]:.3f}, {'at most' if name == 'unchanged' else 'at least'} {bar:g} wanted"
        for name, bar in BARS.items()
        if (measured[name] > bar if name == "unchanged" else measured[name] < bar)
    ]


def table(found: dict[str, Any]) -> list[str]:
    lines = [
        f"Windows of {found['window']} tickets; the share of them in which each signal has drifted "
        f"(thresholds: {shift.FAMILY_WISE:.0%} for all six together).",
        "",
        f"{'stream':<11}{'windows':>8}{'any':>7}"
        + "".join(f"{name:>16}" for name in shift.SIGNALS)
        + f"{'only shares':>13}",
    ]
    for stream, row in found["streams"].items():
        cells = "".join(f"{row['signals'][name]:>16.3f}" for name in shift.SIGNALS)
        lines.append(f"{stream:<11}{row['windows']:>8}{row['drifted']:>7.3f}{cells}{row['only_shares']:>13.3f}")
    lines += ["", "By source, any signal:"]
    for name in found["sources"]:
        cells = ", ".join(f"{stream} {row['by_source'][name]:.3f}" for stream, row in found["streams"].items())
        lines.append(f"  {name:<20}{cells}")
    lines += ["", f"Foreign tickets growing from 0 to {2 * FOREIGN:.0%} in {SLOW_STEPS} windows are first seen at:"]
    for name, steps in found["slow"].items():
        at = ", ".join("never" if step is None else f"{2 * FOREIGN * step / SLOW_STEPS:.0%}" for step in steps)
        lines.append(f"  {name:<20}{at}")
    original = found["streams"]["off-topic"]["original"]
    lines += [
        "",
        f"The z-score of word counts, above {ORIGINAL_LIMIT:g}, calls {original:.1%} of off-topic windows drifted.",
    ]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=WINDOW, help="windows of each stream (default: 200)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = study(windows=arguments.windows)
    wrong = missed(found)
    if arguments.json:
        print(json.dumps({**found, "missed": wrong}, indent=2))
    else:
        print("\n".join([*table(found), "", *(f"MISSED  {line}" for line in wrong)] if wrong else table(found)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
