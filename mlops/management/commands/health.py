"""`manage.py health`: what GET /api/health says, without a web process."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from classifier.management.base import Refused, TicketclfCommand
from mlops import health


class Command(TicketclfCommand):
    help = (
        "Asks every dependency how it is: database, broker, worker, beat, MLflow, the model in production, the age of "
        "the last training, the disk. Each is `ok` or a sentence that says what to do; it takes two seconds at most. "
        "Exit code 0 if all are well, 1 otherwise."
    )

    def handle(self, **_options: Any) -> None:
        found = health.check(timezone.now())
        width = max(map(len, health.NAMES))
        self.say(*(f"{name:<{width}}  {words}" for name, words in found.checks.items()))
        self.print_json(found.as_dict())
        if found.status != "healthy":
            ill = sum(words != health.OK for words in found.checks.values())
            raise Refused(f"{found.status}: {ill} of {len(found.checks)} {'is' if ill == 1 else 'are'} not well.")
