"""`manage.py purge_demo`: takes all made-up rows away again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from classifier.management.base import TicketclfCommand
from mlops import samples


class Command(TicketclfCommand):
    help = (
        "Removes every row that is flagged as demo: predictions, requests, tickets, drift snapshots and versions, and "
        "the categories that came with them if nothing real uses them. Labels that people gave to made-up tickets go "
        "with the tickets; a made-up row that a real one points at stays. Both are counted and said. Real rows are "
        "never touched. Cut off, it is simply run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Count what would be removed, and remove nothing.")

    def handle(self, *, dry_run: bool, **_options: Any) -> None:
        done = samples.purge(dry_run=dry_run, progress=self.progress)
        verb = "Would remove" if dry_run else "Removed"
        counted = _list(done.removed)
        self.say(f"{verb}: {counted}." if counted else "There is nothing made up to remove.")
        if done.labels:
            go = "would go" if dry_run else "went"
            self.say(f"Labels that {go} with the tickets, set by people or clients: {done.labels:,}.")
        if done.kept:
            self.say(f"Kept, as real rows point at them: {_list(done.kept)}.")
        self.print_json({"dry_run": dry_run, "removed": done.removed, "labels": done.labels, "kept": done.kept})


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{samples.in_words(name)} {count:,}" for name, count in counts.items() if count)
