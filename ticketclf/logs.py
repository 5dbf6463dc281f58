"""How log lines are written: structlog over the standard library's logging, so that all lines look alike.

No line holds what a person wrote or sent: of a request the route's name instead of its address, of an exception the
place and the type, and its message only where that is known to hold no data.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import threading
import time
import traceback
from http.client import responses
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

OURS = ("classifier.", "mlops.", "ticketclf.")  # their messages say wish, fact and mend, and hold no ticket's text
# Their messages are made of names in the code. Not KeyError, ValueError and TypeError, which repeat what they were
# given; nor the database's, which repeat the row.
OF_CODE = (AttributeError, ImportError, NameError, NotImplementedError, MemoryError, RecursionError, ZeroDivisionError)
CONSTRAINT = ("UNIQUE", "CHECK", "NOT NULL", "FOREIGN KEY")  # how SQLite's message begins where it only names columns


# --- What a line says -------------------------------------------------------------------------------
def tell_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Of Django's own lines about a request: the status in words and the route. They name the address otherwise."""
    record = event.get("_record")
    request: Any = getattr(record, "request", None)
    if hasattr(request, "resolver_match"):
        match = request.resolver_match
        phrase = responses.get(getattr(record, "status_code", 0), "Request")
        event["event"] = f"{phrase}: {'unrouted' if match is None else match.view_name}"
    return event


def tell_task(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Of Celery's own lines about a task: its id and name as fields; of a failure no message and no arguments."""
    record = event.get("_record")
    data = getattr(record, "data", None)
    if isinstance(data, dict) and record is not None and record.name.startswith("celery."):
        event.setdefault("task_id", data.get("id"))
        event.setdefault("task", data.get("name"))
        if "traceback" in data:
            event["event"] = f"Task {data.get('name')}[{data.get('id')}] {data.get('description', 'failed')}"
    elif record is not None and record.name == "celery.worker.consumer.consumer":
        event["event"] = str(event["event"]).split("\n")[0]  # of a message that it does not know the body follows
    return event


def tell_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replaces exc_info by the traceback in words, without the messages that may hold data."""
    found = event.pop("exc_info", None)
    if isinstance(found, BaseException):
        found = (type(found), found, found.__traceback__)
    elif found and not isinstance(found, tuple):
        found = sys.exc_info()
    if found and found[1] is not None:
        event["exception"] = in_words(found[1])
    return event


def in_words(error: BaseException) -> str:
    """The traceback of an error and of those that led to it, the first of them first."""
    told = _one(error)
    seen = {id(error)}
    found: BaseException | None = error
    while found is not None:
        if found.__cause__ is not None:
            found, so = found.__cause__, "was the cause of"
        else:
            found, so = (None if found.__suppress_context__ else found.__context__), "was being handled, and then came"
        if found is None or id(found) in seen:
            break
        seen.add(id(found))
        told = f"{_one(found)}\n-- {so}:\n{told}"
    return told


def _one(error: BaseException) -> str:
    return f"{''.join(traceback.format_tb(error.__traceback__))}{type(error).__qualname__}: {message(error)}"


def message(error: BaseException) -> str:
    """What may be told of an error's message.

    >>> message(ValueError("could not convert string to float: 'My card 4711'"))
    '(its message may hold data)'
    >>> message(FileNotFoundError(2, "No such file or directory", "letters.csv"))
    'No such file or directory'
    """
    if type(error).__module__.startswith(OURS) or isinstance(error, OF_CODE):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    for name in ("sqlstate", "sqlite_errorname"):  # of psycopg's and sqlite3's; Django's own carry theirs as the cause
        code = getattr(error, name, None)
        if code:
            return f"{code} {_constraint(error)}".rstrip()
    return "(its message may hold data)"


def _constraint(error: BaseException) -> str:
    """The constraint that a row broke, by name; never the row."""
    diagnosis = getattr(error, "diag", None)
    if diagnosis is not None:
        return " ".join(filter(None, (diagnosis.table_name, diagnosis.column_name, diagnosis.constraint_name)))
    return str(error) if str(error).startswith(CONSTRAINT) else ""


# --- How it is written ------------------------------------------------------------------------------
# Of a library the least level that is written, where LOG_LEVEL asks for less. mlflow and alembic tell of each migration
# at INFO, matplotlib of each font. At DEBUG the database's logger writes every statement with its parameters, which are
# texts, urllib3 every address, and Celery every message with its arguments; Django tells of each template variable that
# is not there, redis of each connection what Valkey lacks.
# axes tells of each failure to sign in what classifier/lockout.py tells in our words.
LEAST = {
    "ERROR": ("axes",),
    "WARNING": ("alembic", "mlflow", "matplotlib", "django.utils.autoreload", "django.db.backends", "urllib3"),
    "INFO": ("django", "celery.pool", "celery.concurrency", "celery.utils.functional", "kombu", "amqp", "redis"),
}
SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class Lines(structlog.stdlib.ProcessorFormatter):
    """Makes a line of a record; form is "console" or "json". granian's own lines come here as well."""

    def __init__(self, form: str) -> None:
        renderer: Any = (
            structlog.processors.JSONRenderer(default=str)
            if form == "json"
            else structlog.dev.ConsoleRenderer(colors=False)
        )
        own = [tell_request, tell_task, tell_exception, self.remove_processors_meta, renderer]
        super().__init__(processors=own, foreign_pre_chain=SHARED)

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:  # noqa: BLE001 -- Python itself would write the record's arguments, as they are
            place = f"{record.name}, {record.filename}:{record.lineno}"
            return json_line(f"a line could not be formed ({type(error).__name__}; {place})")


def configuration(*, level: str, form: str) -> dict[str, Any]:
    """The dictionary that Django's LOGGING takes; form is "console" or "json"."""
    asked = getattr(logging, level)
    loggers: dict[str, dict[str, Any]] = {
        name: {"level": max(asked, getattr(logging, least))} for least, names in LEAST.items() for name in names
    }
    # Django's own handlers would write lines of another form; what runserver tells of a request has path and query.
    loggers["django"]["handlers"] = []
    loggers["django.server"] = {"handlers": [], "level": "CRITICAL", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": Lines, "form": form}},
        # Standard error: standard output belongs to what a command was asked for.
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": loggers,
    }


def configure(settings: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG: the configuration and, in JSON, also what Python says on standard error by itself."""
    logging.config.dictConfig(settings)
    if settings["formatters"]["lines"]["form"] == "json":
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda found: _log_uncaught(found.exc_type, found.exc_value, found.exc_traceback)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, place: TracebackType | None) -> None:
    logging.getLogger("ticketclf").critical("uncaught", exc_info=(kind, error or kind(), place))


def announce(name: str, text: str) -> None:
    """A line that is written at every log level: somebody waits for it."""
    logger = logging.getLogger(name)
    logger.handle(logger.makeRecord(name, logging.INFO, "", 0, text, (), None))


def json_line(text: str) -> str:
    """A line as the JSON form has it, for where no logger can be called: in a signal handler, in another process."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"event": text, "level": "info", "logger": "ticketclf", "timestamp": stamp})


def configure_structlog() -> None:
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


configure_structlog()
