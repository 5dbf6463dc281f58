"""Takes every demo row away again, and says what it took, what went with it, and what real rows hold in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Model, Q, QuerySet

from classifier.models import (
    AnswerRollup,
    ApiRequest,
    Category,
    Label,
    ModelArtifact,
    ModelVersion,
    Prediction,
    RequestRollup,
    Ticket,
)
from mlops.models import DriftSnapshot, Promotion
from mlops.samples.logs import Watch, unwatched
from mlops.samples.versions import MADE, SHA256

BATCH = 500  # rows a transaction: SQLite has one writer, and takes a limited number of values in one statement


@dataclass(frozen=True)
class Removal:
    """How many rows of what were removed (or would be), and how many demo rows stay because real ones need them.

    labels: those that people or clients gave to made-up tickets; they go with their tickets.
    """

    removed: dict[str, int]
    labels: int
    kept: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.removed.values())


def in_words(name: str) -> str:
    return name.replace("_", " ")


def purge(*, dry_run: bool = False, progress: Watch = unwatched) -> Removal:
    """Removes all demo rows in batches; with dry_run, only counts them.

    Kept, and counted, are demo rows that a real row points at: a made-up ticket with a real prediction, a snapshot that
    a decision about retraining refers to, a version with a run, a promotion, a real prediction or such a snapshot.
    A real label does not keep a made-up ticket: it trains nothing, and goes with it.
    """
    doomed = _doomed()
    labels = Label.objects.filter(ticket__in=doomed["tickets"]).count()
    kept = {
        "tickets": Ticket.objects.filter(is_demo=True, predictions__is_demo=False).distinct().count(),
        "drift_snapshots": DriftSnapshot.objects.filter(is_demo=True, decisions__isnull=False).distinct().count(),
        "versions": ModelVersion.objects.filter(is_demo=True).exclude(pk__in=doomed["versions"].values("pk")).count(),
    }
    # Before the versions go, which know what came with them.
    categories = _unused_categories()
    removed = {name: rows.count() for name, rows in doomed.items()}
    removed["categories"] = len(categories)
    if not dry_run:
        for name, rows in doomed.items():
            batches = range(0, removed[name], BATCH)
            for _ in progress(batches, len(batches), f"Removing {in_words(name)}"):
                _remove_batch(rows)
        ModelArtifact.objects.filter(pk=SHA256, versions=None).delete()
        Category.objects.filter(pk__in=[row.pk for row in categories], labels=None, predictions=None).delete()
    return Removal(removed=removed, labels=labels, kept={name: count for name, count in kept.items() if count})


def _doomed() -> dict[str, QuerySet[Any]]:
    """The rows to remove by name, in an order in which none is pointed at when its turn comes."""
    versions = ModelVersion.objects.filter(is_demo=True).exclude(
        Q(run__isnull=False)
        | Q(pk__in=Prediction.objects.filter(is_demo=False, version__is_demo=True).values("version"))
        | Q(pk__in=DriftSnapshot.objects.filter(version__is_demo=True).exclude(_free_snapshot()).values("version"))
        | Q(pk__in=Promotion.objects.filter(version__is_demo=True).values("version"))
        | Q(pk__in=Promotion.objects.filter(replaced__is_demo=True).values("replaced"))
    )
    return {
        "predictions": Prediction.objects.filter(is_demo=True),
        "requests": ApiRequest.objects.filter(is_demo=True),
        # After what they count, which would be counted again.
        "request_rollups": RequestRollup.objects.filter(is_demo=True),
        "answer_rollups": AnswerRollup.objects.filter(is_demo=True),
        "tickets": Ticket.objects.filter(is_demo=True).exclude(
            pk__in=Prediction.objects.filter(is_demo=False, ticket__is_demo=True).values("ticket")
        ),
        "drift_snapshots": DriftSnapshot.objects.filter(_free_snapshot()),
        "versions": versions,
    }


def _free_snapshot() -> Q:
    return Q(is_demo=True, decisions__isnull=True)


def _remove_batch(rows: QuerySet[Model]) -> None:
    """Removes the first rows of those that are left: what was removed is no longer among them."""
    with transaction.atomic():
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        rows.model._default_manager.filter(pk__in=ids).delete()


def _unused_categories() -> list[Category]:
    """Those that came with demo versions and that nothing real has used since."""
    if ModelVersion.objects.filter(is_demo=False).exists():
        return []  # it may answer them
    rows = ModelVersion.objects.filter(is_demo=True).values_list("parameters", flat=True)
    made = {slug for parameters in rows for slug in parameters.get(MADE, ())}
    used = Q(labels__ticket__is_demo=False) | Q(predictions__is_demo=False)
    return list(Category.objects.filter(slug__in=made).exclude(pk__in=Category.objects.filter(used).values("pk")))
