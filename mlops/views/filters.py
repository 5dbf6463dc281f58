"""What the filters' part of a page needs: links for the ranges, choices for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlops.dashboards.filters import LONGEST_NUMBER, RANGES, Filters


def ranges(filters: Filters) -> list[dict[str, Any]]:
    """A link for each range of time; the rest of the query stays."""
    return [
        {"words": each.words, "address": filters.address(range=each.name), "is_here": each is filters.range}
        for each in RANGES.values()
    ]


def select(name: str, title: str, choices: Iterable[tuple[str, str]], *, chosen: str, any_: str = "") -> dict[str, Any]:
    """A field to choose one of (value, words), or, by the words any_, none of them; without any_ one must be chosen."""
    offered = [*([("", any_)] if any_ else []), *choices]
    return {
        "name": name,
        "title": title,
        "choices": [{"value": value, "words": words, "is_chosen": value == chosen} for value, words in offered],
    }


def kept(filters: Filters, *chosen: str) -> dict[str, str]:
    """What a form of filters must send on, beside what it lets people choose."""
    return {name: value for name, value in filters.given.items() if name not in (*chosen, "before")}


def number_of(text: str) -> int | None:
    """A row's number in an address; None for anything else.

    >>> number_of("12"), number_of("-1"), number_of("9" * 40)
    (12, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 2 * LONGEST_NUMBER else None
