"""How figures and moments are said to people: the same words in the admin, on the pages and in the commands."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.text import Truncator

NOTHING = "-"  # as Unfold shows an empty column
EXCERPT_CHARACTERS = 90
AGO = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))


def local(moment: datetime) -> datetime:
    """The moment in DISPLAY_TIME_ZONE."""
    return moment.astimezone(ZoneInfo(settings.DISPLAY_TIME_ZONE))


def share(value: float | None) -> str:
    """A number from 0 to 1 as percent.

    >>> share(0.8249), share(0.9996), share(1.0)
    ('82.5 %', 'over 99.9 %', '100.0 %')
    """
    if value is None:
        return NOTHING
    return "over 99.9 %" if 0.9995 <= value < 1 else f"{value * 100:.1f} %"  # nearly sure is not sure


def certainty(confidence: float) -> str:
    """How sure an answer was, as percent; never all of it, whatever the last bit of the number says.

    >>> certainty(0.82), certainty(0.9999996), certainty(1.0)
    ('82.0 %', 'over 99.9 %', 'over 99.9 %')
    """
    return share(min(confidence, math.nextafter(1, 0)))


def figure(value: float | None, places: int = 3) -> str:
    """A number with so many decimal places; a whole one with thousands set off.

    >>> figure(0.91249), figure(12040)
    ('0.912', '12,040')
    """
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{places}f}"


def milliseconds(value: float | None) -> str:
    """A latency with the digits that matter, from a second on in seconds.

    >>> milliseconds(0.834), milliseconds(12.34), milliseconds(345.6), milliseconds(2345.6)
    ('0.83 ms', '12.3 ms', '346 ms', '2.35 s')
    """
    if value is None:
        return NOTHING
    if value >= 1000:
        return f"{value / 1000:,.2f} s"
    places = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{places}f} ms"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "ticket"), counted(1200, "ticket"), counted(2, "category", "categories")
    ('1 ticket', '1,200 tickets', '2 categories')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def ago(now: datetime, moment: datetime | None) -> str:
    """How long ago, in the largest unit that has passed.

    >>> ago(datetime(2026, 11, 25, 10, 0), datetime(2026, 11, 25, 8, 59))
    '1 hour ago'
    """
    if moment is None:
        return "never"
    passed = now - moment
    for unit, length in AGO:
        if passed >= length:
            return f"{counted(passed // length, unit)} ago"
    return "just now"


def excerpt(text: str, length: int = EXCERPT_CHARACTERS) -> str:
    """The beginning of a text, on one line.

    >>> excerpt("My card  was charged twice", 12)
    'My card was…'
    """
    return Truncator(" ".join(text[: length * 4].split())).chars(length)
