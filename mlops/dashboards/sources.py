"""Where the figures come from: the tables behind the pages, how many rows each has, and when the newest came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils import timezone

from classifier import rollups
from classifier.models import ApiRequest, Label, ModelVersion, Prediction, Ticket
from classifier.wording import ago
from mlops.models import DriftSnapshot, Promotion, RetrainDecision, Slot, TrainingRun


@dataclass(frozen=True)
class Source:
    """A table: what it holds, in words."""

    model: type[Model]
    title: str
    words: str


SOURCES = (
    Source(Ticket, "Tickets", "texts that were asked about or imported"),
    Source(Prediction, "Predictions", "what versions answered"),
    Source(Label, "Labels", "what people said was right"),
    Source(ApiRequest, "API requests", "calls of clients and people"),
    Source(ModelVersion, "Versions", "trained models"),
    Source(TrainingRun, "Training runs", "attempts to make a version"),
    Source(Promotion, "Promotions", "what went to production"),
    Source(DriftSnapshot, "Drift snapshots", "recent tickets against the reference"),
    Source(RetrainDecision, "Retraining decisions", "whether to retrain, each time it was asked"),
    Source(Slot, "Schedule log", "what ran by itself"),
)


def sources() -> list[dict[str, Any]]:
    """A line for each table; of a large one on Postgres, about how many rows it has. Two queries a table."""
    now = timezone.now()
    lines = []
    for source in SOURCES:
        # Rows are written in the order of their ids, so the newest is found by the primary key's index.
        field = "due_at" if source.model is Slot else "created_at"
        newest = source.model._default_manager.order_by("-pk").values_list(field, flat=True).first()
        lines.append(
            {
                "title": source.title,
                "words": source.words,
                "count": f"{rollups.count_about(source.model):,}",
                "newest": ago(now, newest),
            }
        )
    return lines
