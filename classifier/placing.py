"""Where newly labelled tickets stand, for good: their near-duplicate group and its split, in the database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
from django.db import connection
from django.db.models import Count, F
from numpy.typing import NDArray

from classifier.ml.split import SPLITS, assign
from classifier.ml.text import groups
from classifier.models import Category, Label, Split, Ticket, TicketBand
from classifier.storing import store_bands

T = TypeVar("T")
BATCH = 2000  # rows written at once: more is no faster, and a bar should move
# Tickets of one group that are kept under one band: whoever is near the group meets one of them. A thousand copies of a
# template would else be read, and compared, for each further one.
PER_BAND = 20


class Progress(Protocol):
    """Gives the same items and shows how far they are; TicketclfCommand.progress is one."""

    def __call__(self, iterable: Iterable[T], total: int | None = None, text: str = "") -> Iterable[T]: ...


def unseen(iterable: Iterable[T], total: int | None = None, text: str = "") -> Iterable[T]:  # noqa: ARG001
    """Progress that nobody watches."""
    return iterable


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A ticket that gets its first label, of the category with this slug; signature: its 16 bands."""

    ticket_id: int
    text: str
    category: str
    signature: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Standing:
    """A ticket that has its place and shares a band with a newcomer."""

    ticket_id: int
    text: str
    group: int
    split: str


@dataclass(frozen=True)
class Component:
    """Near-duplicates: newcomers, by index, and the tickets that stand already."""

    newcomers: list[int]
    standing: list[Standing]


def wait_for_turn() -> None:
    """Lets one transaction at a time give places: two at once could put near-duplicates into two splits.

    It locks one category's row until the transaction ends, in the strength that keeps nobody from pointing at it, so
    that answers go on. SQLite has one writer at a time anyway.
    """
    list(Category.objects.select_for_update(no_key=True).order_by("pk").values_list("pk")[:1])


def place(newcomers: Sequence[Newcomer], *, seed: int, progress: Progress = unseen) -> Counter[str]:
    """Gives each newcomer its group and split and notes its bands; returns how many went to each split.

    Newcomers join the group and split of a standing near-duplicate. If those stand in two splits, they are excluded:
    wherever they went, one side would know the other. The rest are spread by the tickets that stand in each category.
    Call it in a transaction, after wait_for_turn().
    """
    if not newcomers:
        return Counter()
    matrix = np.stack([newcomer.signature for newcomer in newcomers])
    held = _held(matrix)
    standing = _standing({ticket_id for ticket_id, _ in held})
    shared = _shared(matrix, held)
    places: dict[int, tuple[int, str]] = {}  # index of the newcomer -> group, split
    for component, split in _arranged(newcomers, shared=shared, standing=standing, seed=seed):
        same = [other.group for other in component.standing if other.split == split]
        group = min(same) if same else min(newcomers[index].ticket_id for index in component.newcomers)
        places.update(dict.fromkeys(component.newcomers, (group, split)))
    _write_places({newcomers[index].ticket_id: found for index, found in places.items()})
    full = Counter((band, standing[ticket_id].group) for ticket_id, band in held if ticket_id in standing)
    noted = _noted(matrix, places, shared=shared, full=full)
    ticket_ids = np.array([newcomer.ticket_id for newcomer in newcomers], dtype=np.int64)
    starts = range(0, len(newcomers), 5 * BATCH)
    for start in progress(starts, len(starts), "Noting near-duplicates"):
        part = slice(start, start + 5 * BATCH)
        _write_bands(ticket_ids[part], matrix[part], noted[part])
    return Counter(split for _, split in places.values())


def foresee(newcomers: Sequence[Newcomer], *, seed: int) -> Counter[str]:
    """How many newcomers place() would send to each split, as the database is now. Writes nothing and locks nothing."""
    if not newcomers:
        return Counter()
    matrix = np.stack([newcomer.signature for newcomer in newcomers])
    held = _held(matrix)
    standing = _standing({ticket_id for ticket_id, _ in held})
    found: Counter[str] = Counter()
    for component, split in _arranged(newcomers, shared=_shared(matrix, held), standing=standing, seed=seed):
        found[split] += len(component.newcomers)
    return found


def batches(items: Iterable[T], size: int | None = None) -> Iterator[list[T]]:
    """Lists of at most so many items; without a size, as many as one statement of the database may have parameters."""
    iterator = iter(items)
    wanted = size or min(connection.features.max_query_params or 10_000, 10_000) - 10  # a few for other conditions
    while found := list(islice(iterator, wanted)):
        yield found


# --- Who is like whom -----------------------------------------------------------------------------
def _held(matrix: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The (ticket, band) pairs in the database whose band one of the newcomers has."""
    if not TicketBand.objects.exists():
        return []
    return [
        pair
        for batch in batches(np.unique(matrix).tolist())
        for pair in TicketBand.objects.filter(band__in=batch).values_list("ticket_id", "band")
    ]


def _standing(ticket_ids: Iterable[int]) -> dict[int, Standing]:
    return {
        ticket_id: Standing(ticket_id, text, group, split)
        for batch in batches(sorted(ticket_ids))
        for ticket_id, text, group, split in Ticket.objects.filter(pk__in=batch).values_list(
            "pk", "text", "group", "split"
        )
        if group is not None and split is not None
    }


def _shared(matrix: NDArray[np.int64], held: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Whether each newcomer shares a band with anyone: the others, nearly all, need no comparing."""
    _, inverse, counts = np.unique(matrix, return_inverse=True, return_counts=True)
    among_them = (counts > 1)[inverse.reshape(matrix.shape)].any(axis=1)
    known = np.array([band for _, band in held], dtype=np.int64)
    return np.asarray(among_them | np.isin(matrix, known).any(axis=1))


def _components(
    newcomers: Sequence[Newcomer], *, shared: NDArray[np.bool_], standing: Mapping[int, Standing]
) -> list[Component]:
    """The newcomers' near-duplicate groups, in the order of their first one."""
    old = list(standing.values())
    involved = np.flatnonzero(shared).tolist()
    names = groups([other.text for other in old] + [newcomers[index].text for index in involved])
    others: dict[int, list[Standing]] = defaultdict(list)
    for name, other in zip(names, old, strict=False):
        others[name].append(other)
    group_of = dict(zip(involved, names[len(old) :], strict=True))
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(newcomers)):
        members[group_of.get(index, -1 - index)].append(index)  # who stands alone has a name of its own, below zero
    return [Component(indices, others.get(name, [])) for name, indices in members.items()]


# --- Which split ----------------------------------------------------------------------------------
def _arranged(
    newcomers: Sequence[Newcomer], *, shared: NDArray[np.bool_], standing: Mapping[int, Standing], seed: int
) -> Iterator[tuple[Component, str]]:
    """Each group of near-duplicates with its split."""
    components = _components(newcomers, shared=shared, standing=standing)
    return zip(components, _splits(newcomers, components, seed=seed), strict=True)


def _splits(newcomers: Sequence[Newcomer], components: Sequence[Component], *, seed: int) -> list[str]:
    """The split of each component: that of the tickets that stand, or the one its categories need most."""
    splits = [_inherited(component) for component in components]
    free = [index for index, split in enumerate(splits) if split is None]
    contents = [Counter(newcomers[member].category for member in components[index].newcomers) for index in free]
    counts = _counts({category for content in contents for category in content})
    for index, split in zip(free, assign(contents, counts, seed=seed), strict=True):
        splits[index] = split
    return [split or "" for split in splits]


def _inherited(component: Component) -> str | None:
    found = {other.split for other in component.standing}
    return Split.EXCLUDED if len(found) > 1 else next(iter(found), None)


def _counts(categories: Iterable[str]) -> dict[str, dict[str, int]]:
    """How many labelled tickets of each category stand in each split."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    rows = (
        Label.objects.current()
        .filter(category__slug__in=categories, ticket__split__in=SPLITS, ticket__is_demo=False)
        .order_by()
        .values_list("category__slug", "ticket__split")
        .annotate(Count("pk"))
    )
    for category, split, count in rows:
        counts[category][split] = count
    return counts


# --- Writing it down ------------------------------------------------------------------------------
def _write_places(places: Mapping[int, tuple[int, str]]) -> None:
    """Writes group and split by ticket id, in as few statements as there are different things to say."""
    leaders: dict[str, list[int]] = defaultdict(list)
    followers: dict[tuple[int, str], list[int]] = defaultdict(list)
    for ticket_id, (group, split) in places.items():
        if group == ticket_id:
            leaders[split].append(ticket_id)
        else:
            followers[group, split].append(ticket_id)
    for split, ticket_ids in leaders.items():
        for batch in batches(ticket_ids):
            Ticket.objects.filter(pk__in=batch).update(split=split, group=F("pk"))
    for (group, split), ticket_ids in followers.items():
        for batch in batches(ticket_ids):
            Ticket.objects.filter(pk__in=batch).update(split=split, group=group)


def _noted(
    matrix: NDArray[np.int64],
    places: Mapping[int, tuple[int, str]],
    *,
    shared: NDArray[np.bool_],
    full: Counter[tuple[int, int]],
) -> NDArray[np.bool_]:
    """Which of the newcomers' bands are noted, shape (n_newcomers, 16).

    Of an excluded one none: it trains and tests nothing, so nobody needs to keep away from it.
    """
    noted = np.ones(matrix.shape, dtype=bool)
    for index in np.flatnonzero(shared).tolist():
        group, split = places[index]
        held = [(band, group) for band in matrix[index].tolist()]
        noted[index] = [split != Split.EXCLUDED and full[pair] < PER_BAND for pair in held]
        full.update(pair for pair, is_noted in zip(held, noted[index], strict=True) if is_noted)
    return noted


def _write_bands(ticket_ids: NDArray[np.int64], matrix: NDArray[np.int64], noted: NDArray[np.bool_]) -> None:
    """Writes the noted bands of tickets in the order of their index: SQLite's small cache does not hold that."""
    holders, held = np.repeat(ticket_ids, matrix.shape[1])[noted.ravel()], matrix[noted]
    order = held.argsort()
    store_bands(ticket_ids=holders[order].tolist(), bands=held[order].tolist())
