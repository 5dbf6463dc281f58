"""`manage.py reconcile`: MLflow and our rows brought together, as beat does each minute."""

from __future__ import annotations

from typing import Any

from classifier.management.base import Refused, TicketclfCommand
from mlops import reconciling
from mlops.tracking import NotRecorded


class Command(TicketclfCommand):
    help = (
        "Brings MLflow in line with what is in production, as beat does each minute: records the versions that MLflow "
        "does not have (it was away, or was emptied), at most three at once, and looks after its alias `production`. "
        "If somebody moved the alias in MLflow, the gate decides: that version goes to production, or the alias is put "
        "back. Exit code 1 if MLflow is not reached or a version cannot be recorded."
    )

    def handle(self, **_options: Any) -> None:
        try:
            done = reconciling.reconcile()
        except (NotRecorded, reconciling.Busy) as error:
            raise Refused(str(error)) from error
        self.say(*(one.words for one in done) if done else ("MLflow has everything, and its alias stands right.",))
        self.print_json({"done": [one.as_dict() for one in done]})
        failed = [one for one in done if one.what == reconciling.NOT_RECORDED]
        if failed:
            raise Refused(f"{len(failed)} of the versions could not be recorded; they are named above.")
