"""Fixtures of the API's tests: a version that answers, a key, and caches that start empty."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

# Our own modules are imported in the fixtures: this file is read before Django is ready.


@pytest.fixture(autouse=True)
def _empty_caches() -> Iterator[None]:
    from classifier import authentication, inference

    inference.forget_serving()
    authentication.forget_keys()
    yield
    inference.forget_serving()
    authentication.forget_keys()


@pytest.fixture
def production(db: None) -> Any:
    from tests import factories

    return factories.make_version(status="production")


@pytest.fixture
def key(db: None) -> str:
    from tests import factories

    return factories.make_key("predict")[1]


Post = Callable[..., HttpResponse]


@pytest.fixture
def post(key: str) -> Post:
    """Posts a body to /api/predict with a key of scope predict."""

    def send(body: Any, *, query: str = "", with_key: str | None = key, **headers: str) -> HttpResponse:
        content = body if isinstance(body, (bytes, str)) else json.dumps(body)
        authorization = {} if with_key is None else {"authorization": f"Api-Key {with_key}"}
        return Client().post(
            f"/api/predict{query}", content, content_type="application/json", headers={**authorization, **headers}
        )

    return send
