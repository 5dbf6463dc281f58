"""The supervisor, its minder and its reservation, on tiny processes and real signals."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest

from mlops import minder, reserving, supervisor
from mlops.reserving import CannotStart
from mlops.supervisor import Child, GaveUp, Supervisor

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 20  # far more than any of them takes; a hanging test fails instead of standing still
FOREVER = "while :; do sleep 60 & wait; done"
# A process that does something when it hears a signal. Not a shell: one that was started with a signal ignored, as a
# script starts what it puts in the background, cannot trap it.
HEARING = """
import pathlib, signal, sys, time
folder, name, deaf, heeded, seconds = pathlib.Path(sys.argv[1]), *sys.argv[2:]
def heard(number, frame):
    time.sleep(float(seconds))
    with (folder / "heard").open("a") as file:
        file.write(name + "\\n")
    sys.exit()
if deaf:
    signal.signal(getattr(signal, deaf), signal.SIG_IGN)
signal.signal(getattr(signal, heeded), heard)
(folder / name).touch()
while True:
    time.sleep(0.1)
"""


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"POLL_SECONDS": 0.01, "FIRST_PAUSE_SECONDS": 0.01, "ASK_AGAIN_SECONDS": 0.01}.items():
        monkeypatch.setattr(supervisor, name, seconds)


def shell(script: str, *, name: str = "shell", **more: object) -> Child:
    return Child(name=name, command=("/bin/sh", "-c", script), environment=os.environ, **more)  # type: ignore[arg-type]


def hearing(
    folder: Path, name: str, *, heeded: str = "SIGTERM", deaf: str = "", seconds: float = 0, **more: object
) -> Child:
    """A child that writes its name to the file `heard` and ends, so many seconds after the signal it heeds."""
    return Child(
        name=name,
        command=(sys.executable, "-ISc", HEARING, str(folder), name, deaf, heeded, str(seconds)),
        environment=os.environ,
        ready=(folder / name).exists,
        **more,  # type: ignore[arg-type]
    )


def run(
    children: Sequence[Child], *, logs: Path, until: Callable[[str], bool], number: int = signal.SIGTERM
) -> list[str]:
    """What the supervisor says until a line comes that is the last one wanted; then the signal stops it."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if until(line):
            os.kill(os.getpid(), number)

    Supervisor(children, logs=logs, say=say).run(greeting="all is up")
    return said


def wait_until(true: Callable[[], object]) -> None:
    while not true():
        time.sleep(0.01)  # the alarm is the deadline


def is_gone(pid: int) -> bool:
    """Whether no process has this number, or only one that is dead and not yet reaped."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip()[:1] in {"", "Z"}


def pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


# --- Starting, restarting, giving up --------------------------------------------------------------
def test_run_says_each_start_and_greets_when_all_are_ready(tmp_path: Path) -> None:
    children = [shell(FOREVER, name="first"), shell(FOREVER, name="second", may_start=lambda: True, ready=lambda: True)]

    said = run(children, logs=tmp_path, until=lambda line: line == "all is up")

    assert [re.sub(r"[\d.:]+", "0", line) for line in said[:3]] == [
        "0  first    ready in 0 s",
        "0  second   ready in 0 s",
        "all is up",
    ]


def test_run_starts_a_dead_child_again_after_pauses_that_double(tmp_path: Path) -> None:
    said = run(
        [shell("exit 3", ready=lambda: False)], logs=tmp_path, until=lambda line: "starts again in 0.04 s" in line
    )

    ended = [line.partition("shell    ")[2] for line in said if "ended" in line]
    log = tmp_path / "shell.log"
    assert ended == [f"ended (exit code 3), starts again in {pause} s; its log: {log}" for pause in (0.01, 0.02, 0.04)]
    assert log.read_text().count("=== started") >= 3


def test_pauses_begin_anew_after_a_time_of_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "HEALTHY_SECONDS", 0.0)
    turns: list[int] = []
    deaths: list[str] = []

    def count_turns() -> bool:
        turns.append(1)
        if len(turns) == 3:  # of the two before, one has found it in health
            (tmp_path / "end").touch()
        return False

    def last(line: str) -> bool:
        if "mortal   ready" in line:
            turns.clear()
        deaths.extend([line] if "ended" in line else [])
        return len(deaths) == 3

    script = f"until [ -e {tmp_path}/end ]; do sleep 0.01; done; rm {tmp_path}/end; exit 1"
    run([shell(script, name="mortal"), shell(FOREVER, name="clock", ready=count_turns)], logs=tmp_path, until=last)

    assert ["starts again in 0.01 s" in line for line in deaths] == [True, True, True]


def test_run_gives_up_on_a_vital_child_that_cannot_start(tmp_path: Path) -> None:
    said: list[str] = []
    children = [shell(FOREVER, name="other"), shell("exit 1", name="web", vital=True, ready=lambda: False)]

    with pytest.raises(
        GaveUp, match=r"web must start; it ended 5 times in a row \(exit code 1\)\. .*web\.log shows why"
    ):
        Supervisor(children, logs=tmp_path, say=said.append).run(greeting="all is up")

    assert "other    stopped" in said[-1]
    assert "all is up" not in said


def test_vital_child_that_was_ready_once_is_never_given_up(tmp_path: Path) -> None:
    once = tmp_path / "once"
    mortal = shell(f"[ -e {once} ] && exit 1; echo $$ > {once}; {FOREVER}", vital=True, ready=lambda: bool(pids(once)))
    deaths: list[str] = []

    def last(line: str) -> bool:
        if "ready" in line and not deaths:
            os.kill(pids(once)[0], signal.SIGKILL)
        deaths.extend([line] if "ended" in line else [])
        return len(deaths) == 7

    said = run([mortal], logs=tmp_path, until=last)

    assert "stopped" in said[-1] or "Stopping" in said[-1]


def test_child_that_hangs_at_its_start_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "READY_WITHIN_SECONDS", 0.02)

    said = run([shell(FOREVER, vital=True, ready=lambda: False)], logs=tmp_path, until=lambda line: "ended" in line)

    assert "not ready after 0 s" in said[0]
    assert "ended (killed by SIGKILL)" in said[1]


def test_child_waits_for_what_it_needs_and_the_others_are_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "WAITING_SECONDS", 0.02)
    late = shell(FOREVER, name="late", may_start=lambda: False, waits_for="the broker at host:6379")

    said = run([shell(FOREVER), late], logs=tmp_path, until=lambda line: line == "all is up")

    assert "late     waits for the broker at host:6379" in said[1]


def test_a_program_that_is_missing_says_so_in_its_log(tmp_path: Path) -> None:
    child = Child(name="none", command=("/nowhere/program",), environment={}, ready=lambda: False)

    said = run([child], logs=tmp_path, until=lambda line: "ended" in line)

    assert "ended (exit code 127)" in said[0]
    assert "/nowhere/program" in (tmp_path / "none.log").read_text()


def test_machine_without_room_for_a_process_counts_as_a_death(tmp_path: Path) -> None:
    (tmp_path / "full.log").mkdir()  # what cannot be opened cannot be started, as with no descriptor left

    said = run([shell(FOREVER, name="full")], logs=tmp_path, until=lambda line: "ended" in line)

    assert "ended (Is a directory), starts again" in said[0]


def test_reader_that_has_gone_stops_nothing(tmp_path: Path) -> None:
    lines = iter(range(100))

    def say(_line: str) -> None:
        if next(lines) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        raise BrokenPipeError

    Supervisor([shell("exit 1", ready=lambda: False)], logs=tmp_path, say=say).run(greeting="all is up")

    assert next(lines) >= 4


def test_children_inherit_neither_the_lock_nor_the_pipe(tmp_path: Path) -> None:
    listing = shell(f"ls -l /dev/fd/ > {tmp_path}/open; {FOREVER}", ready=lambda: (tmp_path / "open").exists())

    with reserving.locked(tmp_path) as lock:
        Supervisor([listing], logs=tmp_path, lock=lock, say=lambda _: os.kill(os.getpid(), signal.SIGTERM)).run(
            greeting=""
        )

    assert "up.lock" not in (tmp_path / "open").read_text()
    assert "pipe:" not in (tmp_path / "open").read_text()


# --- Stopping -------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_all_in_the_opposite_order(tmp_path: Path, number: int) -> None:
    children = [hearing(tmp_path, name) for name in ("valkey", "web", "worker")]

    run(children, logs=tmp_path, until=lambda line: line == "all is up", number=number)

    assert (tmp_path / "heard").read_text().split() == ["worker", "web", "valkey"]


def test_child_that_does_not_heed_one_signal_gets_the_next(tmp_path: Path) -> None:
    asked = ((signal.SIGTERM, 0.05), (signal.SIGQUIT, 10.0))
    stubborn = hearing(tmp_path, "stubborn", deaf="SIGTERM", heeded="SIGQUIT", stop_with=asked)

    run([stubborn], logs=tmp_path, until=lambda line: line == "all is up")

    assert (tmp_path / "heard").read_text() == "stubborn\n"


def test_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    patient = hearing(tmp_path, "patient", deaf="SIGTERM", heeded="SIGQUIT", stop_with=((signal.SIGTERM, 600.0),))

    said = run(
        [patient],
        logs=tmp_path,
        until=lambda line: line == "all is up" or "Stopping" in line,  # one Ctrl-C each
        number=signal.SIGINT,
    )

    assert "patient  stopped" in said[-1]
    assert not (tmp_path / "heard").exists()


def test_closed_terminal_says_so_twice_and_work_in_hand_is_still_waited_for(tmp_path: Path) -> None:
    run(
        [hearing(tmp_path, "finishing", seconds=0.1)],
        logs=tmp_path,
        until=lambda line: line == "all is up" or "Stopping" in line,
        number=signal.SIGHUP,
    )

    assert (tmp_path / "heard").read_text() == "finishing\n"


def test_nohup_outlives_the_terminal(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    numbers = iter([signal.SIGHUP, signal.SIGTERM])
    try:
        Supervisor(
            [shell(FOREVER), shell("exit 1", name="dying")],
            logs=tmp_path,
            say=lambda line: os.kill(os.getpid(), next(numbers)) if "ended" in line else None,
        ).run(greeting="")
    finally:
        signal.signal(signal.SIGHUP, before)

    assert list(numbers) == []


# --- Nothing is left behind -----------------------------------------------------------------------
def test_group_of_a_killed_child_ends_with_it(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! >> {tmp_path}/pool; echo $$ > {tmp_path}/main; {FOREVER}"
    child = shell(script, ready=lambda: bool(pids(tmp_path / "main")))
    killed: list[int] = []

    def say(line: str) -> None:
        if "ready" in line and not killed:
            killed.extend(pids(tmp_path / "pool"))
            os.kill(pids(tmp_path / "main")[0], signal.SIGKILL)
        elif "ended" in line:
            os.kill(os.getpid(), signal.SIGTERM)

    Supervisor([child], logs=tmp_path, say=say).run(greeting="")

    assert killed
    wait_until(lambda: all(map(is_gone, killed)))


PARENT = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from mlops.reserving import locked
from mlops.supervisor import Child, Supervisor
folder = Path(sys.argv[1])
script = f"sleep 60 & echo $! $$ >> {{folder}}/pids; {FOREVER}"
children = [Child(name=name, command=("/bin/sh", "-c", script), environment=os.environ) for name in ("one", "two")]
with locked(folder) as lock:
    Supervisor(children, logs=folder, say=lambda line: print(line, flush=True), lock=lock).run(greeting="all is up")
"""


@contextlib.contextmanager
def parent(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that supervises two shells, each with a process of its own; all are up when it is given."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: len(pids(folder / "pids")) == 4)
            yield process
        finally:
            process.kill()


def minder_of(pid: int) -> int | None:
    rows = subprocess.run(["ps", "-wweo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = [row.split() for row in rows.splitlines() if "minder.py" in row]
    return next((int(row[0]) for row in found if int(row[1]) == pid), None)


def test_killed_parent_leaves_no_process_and_the_lock_is_taken_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserving, "LEFTOVERS_SECONDS", 0.0)
    with parent(tmp_path) as process:
        beside = minder_of(process.pid)
        assert beside is not None
        os.kill(beside, signal.SIGSTOP)  # so that it cannot be done before we look

        process.kill()
        process.wait()

    with pytest.raises(CannotStart, match=r"Only one"), reserving.locked(tmp_path):
        pass
    os.kill(beside, signal.SIGCONT)
    wait_until(lambda: all(map(is_gone, pids(tmp_path / "pids"))))


def test_killed_minder_is_replaced_and_knows_the_children(tmp_path: Path) -> None:
    with parent(tmp_path) as process:
        first = minder_of(process.pid)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: minder_of(process.pid) not in {None, first})

        process.kill()
        process.wait()

    wait_until(lambda: all(map(is_gone, pids(tmp_path / "pids"))))


def test_minder_kills_what_does_not_heed_it(tmp_path: Path) -> None:
    stubborn = subprocess.Popen(
        ["/bin/sh", "-c", f"trap '' TERM; touch {tmp_path}/up; {FOREVER}"], start_new_session=True
    )
    wait_until((tmp_path / "up").exists)

    minder.end([stubborn.pid], grace_seconds=0.05)

    assert stubborn.wait() == -signal.SIGKILL


def test_minder_ends_at_the_end_of_its_input_what_was_not_taken_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named, taken_back = (subprocess.Popen(["/bin/sh", "-c", FOREVER], start_new_session=True) for _ in range(2))
    monkeypatch.setattr(minder, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(minder.sys, "stdin", io.StringIO(f"{named.pid}\n{taken_back.pid}\n-{taken_back.pid}\n"))
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    minder.main()
    deaf = [signal.getsignal(number) for number in numbers]
    for number, handler in before.items():
        signal.signal(number, handler)

    assert named.wait() in {-signal.SIGTERM, -signal.SIGKILL}
    assert taken_back.poll() is None
    assert deaf == [signal.SIG_IGN] * 3
    minder.signal_group(taken_back.pid, signal.SIGKILL)
    taken_back.wait()


def test_new_minder_is_told_what_the_killed_one_knew() -> None:
    keeper = minder.Minder()
    group = subprocess.Popen(["/bin/sh", "-c", FOREVER], start_new_session=True)
    first = minder_of(os.getpid())
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: is_gone(first))

    keeper.revive([group.pid])
    keeper.close()

    assert group.wait() == -signal.SIGTERM


def test_minder_passes_over_a_group_that_has_gone() -> None:
    gone = subprocess.Popen(["true"], start_new_session=True)
    gone.wait()

    minder.end([gone.pid], grace_seconds=60)

    assert not minder.signal_group(gone.pid, 0)


# --- The lock and the port ------------------------------------------------------------------------
def test_second_start_on_a_folder_is_refused_with_the_mend(tmp_path: Path) -> None:
    mend = rf"Only one .* on {tmp_path}; process {os.getpid()} does already\. Stop it, or name another .* TICKETCLF_VAR"
    with reserving.locked(tmp_path), pytest.raises(CannotStart, match=mend), reserving.locked(tmp_path):
        pass

    with reserving.locked(tmp_path):
        pass


def test_holder_that_has_not_written_its_number_yet_is_alive(tmp_path: Path) -> None:
    with reserving.locked(tmp_path):
        (tmp_path / "up.lock").write_text("")

        with pytest.raises(CannotStart, match=r"process \(unknown\) does already"), reserving.locked(tmp_path):
            pass


def test_holder_that_belongs_to_somebody_else_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_pid: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(reserving.os, "kill", forbidden)

    with reserving.locked(tmp_path), pytest.raises(CannotStart, match=r"Only one"), reserving.locked(tmp_path):
        pass


def test_lock_of_a_dead_holder_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover = contextlib.ExitStack()
    leftover.enter_context(reserving.locked(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "up.lock").write_text(str(dead.pid))
    monkeypatch.setattr(reserving.time, "sleep", lambda _seconds: leftover.close())

    with reserving.locked(tmp_path):
        assert (tmp_path / "up.lock").read_text() == str(os.getpid())


def test_lock_that_leftovers_never_free_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserving, "LEFTOVERS_SECONDS", 0.0)
    dead = subprocess.Popen(["true"])
    dead.wait()

    with reserving.locked(tmp_path):
        (tmp_path / "up.lock").write_text(str(dead.pid))
        with pytest.raises(CannotStart, match=r"Only one"), reserving.locked(tmp_path):
            pass


def test_folder_that_cannot_be_written_is_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "up.lock").mkdir()  # root may write everywhere, but not into a folder as if it were a file

    with pytest.raises(CannotStart, match=r"TICKETCLF_VAR must name a folder that can be written"):
        reserving.locked(tmp_path).__enter__()


def test_port_in_use_is_refused_with_the_mend() -> None:
    with reserving.socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotStart, match=rf"Port {port} on 127\.0\.0\.1 must be free.*API_PORT"):
            reserving.check_port("127.0.0.1", port)

    reserving.check_port("127.0.0.1", port)
    reserving.check_port("localhost", port)


def test_address_of_another_machine_is_refused_with_the_mend() -> None:
    with pytest.raises(CannotStart, match=r"API_HOST must be an address of this machine; 192\.0\.2\.1 is not"):
        reserving.check_port("192.0.2.1", 8000)  # an address for documentation, of no machine


def test_host_that_nobody_knows_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_arguments: object, **_named: object) -> list[object]:
        raise OSError("no such name")

    monkeypatch.setattr(reserving.socket, "getaddrinfo", look_up)  # the suite has no network to ask

    with pytest.raises(CannotStart, match=r"API_HOST must be an address of this machine; nowhere is unknown"):
        reserving.check_port("nowhere", 8000)


def test_port_for_the_administrator_is_refused_with_the_mend() -> None:
    refusal = PermissionError(13, "Permission denied")

    assert "Name a port above 1023 in API_PORT" in reserving._why_not(refusal, host="127.0.0.1", port=80)


# --- Logs -----------------------------------------------------------------------------------------
def test_log_that_is_too_large_is_emptied_and_kept_once(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("a" * 11)

    with log.open("a") as running:
        supervisor.rotate(log, largest_bytes=10)
        running.write("after")

    assert (tmp_path / "web.log.1").read_text() == "a" * 11
    assert log.read_text() == "after"


def test_log_that_is_small_stays(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("a" * 10)

    supervisor.rotate(log, largest_bytes=10)

    assert [path.name for path in tmp_path.iterdir()] == ["web.log"]


def test_log_since_start_is_that_of_the_newest_start(tmp_path: Path) -> None:
    log = tmp_path / "beat.log"
    log.write_text("=== started yesterday ===\nold\n" + "x" * supervisor.TAIL_BYTES + "\n=== started today ===\nnew\n")

    assert supervisor.log_since_start(log) == "today ===\nnew\n"
