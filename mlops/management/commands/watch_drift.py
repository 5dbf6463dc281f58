"""`manage.py watch_drift`: whether recent tickets are still like those that the model was validated on."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from classifier.management.base import Refused, TicketclfCommand
from mlops import drift
from mlops.management import tables


class Command(TicketclfCommand):
    help = (
        "Takes a drift snapshot now, as beat does by itself, and stores it: the newest predictions of the version in "
        "production against what that version was on its validation tickets. Six signals, each with the value that "
        "chance alone passes rarely at these numbers of tickets: word counts (two), unknown words, confidence, shares "
        "of the categories, and the texts themselves. Drifted is not worse: the advice tells the two apart. Exit code "
        "0 whatever the verdict, 1 if no version is in production or it has nothing to be compared with."
    )

    def handle(self, **_options: Any) -> None:
        try:
            snapshot = drift.take_snapshot(timezone.now())
        except drift.NoReference as error:
            raise Refused(str(error)) from error
        if snapshot is None:
            raise Refused("No model is in production, so there is nothing to watch. Train one with: manage.py train")
        self.say(
            f"Snapshot {snapshot.pk} of {snapshot.version}: {snapshot.get_verdict_display().lower()}",
            *tables.signals(snapshot),
            "",
            *filter(None, (snapshot.words, snapshot.advice)),
        )
        self.print_json(json.loads(json.dumps(snapshot.as_dict(), default=str)))
