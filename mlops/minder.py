"""Ends what `up` started when `up` is gone, however it went: a small process beside it, and the pipe between the two.

As a program it reads its standard input, a pipe that `up` holds the other end of. A line "123" names a process group
to end, "-123" one that has ended. At the end of the input (the kernel closes the pipe even after kill -9) it asks the
groups that are left to stop and, after a while, kills them. Why not PR_SET_PDEATHSIG: that is Linux alone, reaches
children and not theirs, and its SIGTERM lets a worker in the middle of a training live on for the whole training.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

GRACE_SECONDS = 5.0  # an idle Celery worker needs about 1 s, granian 0.5 s; the promise is ten in all
POLL_SECONDS = 0.1

# What a child runs before it becomes its program: it tells the minder its number. If the parent told it, one that is
# killed in between would leave a child that nobody knows. Standard input is the pipe until then. No preexec_fn: that
# runs Python between fork and exec, which can hang where there are threads.
INTRODUCE = ("/bin/sh", "-c", 'echo $$ >&0; exec "$@" </dev/null', "sh")


class Minder:
    """The minder as `up` sees it. `ear` is the end of the pipe that a child says its number into."""

    def __init__(self, *, lock: int | None = None) -> None:
        self._lock = lock
        # The reading end stays open here too: a child that speaks while the minder is being replaced gets no SIGPIPE.
        self._reading, self.ear = os.pipe()
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-I", "-S", __file__),  # -S: 10 ms and 9 MB, it needs no packages
            stdin=self._reading,
            stdout=subprocess.DEVNULL,  # it outlives `up`: whoever reads the output of `up` must not wait for it
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=() if self._lock is None else (self._lock,),
        )

    def forget(self, group: int) -> None:
        os.write(self.ear, b"-%d\n" % group)

    def revive(self, groups: Iterable[int]) -> None:
        """Starts it anew if it was killed, and names the groups again that it had heard of."""
        if self._process.poll() is not None:
            self._start()
            for group in groups:
                os.write(self.ear, b"%d\n" % group)

    def close(self) -> None:
        """Lets it go; it ends what is left, which after a stop in good order is nothing."""
        os.close(self.ear)
        os.close(self._reading)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=GRACE_SECONDS + 2)


def groups_left(lines: Sequence[str]) -> set[int]:
    r"""The process groups that were named and not taken back.

    >>> groups_left(["12\n", "34\n", "-12\n"])
    {34}
    """
    left: set[int] = set()
    for number in map(int, lines):
        if number > 0:
            left.add(number)
        else:
            left.discard(-number)
    return left


def signal_group(group: int, number: int) -> bool:
    """Sends the signal (0 only asks) to the group; whether there was one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # the second is macOS' word for a group of zombies
        return False
    return True


def end(groups: Iterable[int], *, grace_seconds: float) -> None:
    """Asks the groups to stop, and kills those that are still there after the grace."""
    groups = [group for group in groups if signal_group(group, signal.SIGTERM)]
    deadline = time.monotonic() + grace_seconds
    while groups and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        groups = [group for group in groups if signal_group(group, 0)]
    for group in groups:
        signal_group(group, signal.SIGKILL)


def main() -> None:
    # Only the end of the input ends it: what is meant for `up` (a closed terminal, a polite stop) is not for its net.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end(groups_left(sys.stdin.readlines()), grace_seconds=GRACE_SECONDS)


if __name__ == "__main__":
    main()
