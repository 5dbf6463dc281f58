"""`manage.py roll_back`: the version before into production."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from classifier.management.base import TicketclfCommand
from mlops import promotion
from mlops.management import tables
from mlops.management.telling import failures_in_one_line, let_alias_follow, person, plainly, sentence


class Command(TicketclfCommand):
    help = (
        "Puts the version back that was in production before the one that is; called again, the one before that. All "
        "web processes answer with it within a second. The gate is not asked, for it has answered before; a damaged "
        "one stays out. Written down with your reason. Exit code 1 if there is none to go back to."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="Why, in a sentence, for those who ask later.")
        parser.add_argument("--by", metavar="NAME", help="The user on whose behalf; it is kept with the roll-back.")
        parser.add_argument(
            "--expected",
            type=int,
            metavar="N",
            help="The version in production as far as you know: if it is another by now, nothing happens.",
        )

    def handle(self, *, reason: str, by: str | None, expected: int | None, **_options: Any) -> None:
        why, user = sentence(reason), person(by)
        with failures_in_one_line():
            row = promotion.roll_back(reason=why, by=user, expected=expected)
        let_alias_follow(plainly(self.stderr))
        tables.show_promotion(self, row)
