"""What `up` runs and says: the commands and environments of the children, the greeting, the refusals."""

from __future__ import annotations

import http.server
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from pytest_django import Settings

from classifier.management.base import BadUsage, Refused
from mlops import serving
from mlops.broker import Broker
from mlops.reserving import CannotStart, locked
from mlops.supervisor import GaveUp

EMBEDDED = Broker(url="redis://:secret@127.0.0.1:20001/0", command=("valkey-server", "valkey.conf"))
ELSEWHERE = Broker(url="redis://:secret@queue.example:6379/0")


@pytest.fixture(autouse=True)
def here(settings: Settings, tmp_path: Path) -> None:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        settings.API_PORT = trial.getsockname()[1]
    settings.VAR, settings.API_HOST, settings.REDIS_URL = tmp_path / "var", "127.0.0.1", None
    settings.VAR.mkdir()


# --- The children ---------------------------------------------------------------------------------
def test_children_start_with_the_embedded_broker(tmp_path: Path) -> None:
    assert [child.name for child in serving.children(EMBEDDED, logs=tmp_path)] == ["valkey", "web", "worker", "beat"]
    assert [child.name for child in serving.children(ELSEWHERE, logs=tmp_path)] == ["web", "worker", "beat"]


def test_only_the_worker_and_beat_wait_for_a_broker_elsewhere(tmp_path: Path) -> None:
    waiting = [child.name for child in serving.children(ELSEWHERE, logs=tmp_path) if child.may_start is not None]

    assert waiting == ["worker", "beat"]


def test_no_command_line_holds_the_brokers_address(tmp_path: Path) -> None:
    children = serving.children(EMBEDDED, logs=tmp_path)

    assert [child.name for child in children if any("secret" in part for part in child.command)] == []
    assert "secret" not in repr(children)
    assert {child.environment["REDIS_URL"] for child in children} == {EMBEDDED.url}


def test_children_compute_on_one_thread_each_and_find_our_modules(settings: Settings) -> None:
    found = serving.child_environment(EMBEDDED)

    assert [found["OMP_NUM_THREADS"], found["OPENBLAS_NUM_THREADS"]] == ["1", "1"]
    assert found["PYTHONPATH"].split(os.pathsep)[0] == str(settings.BASE_DIR)
    assert found["TICKETCLF_VAR"] == str(settings.VAR)


def test_only_several_web_processes_count_in_files(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/of/the/shell")

    found = {}
    for settings.WEB_PROCESSES in (1, 2):
        children = serving.children(EMBEDDED, logs=tmp_path)
        found[settings.WEB_PROCESSES] = {
            child.name: child.environment["PROMETHEUS_MULTIPROC_DIR"]
            for child in children
            if "PROMETHEUS_MULTIPROC_DIR" in child.environment
        }

    assert found == {1: {}, 2: {"web": str(settings.VAR / "counts")}}


def test_start_empties_the_counts(settings: Settings) -> None:
    settings.WEB_PROCESSES = 2
    serving.empty_counts()
    (settings.VAR / "counts" / "counter_1.db").touch()

    serving.empty_counts()
    left = list((settings.VAR / "counts").iterdir())
    settings.WEB_PROCESSES = 1
    serving.empty_counts()

    assert left == []
    assert not (settings.VAR / "counts").exists()


def test_worker_reads_both_queues_with_the_processes_that_are_set(settings: Settings) -> None:
    settings.WORKER_PROCESSES = 3

    command = " ".join(serving.worker_command("us@here"))

    assert command.startswith("nice -n 10 ")
    assert "--queues default,training --concurrency 3" in command


def test_web_listens_where_it_is_told_with_the_threads_that_are_set(settings: Settings) -> None:
    settings.API_HOST, settings.API_PORT, settings.WEB_THREADS = "localhost", 8123, 5

    command = " ".join(serving.web_command())

    assert "--host 127.0.0.1 --port 8123 --workers 1 --blocking-threads 5 " in command


def test_several_web_processes_are_started_anew_by_the_server(settings: Settings) -> None:
    settings.WEB_PROCESSES = 3

    command = " ".join(serving.web_command())

    assert "--workers 3 " in command
    assert "--respawn-failed-workers" in command


def test_json_logs_are_asked_of_every_process_of_ours(settings: Settings, tmp_path: Path) -> None:
    settings.LOG_FORMAT = "json"

    children = {child.name: child for child in serving.children(EMBEDDED, logs=tmp_path)}

    assert {name for name, child in children.items() if child.json_log} == {"web", "worker", "beat"}
    assert "--quiet" in children["worker"].command
    assert "--quiet" in children["beat"].command
    assert Path(children["web"].command[children["web"].command.index("--log-config") + 1]).is_file()


def test_beat_is_ready_when_its_banner_names_the_scheduler(tmp_path: Path) -> None:
    beat = serving.children(EMBEDDED, logs=tmp_path)[-1]
    assert beat.ready is not None
    log = tmp_path / "beat.log"

    log.write_text("=== started once ===\n    . scheduler -> ours\n=== started again ===\ncelery beat is starting.\n")
    early = beat.ready()
    log.write_text(log.read_text() + "    . scheduler -> ours\n")

    assert [early, beat.ready()] == [False, True]


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/api/health/live" and self.headers["Host"] == "tickets.example.com"
        self.send_response(200 if known else 400)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(settings: Settings) -> Iterator[None]:
    with http.server.HTTPServer(("127.0.0.1", settings.API_PORT), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("web")
def test_web_is_asked_under_a_name_that_it_answers_to(settings: Settings) -> None:
    settings.ALLOWED_HOSTS, settings.API_HOST = ["*", ".tickets.example.com"], "0.0.0.0"  # noqa: S104
    known = serving.web_answers()
    settings.ALLOWED_HOSTS = ["*"]

    assert [known, serving.web_answers()] == [True, False]


def test_web_that_is_not_there_does_not_answer() -> None:
    assert not serving.web_answers()


# --- What is said ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["bash", "zsh", "dash"])
def test_curl_line_pastes_into_a_shell(name: str) -> None:
    if shutil.which(name) is None:
        return  # it cannot be pasted into a shell that is not there
    line = serving.curl("http://127.0.0.1:8000", api_key="$API_KEY")
    script = f'curl() {{ for part in "$@"; do printf \'%s\\n\' "$part"; done; }}\n{line}\n'

    done = subprocess.run([name, "-c", script], env={"API_KEY": "a.b"}, capture_output=True, text=True, check=True)

    *options, body = done.stdout.splitlines()
    assert options == [
        "-X", "POST", "http://127.0.0.1:8000/api/predict",
        "-H", "Authorization: Api-Key a.b", "-H", "Content-Type: application/json", "-d",
    ]  # fmt: skip
    assert json.loads(body) == {
        "tickets": ["I was double charged", "App keeps crashing", "I can't log into my account"]
    }


def test_greeting_holds_the_addresses_and_a_key_that_was_just_made(settings: Settings) -> None:
    site = f"http://127.0.0.1:{settings.API_PORT}"

    lines = [line.strip() for line in serving.greeting(api_key="pre.secret").splitlines()]

    assert lines[1:5] == [
        f"Site      {site}/",
        f"Admin     {site}/admin/",
        f"API docs  {site}/api/docs/",
        f"Logs      {settings.VAR}/logs",
    ]
    assert [line for line in lines if line.startswith("curl ") and '"Authorization: Api-Key pre.secret"' in line]
    assert [line for line in lines if "create_api_key" in line] == []


def test_greeting_without_a_key_tells_how_to_make_one() -> None:
    lines = serving.greeting(api_key=None).splitlines()

    assert [line for line in lines if line.startswith("curl ") and "Api-Key $API_KEY" in line]
    assert [line for line in lines if ".venv/bin/python manage.py create_api_key NAME --scope predict" in line]


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("127.0.0.1", "127.0.0.1")])  # noqa: S104
def test_address_that_is_shown_can_be_called(settings: Settings, host: str, shown: str) -> None:
    settings.API_HOST = host

    assert f"http://{shown}:{settings.API_PORT}/admin/" in serving.greeting(api_key=None)


# --- The door -------------------------------------------------------------------------------------
def test_up_on_a_folder_in_use_is_bad_usage(settings: Settings) -> None:
    with locked(settings.VAR), pytest.raises(BadUsage, match=r"Only one `manage\.py up`"):
        call_command("up")


def test_up_on_a_port_in_use_is_bad_usage(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.API_PORT)),
        pytest.raises(BadUsage, match=rf"Port {settings.API_PORT} .* must be free"),
    ):
        call_command("up")


def test_up_on_windows_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.sys, "platform", "win32")

    with pytest.raises(CannotStart, match=r"Windows is not one\. Run it in WSL2\."), serving.reserved():
        pass


def test_web_that_could_not_start_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(_lock: int, **_named: object) -> None:
        raise GaveUp("web must start; it does not.")

    monkeypatch.setattr(serving, "up", give_up)

    with pytest.raises(Refused, match=r"web must start"):
        call_command("up")


@pytest.mark.django_db
def test_database_that_lacks_a_migration_is_refused_with_the_mend() -> None:
    newest = MigrationLoader(connection).graph.leaf_nodes("mlops")[0]
    MigrationRecorder(connection).record_unapplied(*newest)

    with pytest.raises(CannotStart, match=r"it lacks 1\. Run `\.venv/bin/python manage\.py migrate`\."):
        serving.check_migrations()


def test_database_that_does_not_answer_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_connection: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(serving, "MigrationExecutor", refuse)

    with pytest.raises(CannotStart, match=r"it does not \(connection refused\)\. Start it or correct DATABASE_URL\."):
        serving.check_migrations()


@pytest.mark.django_db
def test_up_starts_the_embedded_broker_first_and_stops_when_told(settings: Settings) -> None:
    class Console(io.StringIO):
        def write(self, text: str) -> int:
            if "ready" in text:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().write(text)

    console = Console()
    call_command("up", stdout=console)
    said = console.getvalue().splitlines()

    assert said[0] == f"Starting; what the processes say goes to {settings.VAR}/logs"
    assert "valkey   ready in" in said[1]
    assert "valkey   stopped in" in said[-1]
