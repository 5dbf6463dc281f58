"""`manage.py purge`: what the clean-up of each night does, by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from classifier.management.base import TicketclfCommand
from mlops import purging


class Command(TicketclfCommand):
    help = (
        "Removes what is older than TEXT_RETENTION_DAYS and REQUEST_RETENTION_DAYS, as beat does each night: texts of "
        "tickets that nobody labelled, API requests, minutes of refused calls; answers that were kept for a repeated "
        "call (24 hours), lines of the schedule log and uploaded files of imports (7 days) and counts by minute (8 "
        "days; those by hour stay). Predictions stay, with their figures. It may be stopped at any time; the next one "
        "goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Count what would be removed; remove nothing.")

    def handle(self, *, dry_run: bool, **_options: Any) -> None:
        now = timezone.now()
        found = purging.foresee(now) if dry_run else purging.purge(now, seconds=None)
        self.say(found.in_words("Would be removed" if dry_run else "Removed"))
        self.print_json({**found.as_dict(), "dry_run": dry_run})
