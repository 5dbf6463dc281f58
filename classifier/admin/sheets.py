"""What stands below a form: headline figures and tables, made in Python and drawn by templates/admin/sheets.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number that matters, with what it is and how to read it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table. `weight` from 0 to 1 shades it, `bad` in the colour of what went wrong."""

    value: Any
    weight: float | None = None
    bad: bool = False

    @property
    def percent(self) -> int:
        """How strongly it is shaded; faint ones are lifted, so that a single ticket can be seen among hundreds."""
        return round(8 + 37 * self.weight) if self.weight else 0


@dataclass(frozen=True)
class Table:
    """Rows below their headers. The first column names the row.

    numbers: columns set to the right. prose: columns of sentences, which a phone must leave room for.
    """

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    empty: str = "Nothing yet."
    numbers: frozenset[int] = frozenset()
    prose: frozenset[int] = frozenset()

    @property
    def cells(self) -> list[list[Cell]]:
        return [[value if isinstance(value, Cell) else Cell(value) for value in row] for row in self.rows]


@dataclass(frozen=True)
class Sheet:
    """What a page shows below its form."""

    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
