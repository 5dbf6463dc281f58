"""What the settings make of the environment: the secret key, the var folder, the database, HTTPS."""

from __future__ import annotations

import os
import runpy
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ticketclf.environment import BY_NAME, BadVariable

ROOT = Path(__file__).resolve().parent.parent
KEY = "a long enough and quite random secret key 0123456789"
POSTGRES = "postgres://ticket:hunter2@db.example.com:5433/tickets"


@pytest.fixture
def var(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A var folder that is not there yet, and an environment that names nothing else."""
    for name in BY_NAME:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "deep" / "var"
    monkeypatch.setenv("TICKETCLF_VAR", str(folder))
    return folder


def start(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, Any]:
    """The settings as a start with these variables reads them."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "ticketclf" / "settings.py"))


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in BY_NAME}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# --- The command line -----------------------------------------------------------------------------
def test_check_with_malformed_variable_exits_2_in_one_line(tmp_path: Path) -> None:
    done = manage("check", TICKETCLF_VAR=str(tmp_path), DATABASE_URL="postgres://u:hunter2@h:port/d", SECRET_KEY=KEY)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: DATABASE_URL must be an address such as postgres://user:password@host")
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


def test_check_on_a_var_folder_that_cannot_be_written_exits_2(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()

    done = manage("check", TICKETCLF_VAR=str(in_the_way / "var"))

    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: TICKETCLF_VAR must name a folder that can be written; {in_the_way}")
    assert "Name another folder" in done.stderr


def test_check_with_nothing_set_but_the_var_folder_passes(tmp_path: Path) -> None:
    done = manage("check", TICKETCLF_VAR=str(tmp_path / "var"))

    assert (done.returncode, done.stderr) == (0, "")


# --- The secret key -------------------------------------------------------------------------------
def test_first_start_makes_a_secret_key_that_only_the_owner_reads(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start(monkeypatch)["SECRET_KEY"]
    second = start(monkeypatch)["SECRET_KEY"]

    assert first == second == (var / "secret_key").read_text()
    assert len(first) >= 50
    assert stat.S_IMODE((var / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in var.glob("secret_key*")] == ["secret_key"], "nothing of the making is left"


def test_var_folder_is_closed_to_others(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(monkeypatch)

    assert stat.S_IMODE(var.stat().st_mode) == 0o700


def test_first_starts_at_once_read_one_secret_key(var: Path) -> None:
    script = "import runpy; input(); print(runpy.run_path('ticketclf/settings.py')['SECRET_KEY'])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    keys = set()
    for process in starts:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in starts:
        keys.add(process.communicate(timeout=60)[0])

    assert [process.returncode for process in starts] == [0, 0, 0, 0]
    assert len(keys) == 1
    assert keys == {(var / "secret_key").read_text() + "\n"}


def test_secret_key_of_the_environment_is_used_and_none_is_written(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch, SECRET_KEY=KEY)["SECRET_KEY"] == KEY
    assert list(var.glob("secret_key*")) == []


def test_database_without_secret_key_is_refused(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadVariable, match=r"SECRET_KEY must be set when DATABASE_URL is.*token_urlsafe"):
        start(monkeypatch, DATABASE_URL=POSTGRES)


@pytest.mark.parametrize("key", ["x" * 49, "abcd" * 20, "django-insecure-short"])
def test_weak_secret_key_is_refused_and_not_repeated(key: str, var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadVariable, match="SECRET_KEY must have at least 50 random characters") as caught:
        start(monkeypatch, SECRET_KEY=key)

    assert key not in str(caught.value)


def test_secret_key_file_that_cannot_be_made_is_told(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # chmod does not bind root, so something stands where the file is first written.
    (var / f"secret_key.{os.getpid()}").mkdir(parents=True)

    with pytest.raises(BadVariable, match="TICKETCLF_VAR must name a folder that can be written"):
        start(monkeypatch)


# --- The database ---------------------------------------------------------------------------------
def test_embedded_database_is_sqlite_that_waits_its_turn(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = start(monkeypatch)["DATABASES"]["default"]

    assert database["NAME"] == str(var / "ticketclf.sqlite3")
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


def test_postgres_address_is_taken_apart(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = start(monkeypatch, DATABASE_URL=POSTGRES, SECRET_KEY=KEY)["DATABASES"]["default"]

    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["USER"], database["PASSWORD"], database["HOST"]) == ("ticket", "hunter2", "db.example.com")
    assert (database["PORT"], database["NAME"]) == (5433, "tickets")
    assert database["CONN_HEALTH_CHECKS"] is True
    assert "transaction_mode" not in database.get("OPTIONS", {})


# --- HTTPS ----------------------------------------------------------------------------------------
def test_https_makes_cookies_secure_and_redirects(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = start(monkeypatch, HTTPS="true")

    assert found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is found["SECURE_SSL_REDIRECT"] is True
    assert found["SECURE_HSTS_SECONDS"] >= 31_536_000


def test_without_https_pages_work_on_plain_http(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = start(monkeypatch)

    assert found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is found["SECURE_SSL_REDIRECT"] is False
    assert found["SECURE_HSTS_SECONDS"] == 0


@pytest.mark.parametrize(("behind", "trusted"), [("true", True), ("false", False)])
def test_forwarded_header_is_trusted_only_behind_a_proxy(
    behind: str, trusted: bool, var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = start(monkeypatch, BEHIND_PROXY=behind)

    assert ("SECURE_PROXY_SSL_HEADER" in found) is trusted


def test_debug_is_off_unless_asked_for(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch)["DEBUG"] is False
    assert start(monkeypatch, DEBUG="true")["DEBUG"] is True


def test_no_broker_address_means_one_that_refuses_at_once(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch)["CELERY_BROKER_URL"] == "redis://127.0.0.1:1/0"
    assert start(monkeypatch, REDIS_URL="redis://h:6379/0")["CELERY_BROKER_URL"] == "redis://h:6379/0"


def test_more_predictions_needed_than_a_window_holds_stops_the_start(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadVariable, match="DRIFT_MIN_PREDICTIONS must be at most DRIFT_WINDOW"):
        start(monkeypatch, DRIFT_MIN_PREDICTIONS="400", DRIFT_WINDOW="300")
