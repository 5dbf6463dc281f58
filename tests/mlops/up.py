"""A running `manage.py up` for the tests marked servers: started, looked at, and ended with all that it started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, STOP_SECONDS, ORPHAN_SECONDS = 60, 15, 10


def until(true: Callable[[], object], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def processes() -> dict[int, tuple[int, str]]:
    """{number: (number of the group, command line)} of all that live; a dead one that nobody reaped does not."""
    # -ww: without it ps cuts lines to $COLUMNS, which pytest sets to 80.
    rows = subprocess.run(["ps", "-wweo", "pid=,pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    split = [row.split(None, 3) for row in rows.splitlines()]
    return {int(row[0]): (int(row[1]), row[3]) for row in split if len(row) == 4 and not row[2].startswith("Z")}


@dataclass
class Up:
    """One running `up`, what it has printed, and the processes it has started."""

    process: subprocess.Popen[bytes]
    port: int
    var: Path
    output: Path
    seen: set[int] = field(default_factory=set)

    def printed(self) -> str:
        return self.output.read_text()

    def children(self) -> dict[int, tuple[int, str]]:
        """The processes it answers for: its children lead groups, and all in a group belong to it."""
        rows = subprocess.run(["ps", "-wweo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in map(str.split, rows.splitlines())}
        leaders = {pid for pid, parent in parents.items() if parent == self.process.pid}
        found = {pid: entry for pid, entry in processes().items() if entry[0] in leaders}
        self.seen |= set(found)
        return found

    def pids_of(self, part: str) -> list[int]:
        return sorted(pid for pid, (_, line) in self.children().items() if part in line)

    def leader_of(self, part: str) -> int:
        return next(group for group, line in self.children().values() if part in line)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/health/live", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def left(self) -> dict[int, tuple[int, str]]:
        """What lives of all that it ever was seen to start."""
        return {pid: entry for pid, entry in processes().items() if pid in self.seen}


def environment(var: Path, **more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    return {**ours, "TICKETCLF_VAR": str(var), **more}


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(Path(variables.pop("var")), **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


Starter = Callable[..., Up]


def starting(var: Path, outputs: Path) -> Iterator[Starter]:
    """Starts an `up` and gives it when it has greeted. Whatever is left of them at the end is killed."""
    started: list[Up] = []

    def start(*, greeted: bool = True, **variables: str) -> Up:
        port, output = free_port(), outputs / f"output {len(started)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up"],
                env=environment(var, API_PORT=str(port), **variables),
                cwd=outputs,  # from any folder
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        up = Up(process=process, port=port, var=var, output=output)
        started.append(up)
        if greeted:
            until(lambda: "Ctrl-C stops" in up.printed(), seconds=START_SECONDS, what=f"greeting in {up.printed()!r}")
        up.children()
        return up

    yield start
    for up in started:
        up.children()
        up.process.kill()
        up.process.wait()
        until(lambda up=up: not up.left(), seconds=ORPHAN_SECONDS, what=f"{up.left()} ends")  # type: ignore[misc]


@dataclass(frozen=True)
class Api:
    """A client of a running service."""

    up: Up
    key: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.up.port}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Api-Key {self.key}", "Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (http, above)
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
