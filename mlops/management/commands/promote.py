"""`manage.py promote`: a version into production, by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from classifier.management.base import Refused, TicketclfCommand
from mlops import promotion
from mlops.management import tables
from mlops.management.choosing import version_numbered
from mlops.management.telling import failures_in_one_line, let_alias_follow, person, plainly, sentence


class Command(TicketclfCommand):
    help = (
        "Puts a version into production: the gate judges it on its test tickets, against the version that is there "
        "now, and if it passes, all web processes answer with it within a second. Written down with your reason. "
        "Exit code 1 if the gate says no, 2 if there is no such version."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, metavar="N", help="The version's number, as train prints it.")
        parser.add_argument("--reason", required=True, help="Why, in a sentence, for those who ask later.")
        parser.add_argument(
            "--force",
            action="store_true",
            help="Promote although the gate says no; recorded as forced. A damaged or a demo version stays out. Who is "
            "named with --by needs the permission force_promotion.",
        )
        parser.add_argument("--by", metavar="NAME", help="The user on whose behalf; it is kept with the promotion.")
        parser.add_argument(
            "--expected",
            type=int,
            metavar="N",
            help="The version in production as far as you know, 0 for none: if it is another by now, nothing happens.",
        )

    def handle(
        self, *, number: int, reason: str, force: bool, by: str | None, expected: int | None, **_options: Any
    ) -> None:
        user = person(by)
        if force and user is not None and not user.has_perm("mlops.force_promotion"):
            raise Refused(f"--force needs the permission force_promotion; {by} has not got it. Leave it out.")
        version = version_numbered(number)
        why = sentence(reason)
        try:
            with failures_in_one_line():
                row = promotion.promote(version, reason=why, by=user, force=force, expected=expected)
        except promotion.GateSaysNo as error:
            self.print_json({"promoted": False, "version": number, "verdict": error.verdict.as_dict()})
            raise Refused(str(error)) from error
        let_alias_follow(plainly(self.stderr))
        tables.show_promotion(self, row)
