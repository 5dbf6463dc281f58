"""What a training would do if it began now: its tickets, counted, checked and compared. Trains and keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from classifier.labelling import ImportReport, import_tickets
from classifier.ml.validation import Report
from classifier.models import ModelVersion
from classifier.reading import FileRow, read
from mlops import retraining
from mlops.gathering import Material, Tally, gather, tally, validate


@dataclass(frozen=True)
class Rehearsal:
    """What a training would find. imported: what the file would bring in; None without one.

    would_skip: whether retrain would find nothing changed; why says it in words.
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
    material, counted, imported = _gathered(list(read(data)) if data is not None else [])
    unchanged = retraining.reason_to_skip(material, recipe=recipe)
    return Rehearsal(
        recipe=recipe,
        tally=counted,
        report=validate(material, refusals=imported.findings if imported else ()),
        would_skip=bool(unchanged),
        why=unchanged or _why_not(material, recipe=recipe),
        imported=imported,
    )


def _gathered(rows: Sequence[FileRow]) -> tuple[Material, Tally, ImportReport | None]:
    """What there would be with the rows imported; on SQLite no one else writes meanwhile, so no more is done in it."""
    found: list[tuple[Material, Tally]] = []
    imported = None

    def look() -> None:
        found.append((gather(), tally()))

    if rows:
        imported = import_tickets(rows, seed=settings.SEED, dry_run=True, look=look)
    if not found:  # without a file, or with one that is refused
        found.append((gather(), tally()))
    return (*found[-1], imported)


def _why_not(material: Material, *, recipe: str) -> str:
    """Why retrain would train: what is new since the version in production."""
    production = ModelVersion.objects.in_production().first()
    if production is None:
        return "No version is in production."
    new = "; ".join(retraining.changes(material, recipe=recipe, since=production))
    return f"Changed since {production}, which is in production: {new}."
