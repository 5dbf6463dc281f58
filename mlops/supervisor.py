"""Starts processes, watches them, starts them again when they die, stops them in order. Knows nothing of what they do.

Child describes a process, Process is the life of one, Supervisor keeps all of them. What `up` runs stands in
serving.py; minder.py ends the children if this process is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from mlops.minder import INTRODUCE, Minder, signal_group

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0  # after so long a life a death is a new story, and the pauses begin anew
STARTS_BEFORE_GIVING_UP = 5
READY_WITHIN_SECONDS = 60.0  # a start takes 2 to 3 s on two cores; a small board may take ten times that
WAITING_SECONDS = 3.0  # how long a child may wait for its turn before the others are announced without it
ASK_AGAIN_SECONDS = 1.0
POLL_SECONDS = 0.1  # with five processes to look at, 0.2 % of a core
LARGEST_LOG_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 64 * 1024
STARTED = "=== started "


class GaveUp(RuntimeError):
    """A vital child could not start at all; the message says which log shows why."""


@dataclass(frozen=True)
class Child:
    """A process to keep alive.

    environment: all of it, nothing is inherited. waits_for: what may_start asks about, in words. vital: without it
    nothing is worth running, so the supervisor gives up if it never gets ready. stop_with: signals and the seconds each
    is given; after the last the whole group is killed. json_log: its log holds JSON, and what we write there is.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # it holds passwords
    ready: Callable[[], bool] | None = None
    may_start: Callable[[], bool] | None = None
    waits_for: str = ""
    vital: bool = False
    json_log: bool = False
    stop_with: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 5.0),)


class Process:
    """The life of one child: the process that runs now, if one does, and what is known of those before it.

    It leads a process group of its own, so that what it started ends with it: a Celery main that is killed leaves its
    pool behind, and granian its worker with the port.
    """

    def __init__(self, child: Child, *, log: Path, keeper: Minder) -> None:
        self.child = child
        self.log = log
        self.failures = 0  # deaths in a row, none of them after a minute of health
        self.next_start = 0.0
        self.started = 0.0
        self.ready_at: float | None = None
        self.was_ready = False
        self.waits_since: float | None = None
        self.overdue = False
        self._keeper = keeper
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def group(self) -> int | None:
        return None if self._popen is None else self._popen.pid

    @property
    def code(self) -> int | None:
        """The return code of a process that has ended and is not buried yet."""
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        """Starts it; what it says goes to its log. Raises OSError if the machine has no room for it."""
        rotate(self.log)
        self.started, self.ready_at, self.waits_since, self.overdue = time.monotonic(), None, None, False
        with self.log.open("ab", buffering=0) as log:
            mark = f"{STARTED}{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} ==="
            with contextlib.suppress(OSError):  # a full disk is no reason not to start
                log.write(f"{json.dumps({'event': mark}) if self.child.json_log else mark}\n".encode())
            self._popen = subprocess.Popen(
                (*INTRODUCE, *self.child.command),
                env=self.child.environment,
                stdin=self._keeper.ear,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Not a session: Linux weighs niceness within one only (measured: 1.01 to 0.15 s of a core, else equal).
                process_group=0,
            )

    def kill(self) -> None:
        if self._popen is not None:
            signal_group(self._popen.pid, signal.SIGKILL)

    def bury(self) -> int:
        """Ends what is left of the group and gives the leader's return code."""
        if self._popen is None:
            raise ValueError(f"{self.child.name} does not run, so there is nothing to bury.")
        self.kill()
        code = self._popen.wait()
        self._keeper.forget(self._popen.pid)
        self._popen, self.ready_at = None, None
        return code

    def stop(self, *, is_hurried: Callable[[], bool]) -> None:
        """Asks it to stop, in the ways and the time that its description gives, then kills the group."""
        for number, seconds in self.child.stop_with:
            deadline = time.monotonic() + seconds
            if self._popen is not None and self.code is None:
                self._popen.send_signal(number)
            while self.code is None and time.monotonic() < deadline and not is_hurried():
                time.sleep(POLL_SECONDS)
        self.bury()


class Supervisor:
    """Keeps the children alive, in the order given, and stops them in the opposite one."""

    def __init__(
        self, children: Sequence[Child], *, logs: Path, say: Callable[[str], None], lock: int | None = None
    ) -> None:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._speak = say
        self._keeper = Minder(lock=lock)
        self._processes = [Process(child, log=logs / f"{child.name}.log", keeper=self._keeper) for child in children]
        self._stopping = False
        self._hurried = False

    def run(self, *, greeting: str) -> None:
        """Starts all, says the greeting once they are ready, and returns when SIGINT, SIGTERM or SIGHUP has stopped it.

        Raises GaveUp, after stopping all, if a vital child cannot start.
        """
        greeted = False
        with self._listening():
            try:
                while not self._stopping:
                    self._turn()
                    if not greeted and all(map(_is_settled, self._processes)):
                        greeted = True
                        self._say(greeting)
                    time.sleep(POLL_SECONDS)
            finally:
                self._stop()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        def heard(number: int, _: FrameType | None) -> None:
            # Only a second Ctrl-C hurries: a terminal that closes sends SIGHUP twice, by the kernel and by the shell.
            self._hurried = self._hurried or (self._stopping and number == signal.SIGINT)
            self._stopping = True

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to outlive the terminal
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, heard) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _turn(self) -> None:
        """Looks at every child once, and does what its state asks for."""
        with contextlib.suppress(OSError):  # no room for a new one now; the next turn tries again
            self._keeper.revive([process.group for process in self._processes if process.group is not None])
        for process in self._processes:
            now = time.monotonic()
            if process.group is None:
                self._start_if_due(process, now)
            elif process.code is not None:
                self._note_death(process, now)
            elif process.ready_at is None:
                self._look_whether_ready(process, now)
            elif now - process.ready_at > HEALTHY_SECONDS:
                process.failures = 0
                rotate(process.log)

    def _start_if_due(self, process: Process, now: float) -> None:
        if now < process.next_start:
            return
        if process.child.may_start is None or process.child.may_start():
            try:
                process.start()
            except OSError as error:  # no memory, no process, no descriptor left: as if it had died at once
                self._note_failure(process, now, why=error.strerror or "unknown error")
            return
        process.next_start = now + ASK_AGAIN_SECONDS
        if process.waits_since is None:
            process.waits_since = now
        elif now - process.waits_since > WAITING_SECONDS and not process.overdue:
            process.overdue = True
            self._tell(process, f"waits for {process.child.waits_for}")

    def _look_whether_ready(self, process: Process, now: float) -> None:
        if process.child.ready is None or process.child.ready():
            process.ready_at, process.was_ready = time.monotonic(), True
            self._tell(process, f"ready in {process.ready_at - process.started:.1f} s")
        elif now - process.started > READY_WITHIN_SECONDS and not process.overdue:
            process.overdue = True
            self._tell(process, f"not ready after {READY_WITHIN_SECONDS:.0f} s; {process.log} shows why")
            if process.child.vital:
                process.kill()  # it hangs; the next turn finds it dead and starts it again

    def _note_death(self, process: Process, now: float) -> None:
        self._note_failure(process, now, why=exit_in_words(process.bury()))

    def _note_failure(self, process: Process, now: float, *, why: str) -> None:
        """Fixes when the child starts again. Raises GaveUp."""
        process.failures += 1
        if process.child.vital and not process.was_ready and process.failures >= STARTS_BEFORE_GIVING_UP:
            raise GaveUp(
                f"{process.child.name} must start; it ended {process.failures} times in a row ({why}). "
                f"{process.log} shows why."
            )
        pause = pause_seconds(process.failures)
        process.next_start = now + pause
        self._tell(process, f"ended ({why}), starts again in {pause:g} s; its log: {process.log}")

    def _stop(self) -> None:
        self._say("\nStopping; a second Ctrl-C does not wait for work in hand.")
        for process in reversed(self._processes):
            if process.group is None:
                continue
            began = time.monotonic()
            process.stop(is_hurried=lambda: self._hurried)
            self._tell(process, f"stopped in {time.monotonic() - began:.1f} s")
        self._keeper.close()

    def _tell(self, process: Process, what: str) -> None:
        self._say(f"{time.strftime('%H:%M:%S')}  {process.child.name:<8} {what}")

    def _say(self, text: str) -> None:
        # A closed terminal or a reader that has gone must stop neither the service nor its stopping.
        with contextlib.suppress(OSError):
            self._speak(text)


def _is_settled(process: Process) -> bool:
    """Whether the start as a whole may be announced without waiting any longer for this one."""
    return process.was_ready or (not process.child.vital and (process.overdue or process.failures > 0))


def pause_seconds(failures: int) -> float:
    """The pause before the next start after so many deaths in a row.

    >>> [pause_seconds(failures) for failures in (1, 2, 3, 6, 7, 5000)]
    [0.5, 1.0, 2.0, 16.0, 30.0, 30.0]
    """
    doublings = min(failures - 1, 10)  # unbounded, a float overflows after a thousand deaths
    return float(min(FIRST_PAUSE_SECONDS * 2**doublings, LONGEST_PAUSE_SECONDS))


def exit_in_words(code: int) -> str:
    """How a process ended, from its return code.

    >>> exit_in_words(1), exit_in_words(-9)
    ('exit code 1', 'killed by SIGKILL')
    """
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def rotate(log: Path, *, largest_bytes: int = LARGEST_LOG_BYTES) -> None:
    """Empties a log that has grown too large; what it held goes to `<name>.log.1`.

    Copied and emptied, not renamed: a running child keeps writing into the file it has open.
    """
    if log.exists() and log.stat().st_size > largest_bytes:
        with contextlib.suppress(OSError):  # a full disk needs the room more than it needs the copy
            shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def log_since_start(log: Path) -> str:
    """What the newest start has written, of the last 64 kB of the log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace").rpartition(STARTED)[2]
