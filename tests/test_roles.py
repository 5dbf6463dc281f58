"""Every address with every method by everybody: what is open to whom, held against tests/matrix.py."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import transaction
from django.template.backends.django import Template
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from classifier import authentication
from classifier.models import ApiKey, Prediction, Ticket, User
from mlops import roles
from mlops.imports.looking import Options
from mlops.models import ImportJob, TrainingRun
from tests import factories
from tests.classifier.test_admin import PAGES as ADMIN_PAGES
from tests.classifier.test_admin import fill, name_of
from tests.matrix import EXPECTED, KEYS, METHODS, NOBODY, PEOPLE, SUPERUSER, TABLE, Row

ELSEWHERE = "198.51.100.7"  # from this machine itself /metrics is open


# --- What there is --------------------------------------------------------------------------------
def walk(patterns: list[Any], path: str = "", space: str = "") -> Iterator[tuple[str, str]]:
    """Name and path of each route. One without a name is called by its path."""
    for pattern in patterns:
        whole = path + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{pattern.namespace}:" if pattern.namespace else ""
            yield from walk(pattern.url_patterns, whole, space + inner)
        elif isinstance(pattern, URLPattern):
            yield space + pattern.name if pattern.name else unnamed(whole), whole


def unnamed(path: str) -> str:
    of_a_model = re.fullmatch(r"admin/(\w+)/(\w+)/(<path:object_id>/)", path)
    return "admin:{}_{} {}".format(*of_a_model.groups()) if of_a_model else path


def routes() -> dict[str, str]:
    """Path by name. The second route of a path is reached by nobody, and left out."""
    found = {path: name for name, path in reversed([*walk(get_resolver().url_patterns)])}
    return {name: path for path, name in found.items()}


ROUTES = routes()


def test_table_names_every_route_and_no_other():
    assert set(ROUTES) - set(TABLE) == set(), "write who may into tests/matrix.py"
    assert set(TABLE) - set(ROUTES) == EXPECTED, "the table names what is not there, or EXPECTED what is"


def test_table_names_every_page_of_rows():
    named = {name.removesuffix("_changelist") for name in TABLE if name.endswith("_changelist")}

    assert named == {f"admin:{label.replace('.', '_')}" for label in ADMIN_PAGES}


# --- Everybody, and rows to act on ----------------------------------------------------------------
class World:
    """Somebody of each role, a key of each scope, a row of each model; one state that all tests share."""

    def __init__(self) -> None:
        self.client = Client()  # one for all: each looks through the static files when it is first used
        Group.objects.filter(name__in=roles.ROLES).delete()
        roles.make(apps)
        fill()
        factories.make_version(status="production")
        ImportJob.objects.update(options=dataclasses.asdict(Options()))
        self.cookies = {name: self._sign_in(name) for name in PEOPLE if name != NOBODY}
        self.keys = {name: factories.make_key(name.removeprefix("key "), name=name)[1] for name in KEYS}
        someone = User.objects.get(username="person 0")
        self.arguments = {
            "ticket_id": Ticket.objects.first().pk,
            "prediction_id": Prediction.objects.first().pk,
            "id": someone.pk,
            "app_label": "classifier",
            "content_type_id": 1,
            "url": "nothing/here",
            "what": "tickets",
        }

    def _sign_in(self, name: str) -> str:
        user = factories.make_user(name.replace(" ", "_"), is_superuser=name == SUPERUSER)
        user.groups.set(Group.objects.filter(name=name))
        client = Client()
        client.force_login(user)
        return client.cookies[settings.SESSION_COOKIE_NAME].value

    def address(self, name: str) -> str:
        """The route's address, of a row that there is."""
        path = ROUTES[name].replace("^", "").replace("$", "")
        return "/" + re.sub(
            r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>(?:[^()]*)\)",
            lambda found: str(self._value(found.group(1) or found.group(2), path)),
            path,
        )

    def _value(self, parameter: str, path: str) -> Any:
        label = re.match(r"admin/(\w+)/(\w+)/", path)
        if parameter == "object_id" and label is not None and ".".join(label.groups()) in ADMIN_PAGES:
            model = ADMIN_PAGES[".".join(label.groups())].model
            return name_of(model.objects.order_by("pk").first() if model is not ApiKey else model.objects.first())
        if parameter == "number":
            number = {"api/runs": TrainingRun, "imports": ImportJob}
            return next((model.objects.first().pk for start, model in number.items() if path.startswith(start)), 1)
        return self.arguments.get(parameter, 1)

    def ask(self, method: str, address: str, caller: str) -> Any:
        """The answer; whatever it wrote is taken back."""
        client = self.client
        client.cookies.clear()
        headers = {}
        if caller in self.cookies:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.cookies[caller]
        elif caller in self.keys:
            headers["authorization"] = f"Api-Key {self.keys[caller]}"
        is_api = address.startswith("/api/")
        body = {"data": json.dumps({}), "content_type": "application/json"} if is_api else {}
        with transaction.atomic():
            answer = getattr(client, method.lower())(
                address, headers=headers, REMOTE_ADDR=ELSEWHERE, **({} if method == "GET" else body)
            )
            transaction.set_rollback(True)
        return answer


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    with django_db_blocker.unblock(), transaction.atomic(), pytest.MonkeyPatch.context() as patch:
        # Not how a page looks is asked here but who may open it; forming it takes nine tenths of the time.
        patch.setattr(Template, "render", lambda *_given, **_named: "")
        patch.setattr(admin.site, "each_context", lambda _request: {})
        patch.setattr(logging.root.manager, "disable", logging.CRITICAL)
        authentication.forget_keys()
        yield World()
        authentication.forget_keys()
        transaction.set_rollback(True)


# --- The matrix -----------------------------------------------------------------------------------
def outcome(answer: Any) -> str:
    if answer.status_code in {401, 403}:
        return "closed"
    if answer.status_code == 302 and re.match(r"/(sign-in|admin/login/)\?next=", answer.url):
        return "closed"
    return "no such method" if answer.status_code == 405 else "open"


def callers(name: str) -> list[str]:
    takes_keys = ROUTES[name].startswith(("api/", "metrics"))
    return [*PEOPLE, *KEYS] if takes_keys else [*PEOPLE]


def wrong(row: Row, method: str, caller: str, found: str) -> bool:
    if method in row.methods:
        return found != ("open" if caller in row.methods[method] else "closed")
    return found == "open" and caller not in row.anybody


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in TABLE if name in ROUTES])
def test_open_to_whom_the_table_says_and_to_nobody_else(world, name, settings):
    settings.EMBEDDED_DATABASE = True  # else nobody may make sample data
    address = world.address(name)
    found = {
        (method, caller): outcome(world.ask(method, address, caller)) for method in METHODS for caller in callers(name)
    }

    assert {
        f"{method} {address} by {caller} is {said}"
        for (method, caller), said in found.items()
        if wrong(TABLE[name], method, caller, said)
    } == set()
