"""Thresholds: solved for a target, kept as JSON, and what they give on tickets that did not choose them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from classifier.ml.deciding import Rules, decide
from classifier.ml.model import Answers
from classifier.ml.thresholds import LEAST_CONFIDENCE, OWN_TICKETS, Held, Trade, least, measure, solve, unknown_limit

SURE = 0.99


def held(*runs: tuple[str, str, float, int], categories: tuple[str, ...] = ("a", "b"), unknown: float = 0.0) -> Held:
    """Answers in runs of (truth, guess, confidence, how many), all of them legible and far from ambiguous."""
    rows = [(truth, guess, confidence) for truth, guess, confidence, count in runs for _ in range(count)]
    n = len(rows)
    return Held(
        categories=categories,
        truth=np.array([categories.index(truth) for truth, _, _ in rows], dtype=np.int64),
        guess=np.array([categories.index(guess) for _, guess, _ in rows], dtype=np.int64),
        confidence=np.array([confidence for _, _, confidence in rows]),
        margin=np.full(n, 0.9),
        unknown=np.full(n, unknown),
        letters=np.full(n, 9, dtype=np.int64),
    )


def right(count: int, wrong: int = 0) -> np.ndarray:
    return np.array([True] * count + [False] * wrong)


# --- One threshold --------------------------------------------------------------------------------
def test_least_takes_the_lowest_confidence_that_still_reaches_the_target() -> None:
    confidences = np.repeat([0.99, 0.9, 0.6], [60, 40, 40])
    outcomes = np.concatenate([right(60), right(40), right(20, 20)])

    # At 0.9: promised (59.4 + 36) / 100 = 0.954, less one standard error of 0.019, is 0.935.
    assert least(confidences, outcomes, target=0.93) == 0.9
    assert least(confidences, outcomes, target=0.94) == 0.99


def test_least_is_more_cautious_the_fewer_answers_there_are() -> None:
    # 0.97 promised: less 0.0270 at 20 + 20, less 0.0108 at 230 + 20.
    assert least(np.full(20, 0.97), right(20), target=0.95) is None
    assert least(np.full(230, 0.97), right(230), target=0.95) == 0.97


def test_least_believes_no_more_than_the_confidences_promise() -> None:
    assert least(np.full(500, 0.94), right(500), target=0.95) is None


def test_least_believes_the_count_where_the_confidences_promise_too_much() -> None:
    assert least(np.full(500, SURE), right(450, 50), target=0.95) is None
    assert least(np.full(500, SURE), right(450, 50), target=0.85) == SURE


def test_least_takes_all_answers_of_one_confidence_or_none() -> None:
    confidences = np.repeat([0.99, 0.9], [30, 40])
    outcomes = np.concatenate([right(30), right(10, 30)])

    assert least(confidences, outcomes, target=0.9) == 0.99  # not 0.9 after the first ten of them


@pytest.mark.parametrize("count", [0, 1, 19])
def test_least_says_nothing_on_fewer_than_twenty_answers(count: int) -> None:
    assert least(np.full(count, 1.0), right(count), target=0.6) is None


def test_least_never_lets_an_answer_pass_that_is_likelier_wrong() -> None:
    confidences = np.repeat([1.0, 0.45], [1000, 10])

    assert least(confidences, right(1010), target=0.9) == 1.0
    assert LEAST_CONFIDENCE == 0.5


def test_least_of_perfect_answers_reaches_any_target() -> None:
    assert least(np.ones(30), right(30), target=0.999) == 1.0


# --- Thresholds of a version ----------------------------------------------------------------------
def test_solve_gives_each_category_its_own_threshold() -> None:
    answers = held(("a", "a", SURE, 80), ("a", "a", 0.8, 80), ("b", "b", SURE, 80), ("a", "b", 0.8, 80))

    solved = solve(answers, target=0.85)

    # a: at 0.8, 0.895 is promised and kept; b: half of its answers are wrong there.
    assert {slug: found.threshold for slug, found in solved.per_category.items()} == {"a": 0.8, "b": SURE}
    assert solved.per_category["a"].trade == Trade(160, 160, 160)
    assert solved.per_category["b"].trade == Trade(160, 80, 80)
    assert solved.whole == Trade(320, 240, 240)
    assert (solved.whole.coverage, solved.whole.precision) == (0.75, 1.0)
    assert not any(found.pooled for found in solved.per_category.values())


def test_solve_leaves_a_category_that_cannot_reach_its_target_to_review() -> None:
    answers = held(("a", "a", SURE, 100), ("a", "b", SURE, 40), ("b", "b", SURE, 60))

    solved = solve(answers, target=0.95)

    b = solved.per_category["b"]
    assert (b.threshold, b.trade.coverage, b.trade.precision) == (None, 0.0, None)
    assert solved.per_category["a"].threshold == SURE
    assert Rules.of(solved.as_dict(), ("a", "b")).thresholds.tolist() == [SURE, np.inf]


def test_solve_takes_the_pooled_threshold_for_a_category_with_few_tickets() -> None:
    answers = held(("a", "a", SURE, OWN_TICKETS), ("b", "b", 0.97, OWN_TICKETS - 1))

    solved = solve(answers, target=0.96)

    # b alone: 0.97 promised, less 0.019 at 59 + 20; both together: 0.98, less 0.012 at 119 + 20.
    assert least(np.full(59, 0.97), right(59), target=0.96) is None
    assert (solved.per_category["b"].pooled, solved.per_category["b"].threshold) == (True, 0.97)
    assert (solved.per_category["a"].pooled, solved.per_category["a"].threshold) == (False, SURE)


def test_solve_holds_a_category_to_its_own_target() -> None:
    answers = held(("a", "a", SURE, 80), ("a", "a", 0.8, 80), ("b", "b", SURE, 80), ("b", "b", 0.8, 80))

    solved = solve(answers, target=0.85, own={"b": 0.95, "elsewhere": 0.5})

    assert [(found.target, found.threshold) for found in solved.per_category.values()] == [(0.85, 0.8), (0.95, SURE)]
    assert solved.target == 0.85


def test_solve_holds_a_small_category_to_its_own_target_by_the_pooled_answers() -> None:
    answers = held(("a", "a", SURE, 80), ("a", "a", 0.8, 80), ("b", "b", 0.8, 20))

    solved = solve(answers, target=0.8, own={"b": 0.95})

    assert (solved.per_category["b"].pooled, solved.per_category["b"].threshold) == (True, SURE)


def test_solve_leaves_out_what_the_other_rules_send_to_review() -> None:
    good = held(("a", "a", SURE, 80), ("b", "b", SURE, 80))
    bad = held(("b", "a", SURE, 80))
    for name, values in {"margin": np.full(80, 0.1), "unknown": np.full(80, 0.9), "letters": np.full(80, 3)}.items():
        columns = {**vars(bad), name: values}
        joined = {key: np.concatenate([vars(good)[key], columns[key]]) for key in columns if key != "categories"}

        solved = solve(Held(categories=("a", "b"), **joined), target=0.95)

        assert solved.per_category["a"].threshold == SURE, name
        assert solved.whole == Trade(240, 160, 160), name


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, 95.0, float("nan")])
def test_solve_refuses_a_target_that_is_no_share(target: float) -> None:
    with pytest.raises(ValueError, match=r"such as 0\.95"):
        solve(held(("a", "a", SURE, 80)), target=target)


def test_solve_of_few_tickets_leaves_all_to_review() -> None:
    solved = solve(held(("a", "a", SURE, 3), ("b", "b", SURE, 3)), target=0.95)

    assert [found.threshold for found in solved.per_category.values()] == [None, None]
    assert (solved.whole.coverage, solved.whole.precision) == (0.0, None)


def test_solved_thresholds_survive_json() -> None:
    solved = solve(held(("a", "a", SURE, 80), ("b", "b", 0.6, 80)), target=0.95)

    plain = json.loads(json.dumps(solved.as_dict(), allow_nan=False))

    assert plain == solved.as_dict()
    assert plain["per_category"]["a"] == {
        "threshold": SURE,
        "target": 0.95,
        "pooled": False,
        "n_tickets": 80,
        "n_answers": 80,
        "n_automatic": 80,
        "n_right": 80,
        "coverage": 1.0,
        "precision": 1.0,
    }


def test_measure_counts_answers_that_did_not_choose_the_thresholds() -> None:
    rules = Rules(thresholds=np.array([0.9, np.inf]))
    asked = held(("a", "a", SURE, 6), ("b", "a", SURE, 2), ("a", "a", 0.8, 2), ("b", "b", SURE, 10))

    whole, trades = measure(asked, rules)

    assert whole == Trade(20, 8, 6)
    assert trades == {"a": Trade(10, 8, 6), "b": Trade(10, 0, 0)}


# --- What is unknown ------------------------------------------------------------------------------
def test_unknown_limit_follows_the_tickets_within_its_bounds() -> None:
    assert unknown_limit(np.linspace(0, 0.1, 100)) == 0.35
    assert unknown_limit(np.concatenate([np.zeros(90), np.full(10, 0.401)])) == 0.41  # rounded up: its own pass
    assert unknown_limit(np.concatenate([np.zeros(90), np.full(10, 0.9)])) == 0.5
    assert unknown_limit(np.empty(0)) == 0.35


def test_unknown_limit_is_none_where_words_are_not_set_apart_by_spaces() -> None:
    answers = held(("a", "a", SURE, 80), ("b", "b", SURE, 80), unknown=1.0)

    assert solve(answers, target=0.95).whole.coverage == 1.0


# --- Keeping --------------------------------------------------------------------------------------
def made() -> tuple[Answers, list[str], list[str]]:
    probabilities = np.array([[0.9876549, 0.0123451], [0.599, 0.401], [0.3, 0.7]])
    answers = Answers(("a", "b"), probabilities, probabilities.argmax(axis=1), np.array([0.0, 1 / 3, 1.0]))
    return answers, ["Refund!", "ab 12", "x" * 40], ["a", "b", "b"]


def held_as_made() -> Held:
    answers, texts, truth = made()
    return Held.of(answers, texts=texts, truth=truth)


def test_held_takes_what_rules_need_from_answers() -> None:
    kept = held_as_made()

    assert kept.truth.tolist() == [0, 1, 1]
    assert kept.guess.tolist() == [0, 0, 1]
    assert kept.confidence.tolist() == [0.987654, 0.599, 0.7]  # never rounded up: an answer passes its own threshold
    assert kept.margin.tolist() == pytest.approx([0.9753, 0.1979, 0.3999])  # 0.7 - 0.3 is a little less than 0.4
    assert kept.unknown.tolist() == [0.0, 0.3333, 1.0]
    assert kept.letters.tolist() == [6, 2, 9]


def test_held_survives_json() -> None:
    kept = held_as_made()

    again = Held.from_dict(json.loads(json.dumps(kept.as_dict())))

    assert again.as_dict() == kept.as_dict()
    assert again.categories == ("a", "b")
    assert solve(again, target=0.95) == solve(kept, target=0.95)


def test_held_of_15000_tickets_is_less_than_a_megabyte() -> None:
    chance = np.random.default_rng(0)
    probabilities = chance.dirichlet(np.ones(77), size=15_000)
    answers = Answers(
        tuple(f"category_{number}" for number in range(77)),
        probabilities,
        probabilities.argmax(axis=1),
        chance.random(15_000),
    )

    kept = Held.of(answers, texts=["Where is my parcel?"] * 15_000, truth=answers.labels)

    assert len(json.dumps(kept.as_dict())) < 1_000_000


def test_held_refuses_a_truth_that_the_model_does_not_know() -> None:
    answers, texts, _ = made()

    with pytest.raises(ValueError, match="'c' are none of them"):
        Held.of(answers, texts=texts, truth=["a", "b", "c"])


def test_held_that_lacks_a_column_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Held.from_dict({})


def test_measure_and_decide_agree() -> None:
    chance = np.random.default_rng(1)
    probabilities = chance.dirichlet(np.full(3, 0.2), size=400)
    answers = Answers(("a", "b", "c"), probabilities, probabilities.argmax(axis=1), chance.random(400) * 0.6)
    texts = [letters for letters in ("plain", "ab") for _ in range(200)]
    kept = Held.of(answers, texts=texts, truth=answers.labels)
    rules = replace(Rules.of(solve(kept, target=0.9).as_dict(), answers.categories), unknown_limit=0.4)

    decided = decide(answers, texts, chosen=answers.best, rules=rules)

    assert 0 < decided.count("") == measure(kept, rules)[0].n_automatic < 200
