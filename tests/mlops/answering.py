"""Answers as they were stored, and the labels that came after them: each builds only what the test speaks of."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from classifier.models import Category, Label, ModelVersion, Prediction, Ticket
from tests.factories import make_version
from tests.mlops.making import NOW

AN_HOUR = timedelta(hours=1)


def in_production() -> ModelVersion:
    return ModelVersion.objects.in_production().first() or make_version(status="production")


def category_of(slug: str) -> Category:
    return Category.objects.get_or_create(slug=slug, defaults={"name": slug.title()})[0]


def answer(
    slug: str = "billing",
    *,
    review: bool = False,
    confidence: float = 0.9,
    at: datetime = NOW - AN_HOUR,
    version: ModelVersion | None = None,
    is_demo: bool = False,
    ticket: Ticket | None = None,
) -> Prediction:
    """What a version answered for a ticket; if none is named, the one in production and a ticket of its own."""
    return Prediction.objects.create(
        ticket=ticket or Ticket.objects.create(text="Where is my parcel?", is_demo=is_demo, created_at=at),
        version=version or in_production(),
        category=category_of(slug),
        confidence=confidence,
        n_words=4,
        unknown_share=0.0,
        decision="review" if review else "auto",
        reason="below_threshold" if review else "",
        is_demo=is_demo,
        created_at=at,
    )


def label(prediction: Prediction, slug: str = "billing", *, source: str = "agent", at: datetime = NOW) -> Label:
    return Label.objects.create(ticket=prediction.ticket, category=category_of(slug), source=source, created_at=at)


def answers(n: int, *, right: int = 0, wrong: int = 0, **facts: Any) -> None:
    """So many answers `billing`, of which some were labelled so an hour later and others `shipping`."""
    for index in range(n):
        given = answer(**facts)
        if index < right + wrong:
            label(given, "billing" if index < right else "shipping", at=given.created_at + AN_HOUR)
