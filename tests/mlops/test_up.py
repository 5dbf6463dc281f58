"""`manage.py up` as a person runs it: real processes, real signals, on a var folder and ports of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops.broker import embedded

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, STOP_SECONDS, ORPHAN_SECONDS = 60, 15, 10
ANSWERS_AGAIN_SECONDS = 30
PARTS = {"web": "granian", "worker": " worker ", "beat": " beat ", "valkey": "valkey-server"}  # of their command lines

pytestmark = pytest.mark.servers


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


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var folder whose database has every migration."""
    var = tmp_path_factory.mktemp("up") / "a migrated var"  # with spaces, as folders have them
    done = manage("migrate", var=str(var))
    assert done.returncode == 0, done.stderr
    return var


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


@pytest.fixture
def var(migrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(migrated, tmp_path / "a var"))


@pytest.fixture
def start(var: Path, tmp_path: Path) -> Iterator[Starter]:
    yield from starting(var, tmp_path)


@pytest.fixture(scope="module")
def running(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One `up` for all tests that only look at it."""
    folder = tmp_path_factory.mktemp("running")
    for start in starting(Path(shutil.copytree(migrated, folder / "a var")), folder):
        yield start()


def assert_stops(up: Up, number: int) -> None:
    up.children()
    up.process.send_signal(number)
    assert up.process.wait(STOP_SECONDS) == 0
    assert up.left() == {}


def ready_again(up: Up, name: str, before: int) -> bool:
    return len(re.findall(rf"{name} +ready in", up.printed())) > before


def test_up_starts_all_answers_and_sigterm_stops_all(start: Starter) -> None:
    up = start()

    assert [name for name in ("valkey", "web", "worker", "beat") if f"{name} " in up.printed()] == [
        "valkey", "web", "worker", "beat",
    ]  # fmt: skip
    assert up.answers()
    assert f"http://127.0.0.1:{up.port}/" in up.printed()
    assert [line for line in up.printed().splitlines() if line.startswith("curl ")] != []
    assert_stops(up, signal.SIGTERM)


def test_ctrl_c_stops_all(start: Starter) -> None:
    assert_stops(start(), signal.SIGINT)


def test_closed_terminal_stops_all(start: Starter) -> None:
    assert_stops(start(), signal.SIGHUP)


def test_stop_during_the_start_stops_all(start: Starter) -> None:
    up = start(greeted=False)
    until(lambda: "valkey   ready" in up.printed(), seconds=START_SECONDS, what="valkey")

    assert_stops(up, signal.SIGTERM)


def test_kill_of_up_leaves_no_process_and_the_next_start_works(start: Starter) -> None:
    first = start()
    first.children()

    first.process.kill()
    first.process.wait()
    second = start()  # at once: it waits for what the first left

    assert second.answers()
    assert first.left() == {}


def test_kill_of_up_leaves_no_process_within_ten_seconds(start: Starter) -> None:
    up = start()
    assert len(up.children()) >= 8  # the minder, Valkey, two of granian, three of the worker, beat

    up.process.kill()

    until(lambda: not up.left(), seconds=ORPHAN_SECONDS, what="no orphan")


def test_whatever_is_killed_comes_back_without_orphans(start: Starter) -> None:
    up = start()
    for name, part in PARTS.items():
        group = up.pids_of(part)
        ready_before = len(re.findall(rf"{name} +ready in", up.printed()))

        os.kill(up.leader_of(part), signal.SIGKILL)

        until(
            lambda name=name, before=ready_before: ready_again(up, name, before),  # type: ignore[misc]
            seconds=ANSWERS_AGAIN_SECONDS,
            what=f"{name} is ready again in {up.printed()!r}",
        )
        assert f"{name:<8} ended (killed by SIGKILL), starts again in" in up.printed()
        assert set(group) & set(processes()) == set()
    until(up.answers, seconds=ANSWERS_AGAIN_SECONDS, what="an answer")
    assert_stops(up, signal.SIGTERM)


def test_killed_process_of_granian_comes_back(start: Starter) -> None:
    up = start()
    leader = up.leader_of("granian")
    serving = next(pid for pid in up.pids_of("granian") if pid != leader)

    os.kill(serving, signal.SIGKILL)

    until(lambda: ready_again(up, "web", 1), seconds=ANSWERS_AGAIN_SECONDS, what="web is ready again")
    assert up.answers()


def test_killed_minder_comes_back_and_still_minds(start: Starter) -> None:
    up = start()
    os.kill(up.leader_of("minder.py"), signal.SIGKILL)
    until(lambda: up.pids_of("minder.py"), seconds=5, what="a new minder")

    up.process.kill()

    until(lambda: not up.left(), seconds=ORPHAN_SECONDS, what="no orphan")


def test_second_up_on_the_folder_is_refused(running: Up) -> None:
    second = manage("up", var=str(running.var), API_PORT=str(free_port()))

    assert (second.returncode, second.stdout) == (2, "")
    assert f"process {running.process.pid} does already" in second.stderr
    assert running.answers()


def test_port_in_use_is_refused_before_anything_starts(var: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = manage("up", var=str(var), API_PORT=str(taken.getsockname()[1]))

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "API_PORT" in done.stderr
    assert not (var / "logs").exists()


def test_database_without_its_migrations_is_refused(tmp_path: Path) -> None:
    done = manage("up", var=str(tmp_path / "new"), API_PORT=str(free_port()))

    assert (done.returncode, done.stdout) == (2, "")
    assert "manage.py migrate" in done.stderr


def test_web_that_cannot_start_ends_it_with_the_log_named(start: Starter) -> None:
    up = start(greeted=False, GRANIAN_URL_PATH_PREFIX="elsewhere", GRANIAN_WORKERS_LIFETIME="never")

    assert up.process.wait(START_SECONDS) == 1
    assert f"web must start; it ended 5 times in a row (exit code 2). {up.var}/logs/web.log shows why." in up.printed()
    assert up.left() == {}


def test_password_of_the_broker_stands_in_its_file_alone(running: Up) -> None:
    configuration = running.var / "valkey" / "valkey.conf"
    password = re.search(r"^requirepass (\S+)$", configuration.read_text(), re.MULTILINE)

    assert password is not None
    assert [configuration.stat().st_mode & 0o777, configuration.parent.stat().st_mode & 0o777] == [0o600, 0o700]
    assert [line for _, line in processes().values() if password[1] in line] == []
    assert [log.name for log in (running.var / "logs").iterdir() if password[1] in log.read_text()] == []
    assert password[1] not in running.printed()


def test_worker_gives_way_to_the_web(running: Up) -> None:
    worker, web = running.leader_of(PARTS["worker"]), running.leader_of(PARTS["web"])

    assert os.getpriority(os.PRIO_PROCESS, worker) == os.getpriority(os.PRIO_PROCESS, web) + 10
    assert os.getsid(worker) == os.getsid(web)  # Linux weighs niceness within a session only


def test_broker_elsewhere_is_waited_for_while_the_web_answers(start: Starter, tmp_path: Path) -> None:
    broker = embedded(tmp_path / "broker")

    up = start(REDIS_URL=broker.url)

    assert up.answers()
    assert f"worker   waits for the broker at {broker.shown}" in up.printed()
    assert up.pids_of("valkey-server") == []
    with subprocess.Popen(broker.command, stdout=subprocess.DEVNULL) as server:
        try:
            until(lambda: ready_again(up, "worker", 0), seconds=ANSWERS_AGAIN_SECONDS, what="the worker is ready")
            assert_stops(up, signal.SIGTERM)
        finally:
            server.terminate()
