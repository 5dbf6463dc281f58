"""A served demonstration for browsers: a var folder with everything in it, its web server, and Chromium signed in.

The tests marked browser and `make screenshots` use it. Nothing in it knows of pytest.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get("TICKETCLF_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
PERSON, PASSWORD = "ada", secrets.token_urlsafe(12)
START_SECONDS = 60.0
SHIPPED_ROWS = 900  # of the shipped tickets: enough for a version that answers well, trained in some seconds
ASKED = 240  # further shipped tickets that are asked about, so that there are answers without a label
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def manage(var: Path, *arguments: str) -> str:
    """What a command on a var folder prints. Raises RuntimeError with what it said if it fails."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(var),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"manage.py {' '.join(arguments)} failed: {done.stdout}{done.stderr}")
    return done.stdout


def environment(var: Path) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}
    }
    return {
        **kept,
        "TICKETCLF_VAR": str(var),
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def make_empty(var: Path) -> Path:
    """A var folder with every table and a person, and nothing else."""
    manage(var, "migrate", "-v0")
    manage(var, "createsuperuser", "--noinput", "--username", PERSON, "--email", "ada@example.com")
    return var


def make_full(var: Path, work: Path) -> Path:
    """A var folder with labelled tickets, a version in production, answers, and sample rows of everything else."""
    make_empty(var)
    with (ROOT / "data" / "raw" / "support_tickets.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labelled = work / "labelled.csv"
    with labelled.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *((row["text"], row["label"]) for row in rows[:SHIPPED_ROWS])])
    manage(var, "import_tickets", str(labelled), "--create-categories")
    manage(var, "train")
    with served(var) as address:
        ask(var, address, [row["text"] for row in rows[SHIPPED_ROWS : SHIPPED_ROWS + ASKED]])
    manage(var, "watch_drift")
    manage(var, "generate_sample_logs", "--num-logs", "1500", "--hours-back", "48")
    manage(var, "generate_sample_reports", "--include-drift")
    return var


def ask(var: Path, address: str, texts: list[str]) -> None:
    """Asks the API about texts, twenty a call, as a help desk would."""
    key = manage(var, "create_api_key", "helpdesk", "--scope", "predict").split()[-1]
    for start in range(0, len(texts), 20):
        body = json.dumps({"tickets": texts[start : start + 20]}).encode()
        headers = {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}
        call = urllib.request.Request(f"{address}/api/predict", body, headers)  # noqa: S310 (served() gave it)
        with urllib.request.urlopen(call, timeout=30) as answer:  # noqa: S310
            answer.read()


@contextlib.contextmanager
def served(var: Path) -> Iterator[str]:
    """The address of a web server over a var folder; it ends with the block."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--blocking-threads", "4", "--http", "1", "--no-ws", "ticketclf.wsgi:application"]
    address = f"http://127.0.0.1:{port}"
    with (var / "web.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(var), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(f"{address}/api/health/live", process)
            yield address
        finally:
            process.terminate()
            process.wait(15)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1):  # noqa: S310
            return
        time.sleep(0.1)
    raise RuntimeError(f"The web server must answer at {address} within {START_SECONDS:.0f} s; it does not.")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser, the distribution's own."""
    from playwright.sync_api import sync_playwright  # only where a browser is driven

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"])
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Any, address: str) -> None:
    """Signs the person in through the page that everybody uses."""
    page.goto(f"{address}/")
    page.fill("input[name=username]", PERSON)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{address}/")
