"""`manage.py tune_thresholds`: from which confidence on answers go without a review, and what that gives."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.models import ModelVersion
from mlops import tuning
from mlops.management import tables
from mlops.management.choosing import version_meant


class Command(TicketclfCommand):
    help = (
        "Solves a version's thresholds anew, on what it said of its validation tickets before it was fitted on them. "
        "A threshold is the least confidence from which on a category's answers can be expected to reach the target "
        "precision; coverage is the share of its answers that are automatic then. Without --version it takes the one "
        "in production, else the newest candidate. Changes nothing without --save; with it, all web processes decide "
        "so within a second. The next version's thresholds are solved by its training, for TARGET_PRECISION and the "
        "targets of the categories."
    )

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        # Django has a --version of its own, which prints Django's; here the word belongs to the models.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--target-precision",
            type=float,
            metavar="SHARE",
            help="Share of the automatic answers that must be right, such as 0.95; without it, what TARGET_PRECISION "
            "says. A category with a target of its own keeps it.",
        )
        parser.add_argument("--version", type=int, metavar="N", help="The version's number.")
        parser.add_argument("--save", action="store_true", help="Store the new thresholds with the version.")

    def handle(self, *, target_precision: float | None, version: int | None, save: bool, **_options: Any) -> None:
        # Its scores and settings are megabytes for many categories, and are not needed here.
        chosen = version_meant(version, to="tune", among=ModelVersion.objects.defer("metrics", "parameters"))
        target = settings.TARGET_PRECISION if target_precision is None else target_precision
        try:
            thresholds = tuning.tune_again(chosen, target=target)
            others = tuning.neighbours(chosen, target=target)
        except tuning.NothingToTune as error:
            raise Refused(str(error)) from error
        except ValueError as error:
            raise BadUsage(str(error)) from error
        if save:
            tuning.keep(chosen, thresholds)
        solved = thresholds.as_dict()
        is_new = solved != chosen.thresholds
        self.say(
            f"{str(chosen).capitalize()} ({chosen.status}), on {solved['whole']['n_answers']:,} validation tickets, "
            f"for a precision of {target:g}",
            *tables.thresholds(solved),
            "",
            "  What other targets would give",
            *tables.trades(others, target=target),
            "",
            _what_became_of_it(save=save, is_new=is_new),
        )
        self.print_json(
            {
                "version": chosen.number,
                "saved": save,
                **solved,
                "targets": [{"target": share, **trade.as_dict()} for share, trade in others.items()],
            }
        )


def _what_became_of_it(*, save: bool, is_new: bool) -> str:
    if save:
        return "Saved: the version decides with these thresholds from now on."
    return "Not saved; --save stores them." if is_new else "These are the version's thresholds now."
