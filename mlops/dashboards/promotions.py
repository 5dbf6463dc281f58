"""Which version went to production when, by whom, why and instead of which: the promotions, newest first."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator

from classifier.models import doer
from classifier.wording import NOTHING, local
from mlops.models import Promotion

PER_PAGE = 20


def promotions(page: str) -> dict[str, Any]:
    """One page of the history, and the numbers of the pages before and after it. Two queries."""
    rows = Promotion.objects.with_names().defer("verdict").order_by("-pk")
    found = Paginator(rows, PER_PAGE).get_page(page)
    return {
        "promotions": [_told(row) for row in found],
        "n_promotions": found.paginator.count,
        "newer": str(found.previous_page_number()) if found.has_previous() else "",
        "older": str(found.next_page_number()) if found.has_next() else "",
    }


def _told(row: Promotion) -> dict[str, Any]:
    return {
        "at": row.created_at,
        "moment": f"{local(row.created_at):%Y-%m-%d %H:%M}",
        "version": row.version.number,
        "replaced": str(row.replaced) if row.replaced else "nothing",
        "kind": "roll-back" if row.kind == Promotion.Kind.ROLL_BACK else "promotion",
        "is_forced": row.forced,
        "by": doer(row.by, row.key) or NOTHING,
        "reason": row.reason,
    }


def since(version_id: int) -> str:
    """Since when the version is in production, as people read it; empty if no promotion says so."""
    found = Promotion.objects.filter(version=version_id).order_by("-pk").values_list("created_at", flat=True).first()
    return f"{local(found):%Y-%m-%d %H:%M}" if found else ""
