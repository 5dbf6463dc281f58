"""What a training would do if it began now: its tickets, counted, checked and compared. Trains and keeps nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from classifier.labelling import ImportReport, import_tickets
from classifier.ml.validation import Report
from classifier.models import ModelVersion
from classifier.reading import read
from mlops import retraining, training
from mlops.gathering import Material, Tally, gather, tally, validate
from mlops.models import Dataset


@dataclass(frozen=True)
class Rehearsal:
    """What a training would find. imported: what the file would bring in; None without one.

    would_skip: whether retrain would find nothing changed since the version in production; why says it in words.
    """

    recipe: str
    tally: Tally
    report: Report
    would_skip: bool
    why: str
    imported: ImportReport | None

    def as_dict(self) -> dict[str, Any]:
        """The rehearsal in plain JSON types."""
        return {
            "dry_run": True,
            "recipe": self.recipe,
            **self.tally.as_dict(),
            "fingerprint": self.report.fingerprint,
            "retrain": {"would_skip": self.would_skip, "why": self.why},
            "data_report": self.report.as_dict(),
            "import": None if self.imported is None else self.imported.as_dict(),
        }


def rehearse(*, recipe: str | None = None, data: Path | None = None) -> Rehearsal:
    """Looks at what a training would be given, and makes no run.

    data: a file whose tickets are imported first; all of that is undone again. Raises UnreadableFile.
    """
    recipe = recipe or settings.RECIPE
    rows = list(read(data)) if data is not None else []
    with _undone() if rows else contextlib.nullcontext():
        imported = import_tickets(rows, seed=settings.SEED) if rows else None
        material = gather()
        unchanged = retraining.reason_to_skip(recipe)
        return Rehearsal(
            recipe=recipe,
            tally=tally(),
            report=validate(material, refusals=imported.findings if imported else ()),
            would_skip=bool(unchanged),
            why=unchanged or _changed(material, recipe),
            imported=imported,
        )


@contextlib.contextmanager
def _undone() -> Iterator[None]:
    """A transaction that keeps nothing."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _changed(material: Material, recipe: str) -> str:
    """What is new since the version in production, in words: why retrain would train."""
    production = ModelVersion.objects.in_production().first()
    if production is None:
        return "No version is in production."
    dataset = Dataset.objects.filter(runs__version=production).first()
    changes = [
        f"{name} is {value} and was {production.parameters.get(name)}"
        for name, value in training.settings_that_shape(recipe).items()
        if production.parameters.get(name) != value
    ]
    if dataset is None:
        changes.append("its labelled tickets are not known")
    elif dataset.fingerprint != material.fingerprint:
        changes.append("the labelled tickets are others")
    return f"Changed since {production}, which is in production: {'; '.join(changes)}."
