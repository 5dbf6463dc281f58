"""What a log line holds, and what it never does: no message of an exception, no address, no statement."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.db import IntegrityError, connection
from django.test import Client

from classifier.inference import NoModelInProduction
from classifier.models import Category
from tests.factories import make_key, make_version
from ticketclf import logs

ROOT = Path(__file__).resolve().parent.parent
CANARY = "My card 4711 is gone"


class Kept(logging.Handler):
    """Writes lines as JSON into a list."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs.Lines("json"))
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(self.format(record))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written]


@pytest.fixture
def kept() -> Iterator[Kept]:
    """All that is logged, at every level."""
    handler, root = Kept(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def logged(error: BaseException, kept: Kept) -> str:
    """The last line's exception, of an error that is logged as Python raised it."""
    try:
        raise error
    except type(error):
        logging.getLogger("a.library").exception("it failed")
    return str(kept.lines[-1]["exception"])


# --- Exceptions -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"could not convert string to float: {CANARY!r}"),
        KeyError(CANARY),
        TypeError(f"Field 'id' expected a number but got {CANARY!r}."),
        RuntimeError(CANARY),
        IntegrityError(f"duplicate key value; DETAIL: Key (external_id)=({CANARY}) already exists."),
        UnicodeEncodeError("ascii", CANARY, 0, 1, CANARY),
        OSError(CANARY),
    ],
    ids=lambda error: type(error).__name__,
)
def test_message_that_may_hold_data_is_left_out_and_the_place_is_told(error: Exception, kept: Kept) -> None:
    told = logged(error, kept)

    assert CANARY not in "".join(kept.written)
    assert told.endswith(f"{type(error).__name__}: (its message may hold data)")
    assert "in logged" in told


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoModelInProduction(), "NoModelInProduction: No model is in production. Train one with: manage.py train"),
        (FileNotFoundError(2, "No such file or directory", CANARY), "FileNotFoundError: No such file or directory"),
        (AttributeError("'NoneType' object has no attribute 'x'"), "'NoneType' object has no attribute 'x'"),
    ],
)
def test_message_that_holds_none_is_told(error: Exception, words: str, kept: Kept) -> None:
    told = logged(error, kept)

    assert told.endswith(words)
    assert CANARY not in told


def test_cause_and_context_are_told_in_their_order_without_their_messages(kept: Kept) -> None:
    def fail() -> None:
        try:
            try:
                raise KeyError(CANARY)
            except KeyError:
                raise ValueError(CANARY)  # noqa: B904 -- the context is what is tried
        except ValueError as error:
            raise RuntimeError(CANARY) from error

    try:
        fail()
    except RuntimeError:
        structlog.get_logger("ours").exception("it failed")

    told = kept.lines[-1]["exception"]
    order = [
        "KeyError:",
        "-- was being handled, and then came:",
        "ValueError:",
        "-- was the cause of:",
        "RuntimeError:",
    ]
    assert [told.index(part) for part in order] == sorted(told.index(part) for part in order)
    assert CANARY not in told


def test_context_that_was_suppressed_is_not_told(kept: Kept) -> None:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError:
            raise RuntimeError("x") from None
    except RuntimeError:
        logging.getLogger("ours").exception("it failed")

    assert "KeyError" not in kept.lines[-1]["exception"]


@pytest.mark.django_db(transaction=True)
def test_broken_constraint_is_told_by_name_and_the_row_is_not(kept: Kept) -> None:
    row = {"slug": CANARY.lower(), "name": CANARY}
    Category.objects.create(**row)
    try:
        Category.objects.create(**row)
    except IntegrityError:
        logging.getLogger("ours").exception("it failed")

    written = "".join(kept.written)
    assert "classifier_category" in kept.lines[-1]["exception"]
    assert CANARY.lower() not in written.lower()


def test_line_that_cannot_be_formed_is_told_of_without_its_arguments() -> None:
    record = logging.makeLogRecord({"name": "a.library", "msg": "%d", "args": (CANARY,), "filename": "here.py"})

    line = logs.Lines("json").format(record)

    assert json.loads(line)["event"] == "a line could not be formed (TypeError; a.library, here.py:0)"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_row_that_postgres_refuses_is_not_in_the_line_that_it_is_refused(kept: Kept) -> None:
    make_version(status="production")
    _, key = make_key("predict")
    body = {"tickets": [{"text": CANARY, "external_id": "canary-4711"}]}
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE classifier_ticket ADD CONSTRAINT no_canary CHECK (text NOT LIKE '%%4711%%') NOT VALID"
        )
    try:
        answer = Client(raise_request_exception=False).post(
            "/api/predict", body, content_type="application/json", headers={"authorization": f"Api-Key {key}"}
        )
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE classifier_ticket DROP CONSTRAINT no_canary")

    (line,) = [line for line in kept.lines if line["logger"] == "django.request"]
    assert (answer.status_code, line["event"]) == (500, "Internal Server Error: predict")
    assert line["exception"].endswith("IntegrityError: (its message may hold data)")
    assert "CheckViolation: 23514 classifier_ticket no_canary" in line["exception"]
    assert "4711" not in "".join(kept.written)


# --- Requests and statements ------------------------------------------------------------------------
@pytest.mark.django_db
def test_djangos_lines_name_the_route_and_no_address(kept: Kept) -> None:
    Client().get(f"/api/{CANARY}?q={CANARY}")
    Client(SERVER_NAME="canary.example.com").get("/api/health/live")
    Client(enforce_csrf_checks=True).post(
        "/admin/login/", {"username": CANARY}, headers={"origin": "http://canary.net"}
    )

    told = [line["event"] for line in kept.lines if line["logger"].startswith("django.")]
    assert told == ["Not Found: unrouted", "Bad Request: unrouted", "Forbidden: admin_door"]
    assert "4711" not in "".join(kept.written)
    assert "canary" not in "".join(kept.written)


@pytest.mark.django_db
def test_no_statement_is_logged_even_while_django_records_them(kept: Kept) -> None:
    connection.force_debug_cursor = True
    try:
        Category.objects.filter(name=CANARY).exists()
    finally:
        connection.force_debug_cursor = False

    assert kept.written == []


@pytest.mark.django_db
def test_every_line_of_a_request_has_its_id(kept: Kept) -> None:
    answers = [Client().get("/api/nothing") for _ in range(2)]

    ids = [answer["X-Request-ID"] for answer in answers]
    assert len(set(ids)) == 2
    assert [(line["logger"], line["request_id"]) for line in kept.lines] == [
        (logger, request_id) for request_id in ids for logger in ("classifier.requests", "django.request")
    ]


@pytest.mark.parametrize("given", ["0af7651916cd43dd8448eb211c80319c", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"])
def test_request_keeps_the_id_that_a_proxy_gave_it(given: str, kept: Kept) -> None:
    answer = Client().get("/api/health/live", headers={"x-request-id": given})

    assert answer["X-Request-ID"] == given
    assert kept.lines[-1]["request_id"] == given


@pytest.mark.parametrize(
    "given",
    ["192.168.100.200", "2001:db8::4711:1", f"abcdefgh.{'k' * 32}", CANARY, "short", "x" * 65, "ab\tcdefgh"],
)
def test_id_of_another_form_is_replaced(given: str, kept: Kept) -> None:
    answer = Client().get("/api/health/live", headers={"x-request-id": given})

    assert len(answer["X-Request-ID"]) == 16
    assert given not in "".join(kept.written)


# --- Levels and forms -----------------------------------------------------------------------------
def python(script: str, **variables: str) -> list[str]:
    """The lines that a process of ours writes on standard error."""
    start = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'ticketclf.settings'; django.setup()\n"
    done = subprocess.run(
        [sys.executable, "-c", start + script],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stderr.splitlines()


@pytest.mark.parametrize(("level", "written"), [("DEBUG", 3), ("INFO", 3), ("WARNING", 2), ("ERROR", 1)])
def test_log_level_holds_for_libraries_too(level: str, written: int, tmp_path: Path) -> None:
    script = "import logging\nfor name in ('info', 'warning', 'error'): getattr(logging.getLogger('kombu'), name)('x')"

    assert len(python(script, LOG_LEVEL=level, TICKETCLF_VAR=str(tmp_path))) == written


def test_warnings_and_what_nobody_catches_are_json_lines_too(tmp_path: Path) -> None:
    script = (
        "import threading, warnings; warnings.warn('old', UserWarning)\n"
        f"def fail(): raise ValueError({CANARY!r})\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join(); fail()"
    )

    lines = [json.loads(line) for line in python(script, LOG_FORMAT="json", TICKETCLF_VAR=str(tmp_path))]

    assert [line["event"] for line in lines[1:]] == ["uncaught", "uncaught"]
    assert "UserWarning: old" in lines[0]["event"]
    assert "ValueError: (its message may hold data)" in lines[1]["exception"]


def test_announcement_is_written_at_every_level(tmp_path: Path) -> None:
    script = "from ticketclf import logs; logs.announce('celery.beat', 'beat starts')"

    (line,) = python(script, LOG_LEVEL="ERROR", LOG_FORMAT="json", TICKETCLF_VAR=str(tmp_path))

    assert json.loads(line)["event"] == "beat starts"
