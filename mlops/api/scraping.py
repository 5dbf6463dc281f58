"""GET /metrics: what Prometheus scrapes, for a key of scope metrics or for whoever is on this machine."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import time

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from prometheus_client.exposition import choose_encoder

from classifier import authentication, problems
from classifier.authentication import HEADER, Caller
from classifier.models import Scope
from classifier.problems import RETRY_SECONDS, Problem
from mlops import health
from mlops import metrics as figures

OPENMETRICS = re.compile(r"application/openmetrics-text\s*;\s*version=1\.0\.0\s*(;|,|$)")
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
TRUSTED_SECONDS = 3600.0  # how long a key counts that the database knew, while the database cannot be asked

_trusted: dict[bytes, float] = {}


def metrics(request: HttpRequest) -> HttpResponse:
    """All figures, as text or, if the Accept header asks for it, as OpenMetrics."""
    try:
        if request.method not in {"GET", "HEAD"}:
            raise Problem(405, "method_not_allowed", "Send a GET.", headers={"Allow": "GET, HEAD"})
        if not is_from_here(request):
            authorise(request)
    except Problem as problem:
        return problem.response()
    # Not the header itself: prometheus_client fails over a version that is no number, and repeats what it is sent.
    wants_openmetrics = OPENMETRICS.search(request.headers.get("Accept", "")) is not None
    encode, content_type = choose_encoder("application/openmetrics-text; version=1.0.0" if wants_openmetrics else "")
    return HttpResponse(encode(figures.registry()), content_type=content_type)


def is_from_here(request: HttpRequest) -> bool:
    """Whether a program on this machine asks, itself: through a proxy on this machine everybody would seem to."""
    if settings.BEHIND_PROXY or any(name in request.META for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def authorise(request: HttpRequest) -> None:
    """Raises Problem 401 or 403 unless the key has the scope.

    While the database is away no key can be looked up, and that is when the figures are wanted: a key that was good
    within the last hour is believed then.
    """
    given = hashlib.sha256(request.META.get(HEADER, "").encode()).digest()
    words = health.database()
    if words != health.OK:
        if time.monotonic() < _trusted.get(given, 0.0):
            return
        raise Problem(503, "database_unavailable", words, headers={"Retry-After": RETRY_SECONDS})
    try:
        key = authentication.key_of(request)
    except DatabaseError:  # it went away in between
        raise problems.database_away() from None
    except Problem:
        _trusted.pop(given, None)
        raise
    if key is None:
        raise authentication.unauthenticated(
            "not_authenticated",
            "A key of scope metrics is needed: send the header `Authorization: Api-Key KEY`. "
            "Make one with: manage.py create_api_key NAME --scope metrics",
        )
    authentication.demand(Caller(key=key), Scope.METRICS)
    _trusted[given] = time.monotonic() + TRUSTED_SECONDS


def forget_trusted() -> None:
    """Empties the memory of this process: for tests."""
    _trusted.clear()
