"""The suite's frame: its own environment, its own var folder, no network, and what a run demands of itself.

The variables are set while this file is imported, before Django's settings are. That is also why pyproject.toml names
no DJANGO_SETTINGS_MODULE: pytest-django would read the settings before any conftest, in the developer's environment.
"""

from __future__ import annotations

import importlib
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from ticketclf import environment

if "ticketclf.settings" in sys.modules:
    raise pytest.UsageError(
        "The suite sets its own environment before the settings are read; they have been read already, because "
        "DJANGO_SETTINGS_MODULE or --ds names them. Run `unset DJANGO_SETTINGS_MODULE` and pytest again."
    )

# Each process its own: pytest-xdist's workers import this file too.
SUITE_VAR = Path(tempfile.mkdtemp(prefix="ticketclf-suite-"))
# What .ci/run sets to run the same suite on real servers; the names are others than the program's, so that a
# developer's exported DATABASE_URL is never the database that a suite empties.
SERVERS = {"DATABASE_URL": "TICKETCLF_TEST_DATABASE_URL", "REDIS_URL": "TICKETCLF_TEST_REDIS_URL"}


def set_environment() -> None:
    """Nothing of the developer's shell, but the servers that were given to the suite by name."""
    for name in environment.BY_NAME:
        os.environ.pop(name, None)
    for name, given in SERVERS.items():
        if os.environ.get(given):
            os.environ[name] = os.environ[given]
    os.environ["TICKETCLF_VAR"] = str(SUITE_VAR)
    os.environ["SECRET_KEY"] = secrets.token_urlsafe(50)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DJANGO_SETTINGS_MODULE"] = "ticketclf.settings"


def set_signals() -> None:
    """Ctrl-C and a closed terminal mean what they mean in a shell, also under nohup or in a script's background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


set_signals()
set_environment()
from django.conf import settings  # noqa: E402 -- only now

if "sqlite" in settings.DATABASES["default"]["ENGINE"]:
    # A file, as in real use: threads that share one in memory get "table is locked" at once, whatever the timeout.
    settings.DATABASES["default"]["TEST"] = {"NAME": str(SUITE_VAR / "suite.sqlite3")}
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a safe one takes 0.2 s a user
# pytest-xdist's workers inherit the environment, and must come by here before they read the settings.
del os.environ["DJANGO_SETTINGS_MODULE"]
# The same examples at each run, and no time limit on one: a busy machine is no failure.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("suite")


# --- What a run demands of itself -----------------------------------------------------------------
def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="A skipped test fails the run (.ci/run's marked phases).")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core; none for named files, where starting the workers takes longer than the tests."""
    named = [Path(argument.split("::")[0]) for argument in config.args]
    if all(path.is_file() for path in named):
        return 0
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def skipped(config: pytest.Config) -> list[Any]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.stats.get("skipped", []) if reporter and config.getoption("--no-skips") else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    if skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for report in skipped(config):
        terminalreporter.write_line(f"Skipped, and --no-skips forbids it: {report.nodeid}: {report.longrepr}", red=True)


def pytest_unconfigure() -> None:
    shutil.rmtree(SUITE_VAR, ignore_errors=True)


# --- Who is there ---------------------------------------------------------------------------------
@pytest.fixture
def boss(db: None) -> Any:
    """A superuser, ada."""
    from tests import factories  # Django is not ready while this file is read

    return factories.make_user("ada", is_superuser=True)


@pytest.fixture
def at(client: Any, boss: Any) -> Any:
    """A browser with the superuser signed in."""
    client.force_login(boss)
    return client


# --- Records that a flush must empty ----------------------------------------------------------------
@pytest.fixture(autouse=True, scope="session")
def lifted_for_flushes() -> Iterator[None]:
    """The triggers that guard promotions and datasets stand in every test, and step aside while a flush empties all."""
    from django.db import connection
    from django.test import TransactionTestCase

    guards = importlib.import_module("mlops.migrations.0003_append_only")
    real = TransactionTestCase._fixture_teardown

    def teardown(case: TransactionTestCase) -> None:
        with connection.schema_editor() as editor:
            guards.remove(None, editor)
        try:
            real(case)
        finally:
            with connection.schema_editor() as editor:
                guards.install(None, editor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
        yield


# --- No network -----------------------------------------------------------------------------------
def is_here(host: Any) -> bool:
    """Whether a name or an address is this machine's own: loopback, its name, or none."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost", socket.gethostname()}:
        return True
    return is_number(name) and ipaddress.ip_address(name).is_loopback


def is_number(host: Any) -> bool:
    """Whether a host is an IP address, which no name server has to be asked for."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def refusing(real: Callable[..., Any], goes_out: Callable[..., bool]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if goes_out(*arguments):
            # Not an Exception, so that no `except Exception` of the code under test can hide it.
            pytest.fail(f"The suite has no network; something asked for {arguments!r}. Use a server on 127.0.0.1.")
        return real(*arguments, **named)

    return call


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Connections and name look-ups that leave this machine fail the test that makes them."""

    def connecting(_socket: socket.socket, peer: Any) -> bool:
        return isinstance(peer, tuple) and not is_here(peer[0])  # a Unix socket's address is a path

    def looking_up(host: Any, *_: Any) -> bool:
        return not (is_here(host) or is_number(host))

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, refusing(getattr(socket.socket, name), connecting))
        patch.setattr(socket, "getaddrinfo", refusing(socket.getaddrinfo, looking_up))
        yield
