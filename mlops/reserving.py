"""What must be free before `up` starts: the var folder, of which it is the only user, and the port."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mlops import minder

if sys.platform != "win32":
    import fcntl

POLL_SECONDS = 0.1
LEFTOVERS_SECONDS = minder.GRACE_SECONDS + 10  # a machine that swaps needs longer than the grace to bury its dead


class CannotStart(RuntimeError):
    """`up` refuses to start; the message says what stands in the way and the mend."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Holds the folder's up.lock and gives its descriptor. Raises CannotStart if another process holds it.

    The minder shares the lock, so it is free only when every process of the last `up` has ended. After a kill -9 that
    takes some seconds: a lock whose holder is dead is waited for.
    """
    path = folder / "up.lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(
            f"TICKETCLF_VAR must name a folder that can be written; {folder} cannot ({error.strerror}). "
            "Name another folder or give this user the right to write there."
        ) from None
    try:
        _take(lock, path)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int, path: Path) -> None:
    deadline = time.monotonic() + LEFTOVERS_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text().strip()
            if _is_alive(holder) or time.monotonic() > deadline:
                raise CannotStart(
                    f"Only one `manage.py up` can run on {path.parent}; process {holder or '(unknown)'} does already. "
                    "Stop it, or name another folder in TICKETCLF_VAR."
                ) from None
            time.sleep(POLL_SECONDS)
        else:
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return


def _is_alive(pid: str) -> bool:
    if not pid.isdecimal():
        return True  # whoever holds the lock has not written its number yet
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and alive
    return True


def numeric(host: str) -> str:
    """The host's IP address, IPv4 if it has one: granian takes no names. Raises CannotStart if it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise CannotStart(
            f"API_HOST must be an address of this machine; {host} is unknown. Set it to 127.0.0.1."
        ) from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def check_port(host: str, port: int) -> None:
    """Raises CannotStart unless a server can listen there."""
    address = numeric(host)
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as trial:
        # As the server does: connections of the last run that are still closing are no hindrance.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as error:
            raise CannotStart(_why_not(error, host=host, port=port)) from None


def _why_not(error: OSError, *, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} must be free; another program uses it. "
            "Stop that one, or name another port in API_PORT, such as API_PORT=8001."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has. Name a port above 1023 in API_PORT, such as 8000."
    return f"API_HOST must be an address of this machine; {host} is not ({error.strerror}). Set it to 127.0.0.1."
