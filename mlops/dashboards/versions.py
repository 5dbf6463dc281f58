"""Which two versions the pages on quality are about, and what is stored of them: scores, thresholds, test answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from classifier.models import ModelVersion
from mlops.dashboards.filters import LONGEST_NUMBER, Filters

MOST_OFFERED = 100  # versions to choose from; a training each night makes so many in three months
Status = ModelVersion.Status


@dataclass(frozen=True, eq=False)
class Columns:
    """What a version said of its test tickets, column by column; a made-up answer has None for its ticket."""

    ids: Sequence[int | None] = ()
    truth: Sequence[str] = ()
    guess: Sequence[str] = ()
    confidence: Sequence[float] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Columns:
        """The columns of ModelVersion.test_answers; none, of a version that is older than they are."""
        return cls(*(plain.get(name, ()) for name in ("ticket_ids", "truth", "guess", "confidence")))

    @cached_property
    def has_tickets(self) -> bool:
        return any(pk is not None for pk in self.ids)

    def places(self, *, truth: str = "", guess: str = "") -> list[int]:
        """The tickets of a cell, surest answer first; an empty truth or guess means any."""
        found = [
            place
            for place, (true, said) in enumerate(zip(self.truth, self.guess, strict=True))
            if truth in ("", true) and guess in ("", said)
        ]
        return sorted(found, key=lambda place: (-self.confidence[place], place))

    def mistakes(self) -> list[int]:
        """The tickets that were answered wrongly, surest answer first."""
        return [place for place in self.places() if self.truth[place] != self.guess[place]]


@dataclass(frozen=True, eq=False)
class Shown:
    """A version as the pages show it. scores: of the test split, as they were stored; empty if it has none."""

    pk: int
    number: int
    status: str
    is_demo: bool
    created_at: datetime
    scores: Mapping[str, Any]
    automatic: Mapping[str, Any]
    thresholds: Mapping[str, Any]
    tested: Columns

    def __str__(self) -> str:
        return f"version {self.number}"


@dataclass(frozen=True)
class Chosen:
    """What the address means. offered: number and status of the versions that can be chosen, newest first."""

    filters: Filters
    version: Shown | None = None
    against: Shown | None = None
    offered: Sequence[tuple[int, str]] = field(default=())


def choose(filters: Filters, asked: Mapping[str, str]) -> Chosen:
    """The versions that the address names: by default the one in production, else the newest, against none.

    What cannot be meant is told among the complaints of the filters. Two queries, a third for a version that is not
    among the newest.
    """
    rows = ModelVersion.objects.filter(is_demo=filters.is_demo).order_by("-number")
    offered = list(rows.values_list("number", "status")[:MOST_OFFERED])
    if not offered:
        return Chosen(filters)
    given = {name: asked.get(name, "").replace("\0", "").strip() for name in ("version", "against")}
    default = next((number for number, status in offered if status == Status.PRODUCTION), None) or _default(filters)
    number, other = (_number(given[name]) for name in given)
    found = _read({default or offered[0][0], *(each for each in (number, other) if each)}, is_demo=filters.is_demo)
    version, against = found.get(number or 0), found.get(other or 0)
    complaints = list(filters.complaints)
    shown = version or found[default or offered[0][0]]
    if given["version"] and version is None:
        complaints.append(_complaint("version", given["version"], f"Shown is {shown}."))
    if given["against"] and against is None:
        complaints.append(_complaint("version to compare with", given["against"], "Nothing is compared."))
    if against is not None and against.number == shown.number:
        complaints.append("A version can be compared with another one only. Nothing is compared.")
    filters = replace(
        filters,
        complaints=tuple(complaints),
        given={**filters.given, **{name: value for name, value in given.items() if value}},
    )
    return Chosen(filters, shown, against if against is not None and against.pk != shown.pk else None, offered)


def _default(filters: Filters) -> int | None:
    """The version in production where it is not among the newest; sample versions never are in production."""
    if filters.is_demo:
        return None
    return ModelVersion.objects.in_production().values_list("number", flat=True).first()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER else None


def _complaint(part: str, found: str, shown: str) -> str:
    return f"The {part} must be the number of a version; the address says “{found[:40]}”. {shown}"


def _read(numbers: set[int], *, is_demo: bool) -> dict[int, Shown]:
    """The versions of these numbers. Of the scores the test split alone: all are 100 kB at 77 categories."""
    rows = ModelVersion.objects.filter(number__in=numbers, is_demo=is_demo).order_by()
    plain = ("pk", "number", "status", "is_demo", "created_at", "thresholds")
    found = {}
    for row in rows.values(*plain, "metrics__test", "metrics__automatic", "test_answers"):
        found[row["number"]] = Shown(
            **{name: row[name] for name in plain},
            scores=row["metrics__test"] or {},
            automatic=row["metrics__automatic"] or {},
            tested=Columns.of(row["test_answers"]),
        )
    return found
