"""What the commands that make up rows share: their options, and the question whether this is the place for it."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from classifier import moments
from classifier.management.base import BadUsage


def add_options(parser: CommandParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="The same seed and --now make the same rows (default: 1).")
    parser.add_argument(
        "--now",
        metavar="TIME",
        help="The moment up to which they reach: 2026-11-23 or 2026-11-23T09:30, UTC unless it says otherwise "
        "(default: now).",
    )
    parser.add_argument("--yes", action="store_true", help="Make them in the database of DATABASE_URL, too.")


def moment(given: str | None) -> datetime:
    """What --now names. Raises BadUsage."""
    if given is None:
        return timezone.now()
    try:
        return moments.parse(given)
    except moments.NoMoment as error:
        raise BadUsage(f"--now must be a moment; {given!r} is none. {error}") from error


def demand_seed(seed: int) -> None:
    if seed < 0:
        raise BadUsage(f"--seed must be 0 or more; it is {seed}.")


def demand_the_right_place(*, yes: bool) -> None:
    """Raises BadUsage on a database server without --yes: it may be the one that customers' tickets are in.

    No question is asked at the terminal: a script would wait for ever. Nothing is asked on the embedded database,
    which is where a demonstration belongs, nor by purge_demo, which takes only what was made up.
    """
    if not settings.EMBEDDED_DATABASE and not yes:
        raise BadUsage(
            "Made-up rows belong in a demonstration; DATABASE_URL is set, so this may be production. They are "
            "flagged, left out of every figure, and removed by manage.py purge_demo: give --yes to make them here."
        )
