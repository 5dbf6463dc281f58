"""The body of POST /api/predict, read and checked by hand: a serializer would cost 9 % of the route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifier import bodies
from classifier.ml.text import normalise
from classifier.problems import FieldError, Problem

MAX_TICKETS = 100
MAX_CHARACTERS = 10_000
MAX_EXTERNAL_ID = 200
ITEM_FIELDS = frozenset({"text", "external_id"})
SWITCHES = {"1": True, "true": True, "0": False, "false": False, "": False}


@dataclass(frozen=True)
class TicketBody:
    """The tickets of one call."""

    texts: list[str]
    external_ids: list[str | None]


def read_switch(query: Mapping[str, str], name: str) -> bool:
    """A switch of the query string, `?name=1`. Raises Problem 400 for another value."""
    value = query.get(name)
    if value is None:
        return False
    if value.lower() not in SWITCHES:
        wrong = FieldError(name, "not_a_switch", "Write 1 or 0.")
        raise Problem(400, "invalid_input", f"The query's {name} must be 1 or 0; it is neither.", [wrong])
    return SWITCHES[value.lower()]


def read_tickets(body: bytes) -> TicketBody:
    """The tickets of a body. Raises Problem 400 that names every wrong field; the whole call is refused then."""
    data = bodies.read_json(body)
    if not isinstance(data, dict):
        raise _refusal([FieldError("body", "not_an_object", 'Wanted an object, {"tickets": ["..."]}.')])
    errors = [
        FieldError(bodies.shown(name), "unknown_field", "Only `tickets` is known here.")
        for name in data
        if name != "tickets"
    ]
    items = data.get("tickets")
    if not isinstance(items, list):
        errors.append(FieldError("tickets", "not_a_list", "Wanted a list of 1 to 100 tickets."))
        raise _refusal(errors)
    if not 1 <= len(items) <= MAX_TICKETS:
        errors.append(FieldError("tickets", "wrong_number", f"Wanted 1 to {MAX_TICKETS} tickets; found {len(items)}."))
        raise _refusal(errors)
    texts: list[str] = []
    external_ids: list[str | None] = []
    for position, item in enumerate(items):
        text, external_id = (item, None) if isinstance(item, str) else _read_object(item, position, errors)
        if isinstance(item, (str, dict)):
            check_text(text, f"tickets[{position}]" if isinstance(item, str) else f"tickets[{position}].text", errors)
        texts.append(text)
        external_ids.append(external_id)
    _check_twice(external_ids, errors)
    if errors:
        raise _refusal(errors)
    return TicketBody(texts=texts, external_ids=external_ids)


def _read_object(item: Any, position: int, errors: list[FieldError]) -> tuple[Any, str | None]:
    where = f"tickets[{position}]"
    if not isinstance(item, dict):
        errors.append(FieldError(where, "wrong_type", 'Wanted a text or {"text": "...", "external_id": "..."}.'))
        return "", None
    for name in item.keys() - ITEM_FIELDS:
        errors.append(
            FieldError(
                f"{where}.{bodies.shown(name)}", "unknown_field", "Only `text` and `external_id` are known here."
            )
        )
    external_id = item.get("external_id")
    if external_id is not None and not _is_id(external_id):
        errors.append(
            FieldError(
                f"{where}.external_id",
                "invalid_external_id",
                f"Wanted a text of 1 to {MAX_EXTERNAL_ID} printable characters, or none at all.",
            )
        )
        external_id = None
    return item.get("text"), external_id


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value.strip()) > 0 and len(value) <= MAX_EXTERNAL_ID and value.isprintable()


def check_text(text: Any, where: str, errors: list[FieldError]) -> None:
    """Adds what is wrong with a ticket's text, if anything is."""
    if not isinstance(text, str):
        errors.append(FieldError(where, "wrong_type", "Wanted a text."))
    elif len(text) > MAX_CHARACTERS:
        errors.append(
            FieldError(where, "too_long", f"Wanted at most {MAX_CHARACTERS} characters; found {len(text)}. Shorten it.")
        )
    elif "\x00" in text:
        errors.append(FieldError(where, "nul_character", "A NUL character cannot be stored. Remove it."))
    elif not text.isascii() and not bodies.is_unicode(text):
        errors.append(
            FieldError(where, "lone_surrogate", "Half of a surrogate pair is no character. Remove or complete it.")
        )
    elif not normalise(text):
        errors.append(FieldError(where, "blank", "Wanted a text with at least one visible character."))


def _check_twice(external_ids: list[str | None], errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for position, external_id in enumerate(external_ids):
        if external_id is not None and external_id in seen:
            where = f"tickets[{position}].external_id"
            errors.append(
                FieldError(where, "repeated_external_id", "Another ticket of this call has the same external_id.")
            )
        elif external_id is not None:
            seen.add(external_id)


def _refusal(errors: list[FieldError]) -> Problem:
    return bodies.refusal(errors, mend="Nothing was answered or stored; mend the call and send it again.")
