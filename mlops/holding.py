"""Files that whoever works on a row holds: the kernel gives their lock back the moment its process dies, kill -9 too.

So what was killed on this machine is known to be dead at once. On another machine there is no such file, and the row's
lease decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path) -> Iterator[int]:
    """Holds the file while the block works, and gives its descriptor to write to; it is gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{os.getpid()}")
    file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        fresh.replace(path)  # under its name only once it is held: unheld means dead
        yield file
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def is_abandoned(path: Path) -> bool:
    """Whether the file is there and nobody holds it. Without a file: not, as far as this machine can tell."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:  # it is at work on another machine, or begins now
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
