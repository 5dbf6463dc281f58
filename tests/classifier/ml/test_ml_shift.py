"""Signals of drift: on numbers that can be checked by hand, and against chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.ml import profile as profiles
from classifier.ml import shift
from classifier.ml.profile import Batch, Profile


def batch(
    n_words: list[int], *, category: list[int] | None = None, unknown: float = 0.1, confidence: float = 0.9
) -> Batch:
    size = len(n_words)
    return Batch(
        n_words=np.array(n_words),
        unknown=np.full(size, unknown),
        confidence=np.full(size, confidence),
        category=np.array(category if category is not None else [0] * size),
    )


def profile(of: Batch, categories: tuple[str, ...] = ("billing", "general")) -> Profile:
    return profiles.describe(of, categories=categories, accuracy=0.9, ids=range(len(of)), source="validation")


def drawn(size: int, *, seed: int, shares: tuple[float, float] = (0.5, 0.5), longer: int = 0) -> Batch:
    """Tickets of two categories: short and sure ones, long and less sure ones."""
    chance = np.random.RandomState(seed)
    category = chance.choice(2, size=size, p=shares)
    return Batch(
        n_words=chance.poisson(10 + 20 * category) + longer,
        unknown=np.clip(chance.normal(0.1, 0.05, size), 0, 1),
        confidence=np.clip(chance.normal(0.9 - 0.2 * category, 0.05, size), 0, 1),
        category=category,
    )


def compared(of: Profile, window: Batch, *, is_enough: bool = True) -> dict[str, shift.Signal]:
    signals = shift.compare(of, window, shift.stratify(of, window), is_enough=is_enough)
    return {signal.name: signal for signal in signals}


def drifted(of: Profile, window: Batch) -> set[str]:
    return {name for name, signal in compared(of, window).items() if signal.drifted}


# --- Values -------------------------------------------------------------------------------------------
def test_values_of_a_window_are_those_computed_by_hand() -> None:
    reference = profile(batch([1, 2, 3, 4] * 10, unknown=0.1, confidence=0.9))
    window = batch([3, 4, 5, 6] * 5, unknown=0.25, confidence=0.8)

    found = compared(reference, window, is_enough=False)

    assert found["word_count_ks"].value == pytest.approx(0.5)  # half of the tickets are above all of the others
    assert found["unknown_words"].value == pytest.approx(0.15)
    assert found["confidence"].value == pytest.approx(0.1)
    assert found["category_shares"].value == pytest.approx(0.0, abs=0.02)  # half a count in each bin
    assert {signal.threshold for signal in found.values()} == {None}
    assert not any(signal.drifted for signal in found.values())


def test_reference_is_weighted_to_the_categories_of_the_window() -> None:
    reference = profile(batch([10] * 30 + [20] * 10, category=[0] * 30 + [1] * 10))
    window = batch([10] * 10 + [20] * 30, category=[0] * 10 + [1] * 30)

    found = compared(reference, window, is_enough=False)

    assert found["word_count_ks"].value == pytest.approx(0.0)
    assert found["category_shares"].value > 0.4  # of 3:1 to 1:3


def test_strata_pool_categories_that_have_too_few_on_either_side() -> None:
    reference = profile(batch([1] * 22, category=[0] * 10 + [1] * 4 + [2] * 8), ("a", "b", "c"))
    window = batch([1] * 22, category=[0] * 10 + [1] * 9 + [2] * 2 + [-1])

    strata = shift.stratify(reference, window)

    assert set(strata.window.tolist()) == {0, 3}  # 3: the common one of b, c and what the profile does not have
    assert strata.reference.tolist() == [0] * 10 + [3] * 12
    assert strata.weights.sum() == pytest.approx(1.0)
    assert strata.weights[:10].sum() == pytest.approx(10 / 22)


def test_stratum_that_the_reference_lacks_is_held_against_all_of_it() -> None:
    reference = profile(batch([1] * 10, category=[0] * 10))
    window = batch([1] * 20, category=[0] * 10 + [1] * 10)

    strata = shift.stratify(reference, window)

    assert strata.weights.sum() == pytest.approx(1.0)
    assert shift.compare(reference, window, strata, is_enough=True)  # and chance can be drawn for it


def test_reference_tickets_of_a_category_that_nobody_asked_for_have_no_weight() -> None:
    reference = profile(batch([1] * 10 + [9] * 10, category=[0] * 10 + [1] * 10))

    strata = shift.stratify(reference, batch([1] * 10))

    assert strata.weights[10:].tolist() == [0.0] * 10
    assert set(strata.reference[10:].tolist()) == {-1}


# --- Thresholds ---------------------------------------------------------------------------------------
def test_unchanged_windows_are_called_drifted_by_chance_only() -> None:
    reference = profile(drawn(400, seed=1))

    found = [bool(drifted(reference, drawn(200, seed=100 + number))) for number in range(40)]

    assert sum(found) <= 3  # 2 % are expected; four or more of forty would be a chance of one in a hundred


def skewed(size: int, *, seed: int, shares: tuple[float, float] = (0.5, 0.5)) -> Batch:
    """Tickets as they are: most have no unknown word and are answered surely, a few are far from both."""
    chance = np.random.RandomState(seed)
    return Batch(
        n_words=chance.randint(1, 40, size),
        unknown=np.where(chance.rand(size) < 0.7, 0.0, 0.3 * chance.rand(size)),
        confidence=1 - 0.6 * chance.rand(size) ** 3,
        category=chance.choice(2, size=size, p=shares),
    )


@pytest.mark.parametrize("size", [10, 20])
def test_unchanged_windows_are_called_drifted_by_chance_only_against_few_tickets(size: int) -> None:
    called = [drifted(profile(skewed(size, seed=seed)), skewed(200, seed=1000 + seed)) for seed in range(60)]

    assert sum(map(bool, called)) <= 6  # of 60 at 4 %, more come once in 100 times


def test_category_that_was_rare_and_is_common_drifts_in_the_shares_alone() -> None:
    called = [
        drifted(profile(skewed(200, seed=seed, shares=(0.96, 0.04))), skewed(200, seed=1000 + seed))
        for seed in range(40)
    ]

    assert sum(names == {"category_shares"} for names in called) >= 37


def test_thresholds_are_lower_for_a_larger_window() -> None:
    reference = profile(drawn(400, seed=1))

    small, large = (compared(reference, drawn(size, seed=2)) for size in (100, 800))

    for name in ("word_count_psi", "word_count_ks", "confidence"):
        assert large[name].threshold < small[name].threshold  # type: ignore[operator]


def test_thresholds_are_never_below_the_least_effect() -> None:
    reference = profile(batch([10] * 500))

    found = compared(reference, batch([10] * 500))

    assert {name: signal.threshold for name, signal in found.items()} == {
        name: least for name, least in shift.LEAST_EFFECT.items() if name != "text"
    }


def test_same_window_gives_the_same_thresholds() -> None:
    reference, window = profile(drawn(300, seed=1)), drawn(150, seed=2)

    assert compared(reference, window) == compared(reference, window)


def test_change_of_shares_drifts_in_the_shares_alone() -> None:
    reference = profile(drawn(500, seed=1))

    assert drifted(reference, drawn(300, seed=2, shares=(0.85, 0.15))) == {"category_shares"}


def test_longer_tickets_drift_in_their_word_counts_alone() -> None:
    reference = profile(drawn(500, seed=1))

    assert drifted(reference, drawn(300, seed=2, longer=4)) == {"word_count_psi", "word_count_ks"}


@pytest.mark.parametrize(("column", "signal"), [("unknown", "unknown_words"), ("confidence", "confidence")])
def test_signals_with_a_bad_side_drift_to_that_side_alone(column: str, signal: str) -> None:
    reference = profile(drawn(500, seed=1))
    window = drawn(300, seed=2)
    worse = 0.1 if column == "unknown" else -0.1
    moved = {side: Batch(**{**vars(window), column: getattr(window, column) + side * worse}) for side in (1, -1)}

    assert drifted(reference, moved[1]) == {signal}
    assert drifted(reference, moved[-1]) == set()


def test_category_that_the_profile_lacks_counts_in_the_shares() -> None:
    reference = profile(drawn(500, seed=1))
    window = drawn(300, seed=2)
    window.category[:60] = -1

    assert "category_shares" in drifted(reference, window)


# --- The two sides ------------------------------------------------------------------------------------
def test_profile_comes_back_from_its_json() -> None:
    made = profile(drawn(50, seed=1))

    again = Profile.from_dict(made.as_dict())

    assert again.as_dict() == made.as_dict()
    assert (again.categories, again.accuracy, again.ids) == (("billing", "general"), 0.9, tuple(range(50)))


def test_profile_of_many_tickets_keeps_a_sample_that_is_always_the_same() -> None:
    many = drawn(profiles.MOST_REFERENCE + 500, seed=1)

    first, second = profile(many), profile(many)

    assert len(first.batch) == len(first.ids) == profiles.MOST_REFERENCE
    assert first.ids == second.ids
    assert first.batch.n_words.tolist() == many.n_words[list(first.ids)].tolist()


def test_profile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="A profile needs at least one ticket"):
        profile(batch([]))


def test_profile_without_ids_has_none() -> None:
    made = profiles.describe(batch([1, 2]), categories=("a",), accuracy=1.0, source="test")

    assert made.ids == ()


def test_moved_batch_has_what_the_second_fit_adds() -> None:
    before, after = batch([1, 1], unknown=0.3, confidence=0.7), batch([1, 1], unknown=0.2, confidence=0.8)

    found = profiles.moved(batch([5, 6], unknown=0.05, confidence=0.95), before=before, after=after)

    assert found.unknown.tolist() == [0.0, 0.0]  # no share is below 0
    assert found.confidence.tolist() == [1.0, 1.0]
    assert found.n_words.tolist() == [5, 6]


def test_estimated_accuracy_falls_with_the_confidence() -> None:
    reference = profile(batch([1] * 10, confidence=0.85))

    assert profiles.estimated_accuracy(reference, batch([1], confidence=0.65)) == pytest.approx(0.7)
    assert profiles.estimated_accuracy(reference, batch([1], confidence=1.0)) == 1.0


def test_lengths_of_one_length_are_measured_in_words() -> None:
    found = profiles.lengths(np.array([5, 5]), np.array([8, 8]))

    assert (found.reference_std, found.drift_score) == (0.0, 3.0)


def test_lengths_of_nothing_recent_are_no_drift() -> None:
    assert profiles.lengths(np.array([5, 7]), np.array([], dtype=int)).drift_score == 0.0


counts = st.lists(st.integers(0, 1000), min_size=2, max_size=12)


@given(counts, st.integers(1, 20))
def test_psi_of_the_same_shape_is_small_and_never_negative(histogram: list[int], times: int) -> None:
    first = np.array(histogram, dtype=float)

    assert shift.psi(first, first) == 0.0
    assert shift.psi(first, first * times) >= 0.0
