"""The embedded broker, with the real Valkey of the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from mlops import broker
from mlops.broker import Broker, embedded, worker_answers
from mlops.reserving import CannotStart


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    found = embedded(tmp_path_factory.mktemp("valkey") / 'a "quoted" folder')
    with subprocess.Popen(found.command, stdout=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 10
        while not found.answers():
            assert time.monotonic() < deadline, "Valkey did not start within 10 s"
            time.sleep(0.01)
        yield found
        server.terminate()


def test_embedded_valkey_answers_with_its_password_alone(valkey: Broker) -> None:
    stranger = redis.Redis.from_url(valkey.url.replace(valkey.url.split("@")[0], "redis://"))

    assert valkey.answers()
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_embedded_valkey_keeps_its_queue_in_the_folder_and_drops_nothing(valkey: Broker) -> None:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        found = {name: client.config_get(name)[name] for name in ("appendonly", "maxmemory-policy", "bind", "dir")}

    folder = Path(valkey.command[1]).parent
    assert found == {"appendonly": "yes", "maxmemory-policy": "noeviction", "bind": "127.0.0.1", "dir": str(folder)}
    assert (folder / "appendonlydir").is_dir()


def test_password_is_shown_to_nobody(valkey: Broker) -> None:
    configuration = Path(valkey.command[1])
    password = valkey.url.split(":")[2].split("@")[0]

    assert password in configuration.read_text()
    assert [configuration.stat().st_mode & 0o777, configuration.parent.stat().st_mode & 0o777] == [0o600, 0o700]
    assert [part for part in (*valkey.command, valkey.shown, repr(valkey)) if password in part] == []


def test_each_start_has_a_password_of_its_own(tmp_path: Path) -> None:
    assert embedded(tmp_path).url.split("@")[0] != embedded(tmp_path).url.split("@")[0]


def test_broker_that_is_not_there_does_not_answer() -> None:
    assert not Broker(url="redis://:secret@127.0.0.1:1/0").answers()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://name:secret@queue.example:6380/1", "queue.example:6380"),
        ("rediss://:secret@queue.example/0", "queue.example:6379"),
        ("redis://", "localhost:6379"),
    ],
)
def test_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert Broker(url=url).shown == shown


def test_worker_that_is_not_there_does_not_answer(valkey: Broker) -> None:
    nobody = worker_answers(valkey, node="nobody@nowhere", options={})
    unreachable = worker_answers(Broker(url="redis://127.0.0.1:1/0"), node="nobody@nowhere", options={})

    assert [nobody(), unreachable()] == [False, False]


def test_worker_answers_once_it_is_up(valkey: Broker) -> None:
    command = (sys.executable, "-m", "celery", "-b", valkey.url, "worker", "-n", "us@here", "--pool", "solo")
    asks = worker_answers(valkey, node="us@here", options={})
    quiet = subprocess.DEVNULL
    # Without our environment: it is a Celery worker, and not one of ours.
    with subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, stdout=quiet, stderr=quiet) as worker:
        deadline = time.monotonic() + 30
        while not asks():
            assert time.monotonic() < deadline, "the worker did not answer within 30 s"

        worker.terminate()


def test_system_without_the_wheel_uses_the_server_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_for_this_system() -> Path:
        raise broker.ValkeyBinaryNotFoundError

    monkeypatch.setattr(broker, "get_binary_path", not_for_this_system)
    server = tmp_path / "bin" / "redis-server"
    server.parent.mkdir()
    monkeypatch.setenv("PATH", str(server.parent))

    with pytest.raises(CannotStart, match=r"Install valkey-server or redis-server, or set REDIS_URL"):
        embedded(tmp_path)
    server.touch(mode=0o755)
    assert embedded(tmp_path).command[0] == str(server)


def test_embedded_broker_is_found_by_the_configuration_that_it_runs_with(valkey: Broker, tmp_path: Path) -> None:
    found = broker.left_running(Path(valkey.command[1]).parent)

    assert found is not None
    assert (found.url, found.answers()) == (valkey.url, True)
    assert broker.left_running(tmp_path) is None
    (tmp_path / "valkey.conf").write_text("port 20001\n")
    assert broker.left_running(tmp_path) is None
