"""Telling the texts of two windows apart, and naming the words that do."""

from __future__ import annotations

import random

import numpy as np
import pytest

from classifier.ml.telling import Told, tell_apart

COMMON = [
    "the", "my", "please", "order", "when", "late", "how", "again", "still", "today",
    "was", "not", "can", "where", "help", "ask", "with", "from", "week",
]  # fmt: skip
FRUIT = ["apple", "pear", "plum", "cherry", "fig", "grape", "melon", "quince"]
TOOLS = ["hammer", "saw", "drill", "chisel", "plane", "wrench", "file", "vise"]


def texts(count: int, *, seed: int, about: list[str] | None = None) -> list[str]:
    chance = random.Random(seed)
    return [" ".join([*chance.sample(COMMON, 8), *chance.sample(about or COMMON, 3)]) for _ in range(count)]


def told(reference: list[str], recent: list[str], *, strata: tuple[list[int], list[int]] | None = None) -> Told | None:
    first, second = strata or ([0] * len(reference), [0] * len(recent))
    return tell_apart(
        reference, recent, reference_strata=np.array(first), recent_strata=np.array(second), is_enough=True
    )


def test_texts_of_one_kind_cannot_be_told_apart() -> None:
    found = told(texts(150, seed=1), texts(100, seed=2))

    assert found is not None
    assert not found.signal.drifted
    assert found.signal.threshold is not None
    assert found.signal.value < 0.2


def test_texts_about_other_things_are_told_apart_by_their_words() -> None:
    found = told(texts(150, seed=1, about=FRUIT), texts(100, seed=2, about=TOOLS))

    assert found is not None
    assert found.signal.drifted
    assert found.signal.value > 0.8
    assert {word.word for word in found.words if word.side == "recent"} == set(TOOLS)
    assert {word.word for word in found.words if word.side == "reference"} == set(FRUIT)
    hammer = next(word for word in found.words if word.word == "hammer")
    assert hammer.reference == 0.0
    assert hammer.recent == pytest.approx(3 / 8, abs=0.15)


def test_a_fifth_of_other_texts_is_seen() -> None:
    found = told(texts(300, seed=1), [*texts(160, seed=2), *texts(40, seed=3, about=TOOLS)])

    assert found is not None
    assert found.signal.drifted


def test_other_shares_of_two_kinds_are_no_difference_within_each() -> None:
    reference = [*texts(100, seed=1, about=FRUIT), *texts(100, seed=2, about=TOOLS)]
    recent = [*texts(20, seed=3, about=FRUIT), *texts(120, seed=4, about=TOOLS)]

    found = told(reference, recent, strata=([0] * 100 + [1] * 100, [0] * 20 + [1] * 120))

    assert found is not None
    assert not found.signal.drifted


def test_near_duplicates_count_once() -> None:
    letter = "please when how again the order {} is still late where can ask from my week was today not with help"
    flood = [letter.format(number) for number in range(100)]

    found = told(texts(150, seed=1), [*texts(60, seed=2), *flood])

    assert found is not None
    assert not found.signal.drifted


def test_small_window_gets_a_value_and_no_threshold() -> None:
    found = tell_apart(
        texts(20, seed=1),
        texts(10, seed=2),
        reference_strata=np.zeros(20, dtype=np.int64),
        recent_strata=np.zeros(10, dtype=np.int64),
        is_enough=False,
    )

    assert found is not None
    assert found.signal.threshold is None


@pytest.mark.parametrize(
    ("reference", "recent"),
    [
        ([], []),
        (texts(20, seed=1), []),
        (texts(20, seed=1), texts(4, seed=2)),  # too few of a stratum
        (["apple", "bridge", "candle", "desert", "engine"], ["forest", "guitar", "harbour", "island", "jungle"]),
    ],
)
def test_nothing_to_tell_from_gives_none(reference: list[str], recent: list[str]) -> None:
    assert told(reference, recent) is None


def test_same_texts_give_the_same_answer() -> None:
    first, second = (told(texts(60, seed=1), texts(40, seed=2, about=TOOLS)) for _ in range(2))

    assert first == second


def test_sides_that_are_punctuated_otherwise_are_told_apart_and_name_no_sign_as_a_word() -> None:
    same = texts(60, seed=1)

    found = told(same, [f"{text} !" for text in texts(60, seed=2)])

    assert found is not None
    assert found.signal.drifted
    assert all(word.word.isalnum() for word in found.words)
