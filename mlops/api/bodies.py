"""What the calls carry, read and checked: bodies and queries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.http import QueryDict
from rest_framework.request import Request

from classifier import bodies, moments
from classifier.problems import FieldError, Problem
from mlops.models import MAX_REASON

MEND = "Mend it and send the call again."
PAGE = 50
LARGEST_PAGE = 200
LARGEST_ID = 2**63 - 1
LONGEST_WINDOW = timedelta(days=90)
WINDOW = re.compile(r"([0-9]{1,4})([hd])")
HOURS = {"h": 1, "d": 24}


@dataclass(frozen=True)
class Field:
    """A field that a body may have: its type, the same in words, and a value of it as JSON."""

    kind: type
    wanted: str
    example: str
    required: bool = False
    choices: tuple[str, ...] = ()


def read_object(request: Request, fields: Mapping[str, Field]) -> dict[str, Any]:
    """The body's fields, None for one that is missing or null. An empty body is an empty object.

    Raises Problem 400 that names every wrong field, 413 and 415.
    """
    raw = request._request
    example = ", ".join(f'"{name}": {field.example}' for name, field in fields.items())
    data = bodies.read_object(raw, fields=fields, example=f"{{{example}}}") if raw.body else {}
    errors: list[FieldError] = []
    found = {name: _checked(name, field, data.get(name), errors) for name, field in fields.items()}
    if errors:
        raise bodies.refusal(errors, mend=MEND)
    return found


def _checked(name: str, field: Field, value: Any, errors: list[FieldError]) -> Any:
    if value is None:
        if field.required:
            errors.append(FieldError(name, "required", f"Wanted {field.wanted}."))
        return None
    is_kind = type(value) is field.kind  # `isinstance` would take true for a number
    if not is_kind or (field.choices and value not in field.choices):
        errors.append(FieldError(name, "invalid", f"Wanted {field.wanted}."))
    elif isinstance(value, str) and not _is_storable(value):
        errors.append(FieldError(name, "invalid", f"Wanted {field.wanted}, of at most {MAX_REASON} valid characters."))
    elif isinstance(value, str) and field.required and not value.strip():
        errors.append(FieldError(name, "blank", f"Wanted {field.wanted}; this one is blank."))
    return value


def _is_storable(text: str) -> bool:
    return "\x00" not in text and len(text) <= MAX_REASON and bodies.is_unicode(text)


def refused(name: str, detail: str) -> Problem:
    """The problem 400 of one value; detail says what was wanted."""
    return bodies.refusal([FieldError(name, "invalid", detail)], mend=MEND)


# --- The query ------------------------------------------------------------------------------------
def page(rows: models.QuerySet[Any], query: QueryDict) -> tuple[list[Any], int | None]:
    """The newest rows before `?before=ID`, `?limit=` of them, and the `before` of the next page, if there is one."""
    limit = whole(query, "limit", largest=LARGEST_PAGE) or PAGE
    before = whole(query, "before")
    if before:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: limit + 1])
    return found[:limit], found[limit - 1].pk if len(found) > limit else None


def whole(query: QueryDict, name: str, *, largest: int = LARGEST_ID) -> int | None:
    """A whole number from 1 on, or None if the query does not have the name."""
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 20 and 1 <= int(value) <= largest):
        raise refused(name, f"Wanted a whole number from 1 to {largest}.")
    return int(value)


def choice(query: QueryDict, name: str, choices: list[str]) -> str | None:
    """One of the choices, or None if the query does not have the name."""
    value = query.get(name)
    if value is not None and value not in choices:
        raise refused(name, f"Wanted one of: {', '.join(choices)}.")
    return value


def window(query: QueryDict, name: str, *, default: str) -> tuple[str, timedelta]:
    """A length of time such as 24h or 7d, as it was written and as what it is."""
    value = query.get(name, default)
    written = WINDOW.fullmatch(value)
    length = timedelta(hours=int(written[1]) * HOURS[written[2]]) if written else None
    if length is None or not timedelta(0) < length <= LONGEST_WINDOW:
        raise refused(name, f"Wanted hours or days such as 1h, 24h, 7d or 30d, from 1h to {LONGEST_WINDOW.days}d.")
    return value, length


def moment(query: QueryDict, name: str) -> datetime | None:
    """A moment in ISO 8601, UTC unless it says otherwise; None if the query does not have the name."""
    value = query.get(name)
    if value is None:
        return None
    try:
        # A plus sign in a query arrives as a space; the one between date and time may be any character.
        return moments.parse(value.strip().replace(" ", "+"))
    except moments.NoMoment as error:
        raise refused(name, str(error)) from None
