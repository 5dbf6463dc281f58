"""Lists that are read from the newest row on, a page at a time, at a cost that does not grow with the table."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)


def newest_first(rows: QuerySet[M], *, before: int | None, n: int) -> list[M]:
    """The n newest rows, and one more if there are older ones; before: the id of the last row that was seen.

    By created_at, whose index the database walks from the end: a filter that few rows pass then costs no more than
    the range of time that rows is held to. An id that is gone means the first page.
    """
    seen = None if before is None else rows.model._base_manager.filter(pk=before).values_list("created_at", flat=True)
    moment = seen.first() if seen is not None else None
    if moment is not None:
        rows = rows.filter(created_at__lte=moment).filter(Q(created_at__lt=moment) | Q(pk__lt=before))
    return list(rows.order_by("-created_at", "-pk")[: n + 1])
