"""What `manage.py up` runs: web, worker, beat and, unless REDIS_URL names a broker, the embedded Valkey."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from django.conf import settings
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from mlops.broker import Broker, embedded, worker_answers
from mlops.reserving import CannotStart, check_port, locked, numeric
from mlops.supervisor import Child, Supervisor, log_since_start

EXAMPLES = ("I was double charged", "App keeps crashing", "I can't log into my account")
NEW_KEY = ".venv/bin/python manage.py create_api_key NAME --scope predict"
HEALTH = "/api/health/live"
COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name; it must be set before that is imported
WARM_SECONDS = 10.0  # a task in hand may end; a training goes back to the queue
COLD_SECONDS = 3.0
GRANIAN_LOGS = settings.BASE_DIR / "ticketclf" / "granian_logs.json"  # the form of its own few lines
NICENESS = 10  # a training takes what the answers leave


@contextlib.contextmanager
def reserved() -> Iterator[int]:
    """The var folder, for this process alone, and a free port. Raises CannotStart.

    quickstart takes it before it trains, so that it does not find out a minute later.
    """
    if sys.platform == "win32":
        raise CannotStart("`manage.py up` needs a Unix; Windows is not one. Run it in WSL2.")
    with locked(settings.VAR) as lock:
        check_port(settings.API_HOST, settings.API_PORT)
        yield lock


def up(lock: int, *, say: Callable[[str], None], api_key: str | None = None) -> None:
    """Runs everything until a signal stops it. lock is what reserved() gave; api_key is shown in the curl line.

    Raises CannotStart before anything is started, GaveUp if the web cannot start.
    """
    check_migrations()
    broker = Broker(url=settings.REDIS_URL) if settings.REDIS_URL else embedded(settings.VAR / "valkey")
    logs = settings.VAR / "logs"
    connection.close()  # this process only watches from here on
    empty_counts()
    say(f"Starting; what the processes say goes to {logs}")
    supervisor = Supervisor(children(broker, logs=logs), logs=logs, say=say, lock=lock)
    supervisor.run(greeting=greeting(api_key=api_key))


def check_migrations() -> None:
    """Raises CannotStart unless the database answers and has every migration."""
    try:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except OperationalError as error:
        raise CannotStart(
            f"The database must answer; it does not ({error}). Start it or correct DATABASE_URL."
        ) from None
    if missing:
        raise CannotStart(
            f"The database must have every migration; it lacks {missing}. Run `.venv/bin/python manage.py migrate`."
        )


def children(broker: Broker, *, logs: Path) -> list[Child]:
    """All that `up` runs, in the order of starting; they stop in the opposite one."""
    environment = child_environment(broker)
    counting = {**environment, COUNTS: str(settings.VAR / "counts")} if settings.WEB_PROCESSES > 1 else environment
    is_json = settings.LOG_FORMAT == "json"
    valkey = Child(name="valkey", command=broker.command, environment=environment, ready=broker.answers, vital=True)
    web = Child(
        name="web",
        command=web_command(),
        environment=counting,
        ready=web_answers,
        vital=True,
        may_start=broker.answers if broker.command else None,
        waits_for="the embedded Valkey",
        json_log=is_json,
    )
    node = f"up-{secrets.token_hex(4)}@{socket.gethostname()}"
    worker = Child(
        name="worker",
        command=worker_command(node),
        environment=environment,
        may_start=broker.answers,
        ready=worker_answers(broker, node=node, options=settings.CELERY_BROKER_TRANSPORT_OPTIONS),
        waits_for=f"the broker at {broker.shown}",
        json_log=is_json,
        # The second signal gives unfinished tasks back to the queue.
        stop_with=((signal.SIGTERM, WARM_SECONDS), (signal.SIGQUIT, COLD_SECONDS)),
    )
    beat = Child(
        name="beat",
        command=celery("beat"),
        environment=environment,
        may_start=broker.answers,
        ready=lambda: "scheduler ->" in log_since_start(logs / "beat.log"),  # what it says first, at every log level
        waits_for=f"the broker at {broker.shown}",
        json_log=is_json,
    )
    return [valkey, web, worker, beat] if broker.command else [web, worker, beat]


def child_environment(broker: Broker) -> Mapping[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name.upper() != COUNTS},
        "REDIS_URL": broker.url,
        "TICKETCLF_VAR": str(settings.VAR),
        # `up` may be called from any folder.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(settings.BASE_DIR), os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        # Two trainings with two threads each on two cores take three times as long as with one each.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def empty_counts() -> None:
    """Makes the folder in which several web processes count anew: what is in it adds up from start to start of `up`.

    Not the web child's start: one that died and came back goes on with its counts. One process counts in its memory,
    and the worker counts nothing: its children come and go, and each would leave its files.
    """
    folder = settings.VAR / "counts"
    shutil.rmtree(folder, ignore_errors=True)
    if settings.WEB_PROCESSES > 1:
        folder.mkdir(mode=0o700, exist_ok=True)


def web_command() -> tuple[str, ...]:
    return (
        sys.executable, "-m", "granian", "--interface", "wsgi",
        "--host", numeric(settings.API_HOST), "--port", str(settings.API_PORT),
        "--workers", str(settings.WEB_PROCESSES), "--blocking-threads", str(settings.WEB_THREADS),
        # The others go on answering while a new one starts; a single one is the supervisor's to start again.
        *(("--respawn-failed-workers",) if settings.WEB_PROCESSES > 1 else ()),
        "--blocking-threads-idle-timeout", "600",  # a thread that ends takes its database connection with it
        "--http", "1", "--no-ws", "--no-access-log",
        *(("--log-config", str(GRANIAN_LOGS)) if settings.LOG_FORMAT == "json" else ()),
        "ticketclf.wsgi:application",
    )  # fmt: skip


def worker_command(node: str) -> tuple[str, ...]:
    return (
        "nice", "-n", str(NICENESS),
        *celery("worker", "--queues", "default,training", "--concurrency", str(settings.WORKER_PROCESSES)),
        # What these two tell workers of each other costs a second at each start and nobody asks for it.
        "--hostname", node, "--without-mingle", "--without-gossip",
    )  # fmt: skip


def celery(*arguments: str) -> tuple[str, ...]:
    level = settings.LOGGING["root"]["level"]  # Celery's own default would lift the level to WARNING
    quiet = ("--quiet",) if settings.LOG_FORMAT == "json" else ()  # no banner, which is no JSON
    return (sys.executable, "-m", "celery", *quiet, "-A", "ticketclf.celery", *arguments, "--loglevel", level)


def web_answers() -> bool:
    """Whether the web process answers its health check, under a name that ALLOWED_HOSTS lists."""
    names = [name.lstrip(".") for name in settings.ALLOWED_HOSTS if name != "*"]
    client = http.client.HTTPConnection(reachable_host(), settings.API_PORT, timeout=1)
    try:
        client.request("GET", HEALTH, headers={"Host": names[0] if names else "localhost"})
        return client.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


def reachable_host() -> str:
    """The host to call: one that listens on all addresses is reached on loopback."""
    host = numeric(settings.API_HOST)
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- looked up, not bound to


def greeting(*, api_key: str | None) -> str:
    """The addresses, and a curl line to paste."""
    host = reachable_host()
    site = f"http://{f'[{host}]' if ':' in host else host}:{settings.API_PORT}"
    lines = [
        "",
        f"  Site      {site}/",
        f"  Admin     {site}/admin/",
        f"  API docs  {site}/api/docs/",
        f"  Logs      {settings.VAR / 'logs'}",
        "",
        "Try it:",
        curl(site, api_key=api_key or "$API_KEY"),
    ]
    if api_key is None:
        lines += ["with a key that this makes (it is shown once):", f"export API_KEY=$({NEW_KEY} | tail -n 1)"]
    return "\n".join([*lines, "", "Ctrl-C stops everything.", ""])


def curl(site: str, *, api_key: str) -> str:
    """One line to paste into bash or zsh that asks for the categories of the example tickets."""
    # A quoted text cannot hold an apostrophe: it ends, an escaped one follows, and it begins again.
    body = json.dumps({"tickets": EXAMPLES}).replace("'", "'\\''")
    return (
        f'curl -X POST {site}/api/predict -H "Authorization: Api-Key {api_key}" '
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
