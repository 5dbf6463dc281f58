"""`manage.py export_tickets`: the tickets with their current labels as a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from classifier import exporting
from classifier.exporting import Export
from classifier.management.exports import ExportCommand


class Command(ExportCommand):
    things = "tickets"
    help = (
        f"Writes the tickets, one row each, oldest first: {', '.join(exporting.TICKET_COLUMNS)}. label is the current "
        "one, if there is any, label_source says whose it is, split where a labelled ticket stands. A text that was "
        "removed as too old is empty. --since and --until are about when a ticket came; times are UTC. The file is "
        "there whole or not at all, and replaces an earlier one."
    )

    def export(
        self, *, since: datetime | None, until: datetime | None, include_demo: bool = False, **_options: Any
    ) -> Export[Any]:
        return exporting.tickets(since=since, until=until, include_demo=include_demo)
