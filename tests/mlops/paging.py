"""Rows that the pages' tests look at."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from classifier.models import ApiRequest, Category, ModelVersion, Prediction, Ticket
from tests.factories import make_ticket


def make_request(
    *, at: datetime, status: int = 200, ms: float = 3.0, is_demo: bool = False, **fields: Any
) -> ApiRequest:
    return ApiRequest.objects.create(
        **{
            "route": "predict",
            "method": "POST",
            "status": status,
            "latency_ms": ms,
            "created_at": at,
            "is_demo": is_demo,
            **fields,
        }
    )


def make_answer(
    version: ModelVersion,
    slug: str,
    *,
    at: datetime,
    ticket: Ticket | None = None,
    confidence: float = 0.9,
    is_review: bool = False,
    is_demo: bool = False,
    ms: float = 3.0,
) -> Prediction:
    """A stored answer with its request and, unless there is one, its ticket."""
    return Prediction.objects.create(
        ticket=ticket or make_ticket(is_demo=is_demo, created_at=at),
        version=version,
        category=Category.objects.get(slug=slug),
        request=make_request(at=at, ms=ms, is_demo=is_demo, n_tickets=1),
        confidence=confidence,
        n_words=4,
        unknown_share=0.0,
        decision="review" if is_review else "auto",
        reason="below_threshold" if is_review else "",
        created_at=at,
        is_demo=is_demo,
    )
