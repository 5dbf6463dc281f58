"""`manage.py export_predictions`: the inference log as a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from classifier import exporting
from classifier.exporting import Export
from classifier.management.exports import ExportCommand


class Command(ExportCommand):
    things = "predictions"
    help = (
        f"Writes the inference log, one row a prediction, oldest first: {', '.join(exporting.COLUMNS)}. Times are "
        "UTC; latency_ms and status_code are those of the call that the prediction came in; label is the ticket's "
        "current label, if it has one. The file is there whole or not at all, and replaces an earlier one."
    )

    def export(
        self, *, since: datetime | None, until: datetime | None, include_demo: bool = False, **_options: Any
    ) -> Export[Any]:
        return exporting.log(since=since, until=until, include_demo=include_demo)
