"""The JSON body of a call, read by hand and safe against whatever is sent; each door says which fields it knows."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from django.http import HttpRequest

from classifier import problems
from classifier.problems import FieldError, Problem

MAX_BODY = 1024 * 1024  # bytes
MAX_ERRORS = 20  # enough to mend a batch by; a hundred would only repeat themselves


def read_body(request: HttpRequest) -> bytes:
    """The bytes of a JSON body of at most 1 MiB. Raises Problem 415 and 413 before anything is read."""
    if request.content_type != "application/json":
        raise Problem(415, "not_json", "The Content-Type must be application/json; this one is not.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_BODY:
        raise problems.too_large(MAX_BODY)
    return request.body


def read_json(body: bytes) -> Any:
    """The JSON of a body. Raises Problem 400 for anything that is no UTF-8 JSON, is too deep, or holds NaN."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise Problem(
            400, "not_utf8", "The body must be JSON in UTF-8; this one has bytes that are not UTF-8."
        ) from None
    except RecursionError:
        raise Problem(
            400, "json_too_deep", "The body is nested too deeply; a list of tickets has two levels."
        ) from None
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise Problem(400, "malformed_json", f"The body must be JSON; this one cannot be read{where}.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def read_object(request: HttpRequest, *, fields: Collection[str], example: str) -> dict[str, Any]:
    """The object that a body holds. Raises Problem 400 for another thing or a field that is not among `fields`.

    example: what the body should look like, for the error.
    """
    data = read_json(read_body(request))
    if not isinstance(data, dict):
        raise refusal([FieldError("body", "not_an_object", f"Wanted an object, {example}.")])
    known = " and ".join(f"`{name}`" for name in fields)
    unknown = [
        FieldError(shown(name), "unknown_field", f"Only {known} can be sent here.") for name in data.keys() - fields
    ]
    if unknown:
        raise refusal(unknown)
    return data


def is_unicode(text: str) -> bool:
    """Whether a text is made of characters: JSON may hold half of a surrogate pair, which no database stores."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """A field's name as an error may show it: short, and plain ASCII."""
    return name[:40].encode("ascii", "replace").decode("ascii")


def refusal(
    errors: Sequence[FieldError], *, mend: str = "Nothing was stored; mend the call and send it again."
) -> Problem:
    """The Problem 400 of fields that are wrong: in words the first one, in `errors` the first twenty."""
    first = errors[0]
    more = f" ({len(errors)} errors in all)" if len(errors) > 1 else ""
    return Problem(400, "invalid_input", f"{first.field}: {first.detail}{more} {mend}", errors[:MAX_ERRORS])
