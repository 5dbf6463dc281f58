"""`manage.py up` as a person runs it: real processes, real signals, on a var folder and ports of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.broker import embedded
from tests.mlops.up import (
    ORPHAN_SECONDS,
    START_SECONDS,
    STOP_SECONDS,
    Starter,
    Up,
    free_port,
    manage,
    processes,
    starting,
    until,
)

ANSWERS_AGAIN_SECONDS = 30
PARTS = {"web": "granian", "worker": " worker ", "beat": " beat ", "valkey": "valkey-server"}  # of their command lines

pytestmark = pytest.mark.servers


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
