"""Dependencies that are away, or hang, for real: a database, a broker and an MLflow to point the program at."""

from __future__ import annotations

import contextlib
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from mlops.broker import Broker, embedded


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never says a word, as one that is frozen does."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield int(server.getsockname()[1])


def database_at(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points every new connection, which each question makes, at a Postgres there; the test's own stays."""
    there = {
        "ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": str(port), "NAME": "none",
        "USER": "none", "PASSWORD": "none", "OPTIONS": {},
    }  # fmt: skip
    for name, value in there.items():
        monkeypatch.setitem(connections.settings["default"], name, value)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[tuple[Broker, int]]:
    """A real broker, and the number of its process."""
    found = embedded(folder)
    with subprocess.Popen(found.command, stdout=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 10
        while not found.answers():
            assert time.monotonic() < deadline, "Valkey did not start within 10 s"
        yield found, server.pid
        server.terminate()


@contextlib.contextmanager
def web_server(status: int) -> Iterator[str]:
    """The address of a server that answers /health with the status, and everything else with 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
