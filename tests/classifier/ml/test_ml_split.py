"""Which split a group goes to."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.ml.split import SHARES, SPLITS, assign, at_random

Groups = list[dict[str, int]]


def sizes(groups: Groups, splits: list[str], category: str = "billing") -> list[int]:
    return [
        sum(group.get(category, 0) for group, split in zip(groups, splits, strict=True) if split == name)
        for name in SPLITS
    ]


@pytest.mark.parametrize("seed", range(10))
def test_first_seven_tickets_reach_every_split(seed: int) -> None:
    groups: Groups = [{"billing": 1}] * 7

    assert sizes(groups, assign(groups, {}, seed=seed)) == [5, 1, 1]


@pytest.mark.parametrize("seed", range(10))
def test_seven_tickets_labelled_one_by_one_reach_every_split(seed: int) -> None:
    held = Counter[str]()
    for _ in range(7):
        held.update(assign([{"billing": 1}], {"billing": held}, seed=seed))

    assert held == {"train": 5, "validation": 1, "test": 1}


def test_hundred_tickets_are_split_70_15_15() -> None:
    groups: Groups = [{"billing": 1}] * 100

    assert sizes(groups, assign(groups, {}, seed=0)) == [70, 15, 15]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(0, 5))
def test_sizes_end_within_the_largest_group_of_their_shares(tickets: list[int], seed: int) -> None:
    groups: Groups = [{"billing": number} for number in tickets]

    found = sizes(groups, assign(groups, {}, seed=seed))

    for size, share in zip(found, SHARES, strict=True):
        assert abs(size - share * sum(tickets)) <= max(tickets)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), min_size=1), max_size=40))
def test_every_group_gets_one_of_the_splits_and_the_same_one_each_time(groups: Groups) -> None:
    found = assign(groups, {}, seed=7)

    assert len(found) == len(groups)
    assert set(found) <= set(SPLITS)
    assert assign(groups, {}, seed=7) == found


def test_categories_are_split_each_for_itself() -> None:
    groups: Groups = [{"billing": 1}] * 40 + [{"shipping": 1}] * 20

    found = assign(groups, {}, seed=3)

    assert sizes(groups, found, "billing") == [28, 6, 6]
    assert sizes(groups, found, "shipping") == [14, 3, 3]


def test_ties_are_drawn_from_the_seed() -> None:
    groups: Groups = [{"billing": 1}] * 20

    assert len({tuple(assign(groups, {}, seed=seed)) for seed in range(5)}) == 5


def test_standing_tickets_decide_where_the_next_goes() -> None:
    counts = {"billing": {"train": 70, "validation": 15, "test": 10, "excluded": 500}, "shipping": {"train": 0}}

    assert assign([{"billing": 1}] * 5, counts, seed=0).count("test") >= 4
    assert assign([{"shipping": 1}], counts, seed=0) == ["train"]


def test_a_mixed_group_goes_where_its_categories_need_it_most() -> None:
    counts = {
        "billing": {"train": 70, "validation": 15, "test": 0},
        "shipping": {"train": 70, "validation": 0, "test": 15},
    }

    assert assign([{"billing": 3, "shipping": 1}], counts, seed=0) == ["test"]
    assert assign([{"billing": 1, "shipping": 3}], counts, seed=0) == ["validation"]


@pytest.mark.parametrize("group", [{}, {"billing": 0}, {"billing": 1, "shipping": -1}])
def test_assign_refuses_a_group_without_tickets(group: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"group 1 is .* Leave empty groups"):
        assign([{"billing": 1}, group], {}, seed=0)


def test_no_groups_need_no_splits() -> None:
    assert assign([], {"billing": {"train": 1}}, seed=0) == []


def test_at_random_keeps_the_shares_of_each_label_and_follows_its_seed() -> None:
    labels = ["billing"] * 100 + ["general"] * 20 + ["shipping"]

    chosen = at_random(labels, seed=3)

    assert Counter(chosen[:100]) == {"train": 70, "validation": 15, "test": 15}
    assert Counter(chosen[100:120]) == {"train": 14, "validation": 3, "test": 3}
    assert chosen == at_random(labels, seed=3) != at_random(labels, seed=4)
