"""Snapshots, and labels that came after a training: each builds only what the test speaks of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from classifier.models import Label, ModelVersion, Ticket
from mlops.models import DriftSnapshot
from tests.mlops.answering import AN_HOUR, category_of
from tests.mlops.making import NOW


def make_snapshot(version: ModelVersion, *, verdict: str = "steady", **fields: Any) -> DriftSnapshot:
    return DriftSnapshot.objects.create(
        **{
            "version": version,
            "verdict": verdict,
            "severity": "clear" if verdict == "drifted" else "none",
            "words": "Longer texts.",
            "method": "resampled",
            "window_size": 500,
            "recent_count": 200,
            "reference_count": 400,
            "created_at": NOW,
            **fields,
        }
    )


def newly_labelled(
    n: int,
    *,
    slug: str = "billing",
    source: str = "agent",
    split: str = "train",
    is_demo: bool = False,
    at: datetime = NOW + AN_HOUR,
) -> None:
    """Tickets that are like no other, labelled after the training at NOW."""
    for index in range(n):
        text = f"Ticket {slug} {source} {split} {index} of {Ticket.objects.count()}"
        ticket = Ticket.objects.create(text=text, split=split, group=0, is_demo=is_demo)
        Label.objects.create(ticket=ticket, category=category_of(slug), source=source, created_at=at)
