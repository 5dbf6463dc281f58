"""Who calls and what they may do: API keys by header, people by their session, scopes for both."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from classifier.models import ApiKey, Scope, User
from classifier.problems import Problem

HEADER = "HTTP_AUTHORIZATION"
FORM = re.compile(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}")  # a NUL or a quote never reaches the database
KEY_SECONDS = 0.5  # how long a key that was revoked may still be taken for good
MAX_CACHED = 1000  # only valid keys are kept, so nobody can fill it from outside

_cache: dict[str, tuple[float, ApiKey]] = {}


@dataclass(frozen=True)
class Caller:
    """Whoever sent the call: a key or a signed-in person."""

    key: ApiKey | None = None
    user: User | None = None

    def may(self, *scopes: str) -> bool:
        """Whether one of the scopes is the caller's; no scopes ask for nobody in particular."""
        if not scopes:
            return True
        if self.key is not None:
            return any(scope in self.key.scopes for scope in scopes)
        return self.user is not None and any(self.user.has_perm(f"classifier.scope_{scope}") for scope in scopes)


def unauthenticated(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers={"WWW-Authenticate": "Api-Key"})


def key_of(request: HttpRequest) -> ApiKey | None:
    """The valid key that the header carries, at most half a second old; None without such a header.

    Raises Problem 401 for a header of another form and for a key that is unknown, revoked or expired.
    """
    header = request.META.get(HEADER)
    if not header:
        return None
    scheme, _, given = header.partition(" ")
    given = given.strip()
    if scheme.lower() != "api-key" or not FORM.fullmatch(given):
        raise unauthenticated(
            "malformed_authorization", "The Authorization header must read `Api-Key KEY`; this one does not."
        )
    now = time.monotonic()
    cached = _cache.get(given)
    if cached is not None and cached[0] > now:
        return cached[1]
    key = _look_up(given)
    if len(_cache) >= MAX_CACHED:
        _cache.clear()
    _cache[given] = (now + KEY_SECONDS, key)
    key.touch(timezone.now())
    return key


def _look_up(given: str) -> ApiKey:
    try:
        return ApiKey.objects.valid(given)
    except ApiKey.DoesNotExist:
        _cache.pop(given, None)
        raise unauthenticated(
            "invalid_key", "The API key is unknown, revoked or expired. Make one with: manage.py create_api_key NAME"
        ) from None


def forget_keys() -> None:
    """Empties the cache of this process: for tests."""
    _cache.clear()


def remember(request: HttpRequest, caller: Caller) -> None:
    """Leaves the caller on Django's request, where RequestMiddleware finds it."""
    request.caller = caller  # type: ignore[attr-defined]


class ApiKeyAuthentication(BaseAuthentication):
    """DRF's door to key_of."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        key = key_of(request._request)
        if key is None:
            return None
        remember(request._request, Caller(key=key))
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema tells of the key."""

    target_class = "classifier.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Api-Key KEY`"}


class HasScope(BasePermission):
    """Lets a caller pass who is known and has one of the view's `scopes`; denies everybody else."""

    def has_permission(self, request: Request, view: Any) -> bool:
        demand(caller_of(request), *getattr(view, "scopes", ()))
        return True


def caller_of(request: Request) -> Caller:
    """Who DRF found the caller to be. Raises Problem 401 if nobody."""
    if isinstance(request.auth, ApiKey):
        return Caller(key=request.auth)
    if isinstance(request.user, User):
        caller = Caller(user=request.user)
        remember(request._request, caller)
        return caller
    raise unauthenticated("not_authenticated", "A key is needed: send the header `Authorization: Api-Key KEY`.")


def identify(request: HttpRequest) -> Caller:
    """Who calls, for a view that takes the short path past DRF. Raises Problem 401 if nobody."""
    key = key_of(request)
    caller = Caller(key=key) if key is not None else _signed_in(request)
    remember(request, caller)
    return caller


def _signed_in(request: HttpRequest) -> Caller:
    wrapped = Request(request)
    found = SessionAuthentication().authenticate(wrapped)  # checks the CSRF token as well
    if found is None:
        raise unauthenticated("not_authenticated", "A key is needed: send the header `Authorization: Api-Key KEY`.")
    return Caller(user=found[0])


def demand(caller: Caller, *scopes: str) -> None:
    """Raises Problem 403 unless the caller has one of the scopes."""
    if not caller.may(*scopes):
        wanted = " or ".join(Scope(scope).value for scope in scopes)
        held = ", ".join(caller.key.scopes) if caller.key is not None else "none of these permissions"
        raise Problem(403, "scope_missing", f"This needs the scope {wanted}; the caller has {held}. Use another key.")
