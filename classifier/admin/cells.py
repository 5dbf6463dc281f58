"""How one value is shown on the admin's pages: a moment, a share, a text's beginning, a row's link, a file's size."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.decorators import display

from classifier.models import Label, doer

NOTHING = "-"  # as Unfold shows an empty column
EXCERPT_CHARACTERS = 90


def when(moment: datetime | None, *, to_the_second: bool = False) -> str:
    """A time to the minute in DISPLAY_TIME_ZONE; the pointer brings the second and the zone."""
    if moment is None:
        return NOTHING
    local = moment.astimezone(ZoneInfo(settings.DISPLAY_TIME_ZONE))
    return format_html(
        '<time class="whitespace-nowrap" datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S %Z}",
        f"{local:%Y-%m-%d %H:%M:%S}" if to_the_second else f"{local:%Y-%m-%d %H:%M}",
    )


def moment(field: str, description: str, *, to_the_second: bool = False) -> Callable[[Model], str]:
    """A column that shows the field's time."""

    @display(description=description, ordering=field)
    def column(row: Model) -> str:
        return when(getattr(row, field), to_the_second=to_the_second)

    column.__name__ = field  # Django makes a column's name and its CSS class of it
    return column


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


def decision_in_words(prediction: Model) -> str:
    """Whether an answer is automatic or, if not, why a person should look at it."""
    return f"review: {prediction.get_reason_display().lower()}" if prediction.reason else "auto"


def excerpt(text: str, length: int = EXCERPT_CHARACTERS) -> str:
    """The beginning of a text, on one line.

    >>> excerpt("My card  was charged twice", 12)
    'My card was…'
    """
    return Truncator(" ".join(text[: length * 4].split())).chars(length)


def link(row: Model | None, words: str = "", *, page: str = "") -> str:
    """A link to the row's page, or a dash for none. page: what its address ends in, if not the primary key."""
    if row is None:
        return NOTHING
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return format_html(
        '<a class="text-link whitespace-nowrap" href="{}">{}</a>',
        reverse(name, args=[page or quote(row.pk)]),
        words or str(row),
    )


def done_by(row: Label) -> str:
    """Who did it, or a dash. row: a label, or another row with `by` and `key`."""
    return doer(row.by, row.key) or NOTHING


def code(text: str, length: int = 0) -> str:
    """An identifier in fixed width, cut to so many characters; the pointer brings the whole."""
    if not text:
        return NOTHING
    style = "white-space: nowrap" if length else "overflow-wrap: anywhere"
    return format_html('<code style="{}" title="{}">{}</code>', style, text, text[:length] if length else text)


def paragraph(text: str) -> str:
    """A text as it was written, line breaks kept, long words broken."""
    return (
        format_html('<div style="white-space: pre-wrap; overflow-wrap: anywhere">{}</div>', text) if text else NOTHING
    )


def listing(text: str) -> str:
    """Lines of a log in fixed width, in a box that scrolls."""
    if not text:
        return NOTHING
    style = "max-height: 24rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere"
    box = "bg-base-50 border border-base-200 p-3 rounded-default text-xs dark:bg-base-800 dark:border-base-700"
    return format_html('<pre class="{}" style="{}">{}</pre>', box, style, text)
