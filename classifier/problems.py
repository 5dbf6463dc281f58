"""Errors under /api/ as problem details (RFC 9457): one shape, a stable code, no echo of a text, a path or SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = "5"
DATABASE_AWAY = (OperationalError, InterfaceError)


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong with the input: where, what kind, and in words."""

    field: str
    code: str
    detail: str


@dataclass
class Problem(Exception):
    """A refusal that the caller is told. `detail` says what was wanted, what was found and how to mend it."""

    status: int
    code: str
    detail: str
    errors: Sequence[FieldError] = field(default_factory=tuple)
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail

    def as_dict(self) -> dict[str, Any]:
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [vars(error) for error in self.errors],
        }

    def response(self) -> HttpResponse:
        answer = HttpResponse(json.dumps(self.as_dict()), status=self.status, content_type=CONTENT_TYPE)
        for name, value in self.headers.items():
            answer[name] = value
        answer.problem_code = self.code  # type: ignore[attr-defined]  # read by RequestMiddleware
        return answer


def database_away() -> Problem:
    return Problem(
        503,
        "database_unavailable",
        "The database cannot be reached at the moment; nothing was stored. Send the call again.",
        headers={"Retry-After": RETRY_SECONDS},
    )


def too_large(limit: int) -> Problem:
    return Problem(
        413, "body_too_large", f"A body may have {limit} bytes at most; this one has more. Send less at once."
    )


def from_exception(error: Exception) -> Problem | None:
    """The problem that an exception of Django, DRF or the database stands for; None for a defect of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestDataTooBig):
        return too_large(1024 * 1024)
    if isinstance(error, (Http404, exceptions.NotFound)):
        return Problem(404, "not_found", "There is nothing at this address. /api/docs/ lists what there is.")
    if isinstance(error, PermissionDenied):
        return Problem(403, "permission_denied", "You may not do this. Ask an administrator for the permission.")
    if isinstance(error, DATABASE_AWAY):
        return database_away()
    if isinstance(error, exceptions.ValidationError):
        return Problem(
            400, "invalid_input", "The input was refused; `errors` names each field.", list(_fields(error.detail))
        )
    if isinstance(error, exceptions.APIException):
        return _from_drf(error)
    return None


def _from_drf(error: exceptions.APIException) -> Problem:
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else "invalid_input"
    problem = Problem(error.status_code, {"error": "server_error"}.get(code, code), str(error.detail))
    if error.status_code == 401:
        problem.headers["WWW-Authenticate"] = "Api-Key"
    wait = getattr(error, "wait", None)
    if wait is not None:
        problem.headers["Retry-After"] = str(wait)  # DRF has rounded it up
    return problem


def _fields(detail: Any, name: str = "") -> list[FieldError]:
    if isinstance(detail, dict):
        return [
            found for key, value in detail.items() for found in _fields(value, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(detail, list):
        return [found for value in detail for found in _fields(value, name)]
    return [FieldError(name or "body", getattr(detail, "code", "invalid"), str(detail))]


def handle(error: Exception, _context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler. None lets a defect of ours pass on to Django, which logs it and answers 500."""
    problem = from_exception(error)
    # Not DRF's Response: that would be rendered by the view's renderer, as YAML by the schema's.
    return None if problem is None else problem.response()


# Django's own error pages: problem details under /api/, its plain pages elsewhere.
def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    known = from_exception(exception)
    return (
        known or Problem(400, "bad_request", "The request cannot be understood: check its address and headers.")
    ).response()


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api(request):
        return defaults.permission_denied(request, exception)
    return Problem(403, "permission_denied", "You may not do this. Ask an administrator for the permission.").response()


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    return Problem(404, "not_found", "There is nothing at this address. /api/docs/ lists what there is.").response()


def server_error(request: HttpRequest) -> HttpResponse:
    if not _is_api(request):
        return defaults.server_error(request)
    return Problem(
        500, "server_error", "The server failed. The failure is in its log; send the call again later."
    ).response()
