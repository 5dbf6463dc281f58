"""How a moment is read that somebody wrote: ISO 8601, and UTC unless it says otherwise."""

from __future__ import annotations

from datetime import UTC, datetime

WANTED = "a moment such as 2026-11-23 or 2026-11-23T09:30:00Z"


class NoMoment(ValueError):
    """The text names no moment that the calendar has; the message says what was wanted."""


def parse(text: str) -> datetime:
    """The moment, in UTC.

    Raises NoMoment, for one that has left the years 1 to 9999 once it is told in UTC, too.

    >>> parse("2026-11-23T09:30:00+01:00").isoformat()
    '2026-11-23T08:30:00+00:00'
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except ValueError:
        raise NoMoment(f"Wanted {WANTED}.") from None
    except OverflowError:
        raise NoMoment(f"Wanted {WANTED}, of the years 1 to 9999 in UTC.") from None
