"""Which answers are automatic, and the reason for each that is not."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.ml.deciding import NEVER, REASONS, UNKNOWN_LIMITS, Rules, decide
from classifier.ml.model import Answers

SURE, LIKELY, TORN = (0.9, 0.08, 0.02), (0.7, 0.2, 0.1), (0.5, 0.4, 0.1)
RULES = Rules(thresholds=np.array([0.8, 0.6, NEVER]), unknown_limit=0.4)
TEXT = "a plain ticket"


def answers(*rows: tuple[float, ...], unknown: float = 0.0) -> Answers:
    probabilities = np.array(rows)
    return Answers(("a", "b", "c"), probabilities, probabilities.argmax(axis=1), np.full(len(rows), unknown))


def decided(row: tuple[float, ...], *, text: str = TEXT, unknown: float = 0.0, chosen: int | None = None) -> str:
    given = answers(row, unknown=unknown)
    return decide(given, [text], chosen=given.best if chosen is None else np.array([chosen]), rules=RULES)[0]


def test_decide_lets_a_sure_answer_pass() -> None:
    assert decided(SURE) == ""


def test_decide_sends_a_confidence_below_its_category_to_review() -> None:
    assert decided(LIKELY) == "below_threshold"  # 0.7 is below the 0.8 of a


def test_decide_holds_each_category_to_its_own_threshold() -> None:
    assert decided((0.2, 0.7, 0.1)) == ""  # and above the 0.6 of b


def test_decide_lets_a_confidence_equal_to_the_threshold_pass() -> None:
    assert decided((0.8, 0.1, 0.1)) == ""


def test_decide_never_lets_a_category_for_review_only_pass() -> None:
    assert decided((0.0, 0.0, 1.0)) == "below_threshold"


def test_decide_calls_two_close_categories_ambiguous() -> None:
    assert decided(TORN) == "ambiguous"  # 0.1 apart


def test_decide_says_that_too_many_words_are_unknown() -> None:
    assert decided(SURE, unknown=0.41) == "unknown_words"
    assert decided(SURE, unknown=0.4) == ""


@pytest.mark.parametrize("text", ["abc", "a b c", "hi!", "4711 99", "??? ...", "😀😀😀😀", ""])
def test_decide_sends_a_text_of_hardly_any_letters_to_review(text: str) -> None:
    assert decided(SURE, text=text) == "unknown_words"


@pytest.mark.parametrize("text", ["help", "où est", "退款问题", "помощь", "h-e-l-p"])
def test_decide_counts_letters_of_any_script(text: str) -> None:
    assert decided(SURE, text=text) == ""


def test_decide_sends_an_answer_that_is_not_the_likeliest_to_review() -> None:
    assert decided((0.1, 0.9, 0.0), chosen=0) == "category_retired"


def test_decide_names_the_first_reason_that_holds() -> None:
    assert decided(TORN, text="abc", unknown=1.0, chosen=1) == "category_retired"
    assert decided(TORN, text="abc") == "unknown_words"
    assert decided((0.4, 0.35, 0.25)) == "ambiguous"  # and below the threshold


def test_decide_answers_many_texts_in_order_and_none() -> None:
    given = answers(SURE, LIKELY, TORN)

    assert decide(given, [TEXT] * 3, chosen=given.best, rules=RULES) == ["", "below_threshold", "ambiguous"]
    nothing = answers(SURE)
    empty = Answers(nothing.categories, nothing.probabilities[:0], nothing.best[:0], nothing.unknown[:0])
    assert decide(empty, [], chosen=empty.best, rules=RULES) == []


def test_rules_of_solved_thresholds_are_in_the_order_of_the_models_categories() -> None:
    plain = {
        "per_category": {"a": {"threshold": 0.9}, "b": {"threshold": None}},
        "unknown_limit": 0.42,
        "least_margin": 0.1,
    }

    rules = Rules.of(plain, ("b", "a", "c"))

    assert rules.thresholds.tolist() == [NEVER, 0.9, NEVER]
    assert (rules.unknown_limit, rules.least_margin) == (0.42, 0.1)


def test_rules_without_thresholds_let_nothing_pass() -> None:
    rules = Rules.of({}, ("a", "b", "c"))
    given = answers((1.0, 0.0, 0.0))

    assert decide(given, [TEXT], chosen=given.best, rules=rules) == ["below_threshold"]
    assert rules.unknown_limit == UNKNOWN_LIMITS[0]


def test_reasons_are_named_once() -> None:
    assert len(set(REASONS)) == len(REASONS) == 4
