"""The confusion matrix as a table: rows are what tickets are, columns what was answered, cells lead to the tickets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from classifier.wording import counted

SHADES = 9
# Cells of 0 come as one piece before the next one that counts: drawn by the template one by one, the 5,500 of 77
# categories would take 60 ms.
EMPTY_CELL = "<td></td>"


@dataclass(frozen=True)
class Cell:
    """A count that is not 0. before: the empty cells to its left; heat: its share of the row, 1 to 9."""

    before: SafeString
    count: str
    heat: int
    is_right: bool
    words: str
    address: str


@dataclass(frozen=True)
class Row:
    """The tickets that are truly of one category. after: the empty cells at its end."""

    name: str
    cells: list[Cell]
    after: SafeString
    total: str


def matrix(
    scores: Mapping[str, Any], names: Mapping[str, str], *, address: Callable[[str, str], str]
) -> dict[str, Any]:
    """Heads and rows. address: of a cell's tickets, by truth and guess; empty where there are none to show."""
    found = scores.get("confusion", {})
    slugs, counts = found.get("categories", []), found.get("matrix", [])
    heads = [names.get(slug, slug) for slug in slugs]
    rows = [_row(place, counts[place], slugs, heads, address) for place in range(len(slugs))]
    return {"heads": heads, "rows": rows, "is_large": len(slugs) > 12}


def _row(place: int, counts: list[int], slugs: list[str], heads: list[str], address: Callable[[str, str], str]) -> Row:
    total, cells, last = sum(counts), [], -1
    for guess, count in enumerate(counts):
        if not count:
            continue
        is_right = guess == place
        said = "answered rightly" if is_right else f"answered as {heads[guess]}"
        cells.append(
            Cell(
                before=_empty(guess - last - 1),
                count=f"{count:,}",
                heat=max(1, round(SHADES * count / total)),
                is_right=is_right,
                words=f"{counted(count, 'ticket')} of {heads[place]} {said}",
                address=address(slugs[place], slugs[guess]),
            )
        )
        last = guess
    return Row(heads[place], cells, _empty(len(counts) - last - 1), f"{total:,}")


def _empty(count: int) -> SafeString:
    return mark_safe(EMPTY_CELL * count)  # noqa: S308 (no text from outside)


def largest(scores: Mapping[str, Any], names: Mapping[str, str], *, most: int = 3) -> str:
    """The confusions that happen most, in a sentence; empty without a mistake."""
    found = scores.get("confusion", {})
    slugs = found.get("categories", [])
    pairs = [
        (count, names.get(slugs[truth], slugs[truth]), names.get(slugs[guess], slugs[guess]))
        for truth, counts in enumerate(found.get("matrix", []))
        for guess, count in enumerate(counts)
        if count and truth != guess
    ]
    top = sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:most]
    told = [f"{truth} taken for {guess} ({count:,})" for count, truth, guess in top]
    return f"Most often: {'; '.join(told)}." if told else "No ticket was answered wrongly."
