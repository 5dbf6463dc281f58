"""How one value is shown on the admin's pages: a moment, a share, a text's beginning, a row's link, a file's size."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from classifier.models import Label, doer
from classifier.wording import NOTHING, certainty, excerpt, figure, local, share

__all__ = [
    "NOTHING",
    "certainty",
    "code",
    "decision_in_words",
    "done_by",
    "excerpt",
    "figure",
    "link",
    "listing",
    "moment",
    "paragraph",
    "share",
    "when",
]


def when(moment: datetime | None, *, to_the_second: bool = False) -> str:
    """A time to the minute in DISPLAY_TIME_ZONE; the pointer brings the second and the zone."""
    if moment is None:
        return NOTHING
    shown = local(moment)
    return format_html(
        '<time class="whitespace-nowrap" datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        f"{shown:%Y-%m-%d %H:%M:%S %Z}",
        f"{shown:%Y-%m-%d %H:%M:%S}" if to_the_second else f"{shown:%Y-%m-%d %H:%M}",
    )


def moment(field: str, description: str, *, to_the_second: bool = False) -> Callable[[Model], str]:
    """A column that shows the field's time."""

    @display(description=description, ordering=field)
    def column(row: Model) -> str:
        return when(getattr(row, field), to_the_second=to_the_second)

    column.__name__ = field  # Django makes a column's name and its CSS class of it
    return column


def decision_in_words(prediction: Model) -> str:
    """Whether an answer is automatic or, if not, why a person should look at it."""
    return f"review: {prediction.get_reason_display().lower()}" if prediction.reason else "auto"


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
