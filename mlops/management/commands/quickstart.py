"""`manage.py quickstart`: everything from an empty folder to a running service."""

from __future__ import annotations

import contextlib
from typing import Any

from django.core.management.base import CommandParser

from classifier.management.base import BadUsage, Refused, TicketclfCommand
from mlops import quickstart, serving
from mlops.management.telling import failures_in_one_line
from mlops.reserving import CannotStart
from mlops.supervisor import GaveUp


class Command(TicketclfCommand):
    help = (
        "Sets up everything and serves: database, five categories, the shipped tickets, a trained version in "
        "production, an admin and an API key (each shown once), then what up starts. What was done before is left as "
        "it is, so it is also the way to start again. Ctrl-C stops it."
    )
    has_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="Do all but start the service.")

    def handle(self, *, no_serve: bool, **_options: Any) -> None:
        try:
            # Taken before the work, so that a port in use is not found out a minute later.
            with contextlib.nullcontext() if no_serve else serving.reserved() as lock:
                ready = self.prepare()
                if lock is not None:
                    serving.up(lock, say=lambda text: self.say_at_once(f"{text}\n"), api_key=ready.api_key)
        except CannotStart as error:
            raise BadUsage(str(error)) from None
        except (quickstart.NotReady, GaveUp) as error:
            raise Refused(str(error)) from None

    def prepare(self) -> quickstart.Ready:
        lines = quickstart.Lines(self.say_at_once)
        try:
            with failures_in_one_line():
                return quickstart.prepare(lines)
        finally:
            lines.end("not done")  # the step that was begun, if one failed

    def say_at_once(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()  # the beginning of a line must be seen while its step runs
