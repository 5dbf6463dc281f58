"""Which split a near-duplicate group of labelled tickets goes to. Finding the groups is text.py."""

from collections.abc import Mapping, Sequence
from random import Random

SPLITS = ("train", "validation", "test")
SHARES = (0.70, 0.15, 0.15)


def assign(groups: Sequence[Mapping[str, int]], counts: Mapping[str, Mapping[str, int]], *, seed: int) -> list[str]:
    """The split of each new near-duplicate group, in the order given.

    groups: for each new group, its number of tickets by category. counts: counts[category][split] tickets that stand
    already; they never move, and splits other than the three are not counted.
    The largest group is placed first (ties in an order drawn from seed), each where the tickets of its categories are
    furthest below their share of all placed so far. So every split grows with the category: its first seven tickets
    reach all three, and when a category starts empty and its groups hold nothing else, each split ends within its
    largest group of 70/15/15.
    Raises ValueError for a group without tickets.

    >>> assign([{"billing": 1}] * 7, {}, seed=1).count("train")
    5
    >>> assign([{"billing": 1}], {"billing": {"train": 7, "validation": 2, "test": 0}}, seed=1)
    ['test']
    """
    for index, group in enumerate(groups):
        if not group or min(group.values()) < 1:
            raise ValueError(
                f"Each group needs at least one ticket in each category it names; group {index} is {dict(group)}. "
                "Leave empty groups and categories out."
            )
    chance = Random(seed)  # noqa: S311 - no secret. Only .random() is promised to keep its stream, shuffle is not
    standing = {category: [held.get(split, 0) for split in SPLITS] for category, held in counts.items()}
    ties = [(chance.random(), [chance.random() for _ in SPLITS]) for _ in groups]
    order = sorted(range(len(groups)), key=lambda index: (-sum(groups[index].values()), ties[index][0]))
    chosen = [""] * len(groups)
    for index in order:
        place = _neediest(groups[index], standing, tie=ties[index][1])
        chosen[index] = SPLITS[place]
        for category, tickets in groups[index].items():
            standing.setdefault(category, [0] * len(SPLITS))[place] += tickets
    return chosen


def at_random(labels: Sequence[str], *, seed: int) -> list[str]:
    """The split of each row, drawn by chance within its label, 70/15/15: near-duplicates are torn apart.

    The system that this one re-creates splits so; here it only serves to say what that would leak.

    >>> at_random(["billing"] * 20, seed=1).count("train")
    14
    """
    chance = Random(seed)  # noqa: S311 - no secret
    members: dict[str, list[tuple[float, int]]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append((chance.random(), index))
    chosen = [SPLITS[0]] * len(labels)
    for drawn in members.values():
        for place, (_, index) in enumerate(sorted(drawn)):
            share = (place + 0.5) / len(drawn)
            chosen[index] = SPLITS[(share > SHARES[0]) + (share > SHARES[0] + SHARES[1])]
    return chosen


def _neediest(group: Mapping[str, int], standing: Mapping[str, Sequence[int]], *, tie: Sequence[float]) -> int:
    """The index of the split that is furthest below its share once the group is counted in.

    A category speaks with the number of tickets it has in the group.
    """
    deficits = [0.0] * len(SPLITS)
    for category, tickets in group.items():
        held = standing.get(category, [0] * len(SPLITS))
        total = sum(held) + tickets
        for place, share in enumerate(SHARES):
            deficits[place] += tickets * (share * total - held[place])
    # Rounded, so that 0.15 x 3 tickets - 0 is the same for validation and test whatever the order of the sums.
    return max(range(len(SPLITS)), key=lambda place: (round(deficits[place], 6), tie[place]))
