"""What happens to every request: measured, counted, logged and, under /api/, put on record."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django_prometheus.middleware import PrometheusAfterMiddleware, PrometheusBeforeMiddleware
from structlog.contextvars import bind_contextvars, clear_contextvars

from classifier import metrics
from classifier.models import ApiRequest, RefusalMinute

logger = structlog.get_logger(__name__)
PREDICT_PATH = "/api/predict"
ADMIN_PATH = "/admin/"
ID_HEADER = "X-Request-ID"
ID_FORM = re.compile(r"[A-Za-z0-9-]{8,64}")
Handler = Callable[[HttpRequest], HttpResponse]


class RequestMiddleware:
    """The outermost layer: it sees what every other layer answers."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        metrics.show_process()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        request.started = started  # type: ignore[attr-defined]
        request_id = id_of(request)
        # Every line of this thread has it until the next request: Django logs a refusal when this layer is done.
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response[ID_HEADER] = request_id
        seconds = time.perf_counter() - started
        handler = handler_of(request)
        metrics.count_request(
            method=request.method or "OTHER", handler=handler, status=response.status_code, seconds=seconds
        )
        if request.path_info.startswith("/api/"):
            if response.status_code >= 400:
                metrics.count_refusal(code_of(response))
            _record(request, response, handler=handler, seconds=seconds)
        # The route's name and no address: a path could carry what a person typed.
        logger.info("request", handler=handler, status=response.status_code, ms=round(seconds * 1000, 1))
        return response


def id_of(request: HttpRequest) -> str:
    """The id that a proxy or a client gave the request, if it has the form of one, or else a new one.

    Nothing with a dot, a colon or a blank has it: an address, a key and a text never come into the log as an id.
    """
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    return given if ID_FORM.fullmatch(given) else secrets.token_hex(8)


def handler_of(request: HttpRequest) -> str:
    """The name of the request's route, which bounds the number of labels; `unrouted` for what matched none."""
    match = request.resolver_match
    return "unrouted" if match is None else match.view_name or "unnamed"


def code_of(response: HttpResponse) -> str:
    """The code of the problem that a refusal is, else its status."""
    return getattr(response, "problem_code", "") or str(response.status_code)


def _record(request: HttpRequest, response: HttpResponse, *, handler: str, seconds: float) -> None:
    """One ApiRequest row for an authenticated call that has none yet; one count in its minute for an unknown caller."""
    if getattr(request, "is_recorded", False):
        return
    caller = getattr(request, "caller", None)
    try:
        if caller is None:
            if response.status_code >= 400:
                RefusalMinute.objects.count_one(code=code_of(response), now=timezone.now())
        else:
            ApiRequest.objects.create(
                key=caller.key,
                user=caller.user,
                route=handler,
                method=(request.method or "")[:7],
                status=response.status_code,
                code=getattr(response, "problem_code", ""),
                latency_ms=seconds * 1000,
            )
    except DatabaseError:
        # The answer stands: a record that cannot be written must not turn it into a failure.
        logger.exception("request not recorded", handler=handler)


def _except_predict(middleware: type) -> type:
    """The middleware, made to step aside for the predict route, of whose time it would take 14 %."""

    class ExceptPredict(middleware):  # type: ignore[misc]
        def __call__(self, request: HttpRequest) -> HttpResponse:
            if request.path_info == PREDICT_PATH:
                return self.get_response(request)  # type: ignore[no-any-return]
            return super().__call__(request)  # type: ignore[no-any-return]

    ExceptPredict.__name__ = ExceptPredict.__qualname__ = middleware.__name__
    return ExceptPredict


MeasuredBefore = _except_predict(PrometheusBeforeMiddleware)
MeasuredAfter = _except_predict(PrometheusAfterMiddleware)


class LocalTimeMiddleware:
    """Lets people type and filter times in DISPLAY_TIME_ZONE in the admin; the API speaks UTC and nothing else.

    Around the whole answer: a page is rendered after its view, and the thread's next request must not inherit the zone.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(ADMIN_PATH):
            return self.get_response(request)
        with timezone.override(ZoneInfo(settings.DISPLAY_TIME_ZONE)):
            return self.get_response(request)
