"""A version's drift snapshots over time: as many as a chart shows, found by their numbers, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Subquery

from classifier.models import ModelVersion
from mlops.dashboards.filters import MOST_POINTS
from mlops.models import DriftSnapshot

Rows = Any  # a queryset of DriftSnapshot; django-stubs gives each method of it another type
MOST_VERSIONS = 30  # to choose from
ROUNDS = 2  # of probes for the first of a range: see points()


@dataclass(frozen=True)
class Point:
    """A snapshot as the charts over time need it."""

    pk: int
    created_at: datetime
    verdict: str
    severity: str
    is_likely_worse: bool
    estimated_accuracy: float | None
    reference_accuracy: float | None
    signals: Sequence[dict[str, Any]]

    def signal(self, name: str) -> dict[str, Any]:
        """The signal of that name; empty if the snapshot has none such."""
        return next((signal for signal in self.signals if signal["name"] == name), {})


COLUMNS = (
    "pk", "created_at", "verdict", "severity", "is_likely_worse", "estimated_accuracy", "reference_accuracy", "signals"
)  # fmt: skip


def of_version(version: ModelVersion, *, is_demo: bool) -> Rows:
    return DriftSnapshot.objects.filter(version=version, is_demo=is_demo)


def points(version: ModelVersion, *, is_demo: bool, since: datetime) -> list[Point]:
    """The version's snapshots since then, oldest first; if there are more than MOST_POINTS, so many equally far apart.

    Only the index of version and number is read, and of the rows those that are given: numbers grow with time, so the
    first of the range is looked for among numbers, in ROUNDS of MOST_POINTS probes each. Of 525,600 snapshots (a year,
    one each minute) the second round leaves 36 in doubt.
    """
    rows = of_version(version, is_demo=is_demo)
    first, last = (rows.order_by(order).values_list("pk", flat=True).first() for order in ("pk", "-pk"))
    if first is None or last is None:
        return []
    low, high = first, last
    for _ in range(ROUNDS):
        looked = list(_at(rows, _spread(low, high)).values_list("pk", "created_at"))
        low = max((pk for pk, moment in looked if moment < since), default=low)
        high = min((pk for pk, moment in looked if moment >= since), default=high)
    found = _at(rows, _spread(low, last)).filter(created_at__gte=since).order_by("pk").values_list(*COLUMNS)
    return [Point(*row) for row in found]


def _spread(low: int, high: int) -> list[int]:
    """Numbers from low to high, both among them, equally far apart.

    >>> _spread(1, 3), len(_spread(1, 525_600))
    ([1, 2, 3], 120)
    """
    steps = MOST_POINTS - 1
    return sorted({low + (high - low) * place // steps for place in range(steps + 1)})


def _at(rows: Rows, numbers: Iterable[int]) -> Rows:
    """The first of the rows from each number on: one step into the index for each."""
    return rows.filter(
        pk__in=[Subquery(rows.filter(pk__gte=number).order_by("pk").values("pk")[:1]) for number in numbers]
    )


# --- One of them, and its neighbours --------------------------------------------------------------
def one(pk: int, *, is_demo: bool) -> DriftSnapshot | None:
    """A snapshot with all that the page shows of it, and its version's number."""
    rows = DriftSnapshot.objects.filter(is_demo=is_demo).select_related("version")
    return rows.defer(*ModelVersion.heavy("version")).filter(pk=pk).first()


def newest(version: ModelVersion, *, is_demo: bool) -> DriftSnapshot | None:
    rows = of_version(version, is_demo=is_demo).select_related("version")
    found: DriftSnapshot | None = rows.defer(*ModelVersion.heavy("version")).order_by("-pk").first()
    return found


def neighbours(snapshot: DriftSnapshot) -> tuple[int | None, int | None]:
    """The numbers of the version's snapshots before and after one."""
    rows = of_version(snapshot.version, is_demo=snapshot.is_demo).values_list("pk", flat=True)
    return (
        rows.filter(pk__lt=snapshot.pk).order_by("-pk").first(),
        rows.filter(pk__gt=snapshot.pk).order_by("pk").first(),
    )


def watched(*, is_demo: bool) -> list[tuple[int, str]]:
    """The newest versions that have a snapshot: number and status."""
    versions = ModelVersion.objects.filter(
        Exists(DriftSnapshot.objects.filter(version=OuterRef("pk"), is_demo=is_demo))
    )
    return list(versions.order_by("-number").values_list("number", "status")[:MOST_VERSIONS])
