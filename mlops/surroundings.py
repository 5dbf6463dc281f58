"""What surrounds a talk with MLflow: its environment, its silence, its lock, and words for what went wrong.

The talk itself is tracking.py; nothing here imports mlflow.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import io
import logging
import os
import re
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from django.conf import settings

# Ours unless the environment says otherwise. MLflow's own are 120 s and 7 tries: an hour of waiting for a dead server.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PGCONNECT_TIMEOUT": "5",
}
REST = r"[^\s'\",;)]*"  # what belongs to a path or an address from here on
PLACE = re.compile(rf"(?<![\w/])(?:[a-z][a-z0-9+.-]*:)?/+[^\s'\"/]{REST}")  # a path from the root, or an address


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps away what MLflow prints (standard output belongs to a command's result) and its libraries' warnings."""
    nowhere, retries = io.StringIO(), logging.getLogger("urllib3.connectionpool")
    level = retries.level
    retries.setLevel(logging.ERROR)  # that it tries again is no news: that it gave up is
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            retries.setLevel(level)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Sets MLflow's environment, and takes back afterwards what changed in it and in the import path.

    MLflow writes its address into the environment; left there, it would reach every process that is started from
    here, whatever that one's own settings say.
    """
    before, path = dict(os.environ), list(sys.path)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Holds a lock beside MLflow's SQLite file, so that only one process makes it; elsewhere nothing is held."""
    if not settings.MLFLOW_TRACKING_URI.startswith("sqlite:"):
        yield
        return
    file = Path(settings.MLFLOW_TRACKING_URI.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (file.parent / f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed
        yield


def identity() -> tuple[str, int, int]:
    """The address of MLflow and, for a SQLite file, which file it is: one that was removed and made anew is another."""
    uri = settings.MLFLOW_TRACKING_URI
    if not uri.startswith("sqlite:"):
        return (uri, 0, 0)
    try:
        found = os.stat(uri.removeprefix("sqlite:///"))
    except OSError:
        return (uri, 0, 0)
    return (uri, found.st_dev, found.st_ino)


def address() -> str:
    """Where MLflow is, as rows and callers may be told: scheme and host, and no path of this machine or of a server."""
    uri = settings.MLFLOW_TRACKING_URI
    scheme, _, rest = uri.partition("://")
    host = re.split(r"[/?#]", rest.rpartition("@")[2])[0]  # the name and password first: they may have a slash in them
    if scheme == "sqlite":
        return "its SQLite file"
    return f"{scheme}://{host}" if host else "what MLFLOW_TRACKING_URI names"


def address_in_full() -> str:
    """The same for our own log: everything but name and password."""
    scheme, _, rest = settings.MLFLOW_TRACKING_URI.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def reason(error: Exception) -> str:
    """What went wrong, in a line: the system's words where it was the network or the disk, else the error's first."""
    cause: BaseException | None = error
    words = (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
    words = words.partition("(Caused by ")[2].removesuffix(")") or words  # before it stands the whole address
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            words = cause.strerror
        elif getattr(cause, "orig", None) is not None:  # SQLAlchemy's, around the database's own
            words = str(cause.orig).strip().splitlines()[0]  # type: ignore[attr-defined]
        cause = cause.__cause__ or cause.__context__
    return (words if len(words) <= 200 else words[:199] + "…").rstrip(".") + "."


def unreachable(error: BaseException | None) -> bool:
    """Whether the network, the disk or the database is what failed, and not MLflow itself.

    OperationalError by its name, which PEP 249 gives to that class of every database's driver.
    """
    while error is not None:
        if isinstance(error, OSError) or type(error).__name__ == "OperationalError":
            return True
        error = error.__cause__ or error.__context__
    return False


def without_places(text: str) -> str:
    """A text for rows and callers: MLflow's own words may name files of this machine and addresses."""
    file = settings.MLFLOW_TRACKING_URI.removeprefix("sqlite:///")
    for place in (file, str(settings.MLFLOW_ARTIFACTS), str(settings.VAR)):  # first, for they may have spaces in them
        if place.startswith("/") and len(place) > 1:
            text = re.sub(re.escape(place) + REST, "…", text)
    return PLACE.sub("…", text)


def without_password(text: str) -> str:
    password = urlsplit(settings.MLFLOW_TRACKING_URI).password
    for form in (password, unquote(password or "")):
        text = text.replace(form, "…") if form else text
    return text


class NotThere(RuntimeError):
    """MLflow does not answer; the message says why in a line, without a path or a password."""


def knock(*, seconds: float) -> None:
    """Asks MLflow for a sign of life, in about the seconds and without importing it. Raises NotThere.

    A SQLite file that is not there yet is no failure: the first training makes it.
    """
    scheme, _, rest = settings.MLFLOW_TRACKING_URI.partition("://")
    try:
        if scheme == "sqlite":
            _knock_at_file(Path(rest.removeprefix("/")).absolute())
        elif scheme in {"http", "https"}:
            _knock_at_server(settings.MLFLOW_TRACKING_URI, seconds=seconds)
        else:
            with psycopg.connect(f"postgresql://{rest}", connect_timeout=int(seconds)) as connection:
                connection.execute("SELECT 1")
    except (OSError, http.client.HTTPException, sqlite3.Error, psycopg.Error) as error:
        raise NotThere(without_places(reason(error))) from None


def _knock_at_file(file: Path) -> None:
    if not file.exists():
        nearest = next(folder for folder in file.parents if folder.exists())
        if not os.access(nearest, os.W_OK):
            raise NotThere("Its file is not there, and cannot be made.")
        return
    with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


def _knock_at_server(address: str, *, seconds: float) -> None:
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    with contextlib.closing(kind(parts.hostname or "localhost", parts.port, timeout=seconds)) as client:
        client.request("GET", f"{parts.path.rstrip('/')}/health")
        status = client.getresponse().status
    if status != http.HTTPStatus.OK:
        raise NotThere(f"It answers with status {status}.")
