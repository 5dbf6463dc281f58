"""What a comparison is said to mean: severity, sentences, advice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from classifier.ml.profile import Lengths
from classifier.ml.shift import SIGNALS, Signal
from classifier.ml.telling import TellingWord
from mlops import severity

SINCE = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def facts(*drifted: str, **fields: Any) -> severity.Facts:
    signals = [Signal(name, value=0.3 if name in drifted else 0.1, threshold=0.2) for name in SIGNALS]
    given = {
        "since": dict.fromkeys(drifted, SINCE),
        "lengths": Lengths(reference_mean=20, reference_std=5, recent_mean=12.5, recent_std=4, drift_score=1.5),
        "expected_words": 20.0,
        "reference_shares": {"billing": 0.4, "general": 0.3, "technical": 0.3},
        "recent_shares": {"billing": 0.1, "general": 0.31, "technical": 0.59},
        "telling": [
            TellingWord("wok", side="recent", recent=0.2, reference=0.0),
            TellingWord("invoice", side="reference", recent=0.0, reference=0.2),
        ],
        "recent_confidence": 0.71,
        "recent_unknown": 0.155,
        "estimated_accuracy": 0.745,
        "reference_accuracy": 0.9,
    }
    return severity.Facts(signals=signals, **{**given, **fields})


@pytest.mark.parametrize(("value", "wanted"), [(0.2, "none"), (0.25, "slight"), (0.31, "clear"), (0.61, "strong")])
def test_severity_is_how_many_times_the_threshold_the_furthest_signal_reaches(value: float, wanted: str) -> None:
    signals = [Signal("text", value=0.1, threshold=0.2), Signal("confidence", value=value, threshold=0.2)]

    assert severity.severity(signals) == wanted


def test_severity_of_a_window_that_is_too_small_is_none() -> None:
    assert severity.severity([Signal("text", value=0.9, threshold=None)]) == "none"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("word_count_psi", "Short and long tickets come in another mix than on validation (0.300, "),
        (
            "word_count_ks",
            "Tickets are shorter: 12.5 words on average, 20.0 in the same categories on validation (0.300, ",
        ),
        ("unknown_words", "More words are new to the model: 15.5% of all (0.300, "),
        ("confidence", "The model is less sure than on tickets of the same categories: 71.0% on average (0.300, "),
        ("text", "The texts speak of other things, of 'wok' (0.300, "),
    ],
)
def test_sentence_says_which_signal_how_far_and_since_when(name: str, words: str) -> None:
    said, _ = severity.drifted(facts(name))

    assert said == f"Slight drift since 2026-11-23 09:30 UTC, in {severity.ABOUT[name]}. {words}by chance up to 0.200)."


def test_change_of_shares_names_the_categories_that_grew_and_shrank() -> None:
    said, advice = severity.drifted(facts("category_shares"))

    assert said == (
        "Slight drift since 2026-11-23 09:30 UTC, in the shares of the categories alone. "
        "The shares of the categories have changed: technical (30% to 59%) grew; billing (40% to 10%) shrank "
        "(0.300, by chance up to 0.200). Within each category the tickets are like before."
    )
    assert advice.startswith("The model needs nothing: an accuracy of 74.5% is estimated")


def test_change_of_shares_without_a_large_mover_names_none() -> None:
    said, _ = severity.drifted(
        facts("category_shares", recent_shares={"billing": 0.4, "general": 0.3, "technical": 0.3})
    )

    assert "The shares of the categories have changed (0.300" in said


def test_texts_without_a_telling_word_are_said_to_differ_all_the_same() -> None:
    assert "The texts speak of other things (0.300" in severity.drifted(facts("text", telling=[]))[0]


def test_longer_tickets_are_called_longer() -> None:
    longer = Lengths(reference_mean=20, reference_std=5, recent_mean=40, recent_std=4, drift_score=4)

    assert "Tickets are longer: 40.0 words" in severity.drifted(facts("word_count_ks", lengths=longer))[0]


def test_advice_tells_a_change_of_input_from_likely_damage() -> None:
    _, change = severity.drifted(facts("text", "unknown_words"))
    _, damage = severity.drifted(facts("text", "confidence"))

    assert change.startswith("Other tickets come in, and nothing says that answers are worse: an accuracy of 74.5%")
    assert damage.startswith("Answers are likely to be right less often: an accuracy of 74.5%")
    assert "manage.py retrain" in damage


def test_furthest_signal_comes_first_and_word_counts_are_told_once() -> None:
    said, _ = severity.drifted(
        facts(
            "word_count_psi", "word_count_ks", "text", since={"text": SINCE, "word_count_ks": SINCE + timedelta(days=1)}
        )
    )

    assert said.startswith("Slight drift since 2026-11-23 09:30 UTC, in the word counts and the texts. ")
    assert said.count("Tickets are shorter") == 1
    assert "another mix" not in said
    assert "by chance up to 0.200), since 2026-11-24 09:30 UTC." in said


def test_word_counts_of_one_mean_and_another_spread_are_called_another_mix() -> None:
    said, _ = severity.drifted(facts("word_count_ks", expected_words=12.6))

    assert "Short and long tickets come in another mix" in said


def test_tickets_are_longer_or_shorter_than_those_of_the_same_categories() -> None:
    said, _ = severity.drifted(facts("word_count_ks", expected_words=9.0))

    assert "Tickets are longer: 12.5 words on average, 9.0 in the same categories on validation" in said
