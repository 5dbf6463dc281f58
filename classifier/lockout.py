"""The lock-out after repeated failures to sign in: django-axes counts them in the database, here is what we make of it.

Five failures (SIGN_IN_FAILURES) for one user name from one address lock this pair out for 15 minutes
(SIGN_IN_LOCKOUT_MINUTES). Other people, and the same person at another address, sign in meanwhile.
"""

from __future__ import annotations

import ipaddress
import time
from datetime import datetime, timedelta
from typing import Any

import structlog
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone

from classifier.wording import local

SEEN = "seen"  # in a session: when its person last did something, to the half hour; see signing_in.py
logger = structlog.get_logger(__name__)
IPV6_HOST_BITS = 64  # whoever has one IPv6 address has the 2**64 beside it, and would never meet the lock


def address_of(request: HttpRequest) -> str | None:
    """Whose address it is that failures are counted for; None if nothing tells.

    Without BEHIND_PROXY no header is believed. With it, of X-Forwarded-For the last address, which is the one that our
    own proxy saw and wrote down; what stands before it the client may have made up.
    """
    seen = str(request.META.get("REMOTE_ADDR", ""))
    if settings.BEHIND_PROXY:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2]
        return normalised(forwarded) or normalised(seen)
    return normalised(seen)


def normalised(written: str) -> str | None:
    """An address as failures are counted for it: without port, an IPv6 one as its network of 64 bits.

    >>> normalised(" 203.0.113.7:5123"), normalised("::ffff:203.0.113.7"), normalised("[2001:db8::1:2:3]:443")
    ('203.0.113.7', '203.0.113.7', '2001:db8::')
    >>> normalised("unknown") is None
    True
    """
    host = written.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address) or found.is_loopback:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(found) >> IPV6_HOST_BITS << IPV6_HOST_BITS))


class LockoutHandler(AxesDatabaseHandler):  # type: ignore[misc]  # axes ships no types
    """Counts as django-axes does, keeps nothing of what was sent but the user name, and tells the log in our words."""

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **named: Any) -> None:
        if request is None:
            return  # a program of ours asked, not a person at a door
        sent = request.GET, request.POST
        request.GET = request.POST = QueryDict()  # axes would keep the form's fields, all but the password
        try:
            super().user_login_failed(sender, credentials, request, **named)
        finally:
            request.GET, request.POST = sent
        logger.warning(
            "sign-in failed", failures=request.axes_failures_since_start, locked_out=bool(request.axes_locked_out)
        )

    def user_logged_in(self, sender: Any, request: Any, user: Any, **named: Any) -> None:
        super().user_logged_in(sender, request, user, **named)
        request.session[SEEN] = int(time.time())
        logger.info("signed in", user=user.pk)


def attempts_of(username: str, address: str | None) -> Any:
    """What is counted of a user name from an address: a row for each browser, the newest first."""
    return AccessAttempt.objects.filter(username=username, ip_address=address).order_by("-attempt_time")


def locked_until(attempts: Any, *, now: datetime) -> datetime | None:
    """When a user name may be tried again from an address, given its attempts, the newest first; None: at once."""
    lasts: timedelta = settings.AXES_COOLOFF_TIME
    failures = 0
    for attempt in attempts.filter(attempt_time__gte=now - lasts):
        failures += attempt.failures_since_start
        if failures >= settings.AXES_FAILURE_LIMIT:
            until: datetime = attempt.attempt_time + lasts
            return until
    return None


def refuse(request: Any, _response: Any = None, credentials: dict[str, Any] | None = None) -> HttpResponse:
    """The answer to a sign-in that is locked out: a page that says until when."""
    now = timezone.now()
    username = (credentials or {}).get("username") or ""
    until = locked_until(attempts_of(username, address_of(request)), now=now) or now
    seconds = max(1, round((until - now).total_seconds()))
    shown = local(until + timedelta(seconds=59))  # rounded up, so that whoever comes back at that minute is let in
    context = {
        "title": "Locked for a while",
        "time": f"{shown:%H:%M}",
        "zone": f"{shown:%Z}",
        "minutes": -(-seconds // 60),
    }
    response = render(request, "pages/locked_out.html", context, status=429)
    response["Retry-After"] = str(seconds)
    response["Cache-Control"] = "no-store"
    return response
