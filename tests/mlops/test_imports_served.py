"""Imports through real processes: the bar moves while SQLite is written, and a killed worker leaves all or nothing."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import time
import urllib.request
from http.cookiejar import Cookie, CookieJar
from pathlib import Path
from typing import Any

import pytest

from tests.factories import shipped
from tests.mlops.up import Starter, Up, manage, until

pytestmark = pytest.mark.servers
N_ROWS = 24_000  # some seconds of writing, also on a quick machine
SECONDS = 150
SIGN_IN = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from classifier.models import User
user = User.objects.create_superuser("ada", password="a long enough one")
session = import_module(settings.SESSION_ENGINE).SessionStore()
session.update({SESSION_KEY: str(user.pk), BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[-1],
                HASH_SESSION_KEY: user.get_session_auth_hash()})
session.save()
print("session", session.session_key)
"""


class Browser:
    """Somebody who is signed in at a running service."""

    def __init__(self, up: Up, *, session: str) -> None:
        self.up = up
        self.address = f"http://127.0.0.1:{up.port}"
        jar, here = CookieJar(), ("127.0.0.1", True, False)
        jar.set_cookie(
            Cookie(0, "sessionid", session, None, False, *here, "/", True, False, None, True, None, None, {})
        )
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def get(self, path: str) -> str:
        return self._open(urllib.request.Request(f"{self.address}{path}"))  # noqa: S310 (http, above)

    def post(self, path: str, fields: dict[str, str], *, file: bytes | None = None) -> str:
        """Sends a form, and gives the page that it leads to."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path))
        assert token is not None
        fields = {"csrfmiddlewaretoken": token[1], **fields}
        parts = [
            f'--mark\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        if file is not None:
            head = b'--mark\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\n'
            parts.append(head + file + b"\r\n")
        body = b"".join([*parts, b"--mark--\r\n"])
        headers = {"Content-Type": "multipart/form-data; boundary=mark"}
        return self._open(urllib.request.Request(f"{self.address}{path}", data=body, headers=headers))  # noqa: S310

    def _open(self, request: urllib.request.Request) -> str:
        with self.opener.open(request, timeout=60) as answer:
            return str(answer.read().decode())

    def job(self) -> dict[str, Any]:
        """The newest import, as the database has it."""
        database = sqlite3.connect(f"file:{self.up.var}/ticketclf.sqlite3?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        try:
            rows = database.execute("SELECT * FROM mlops_importjob ORDER BY id DESC LIMIT 1").fetchall()
            counted = database.execute("SELECT count(*), count(DISTINCT text_digest) FROM classifier_ticket").fetchone()
        finally:
            database.close()
        return {**dict(rows[0]), "n_tickets": counted[0], "n_texts": counted[1]} if rows else {"n_tickets": counted[0]}

    def at_work(self) -> int:
        """The process that holds the file of the import that runs."""
        (lock,) = (self.up.var / "imports").glob("*.lock")
        inode = lock.stat().st_ino
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return next(int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].endswith(f":{inode}"))


def big_file() -> bytes:
    """Made-up tickets, no two alike, as CSV."""
    chance = random.Random(7)
    words = [word for text, _ in shipped() for word in text.replace('"', "").split()]
    rows = (f'"{number} {" ".join(chance.choices(words, k=12))}",billing\n' for number in range(N_ROWS))
    return ("text,label\n" + "".join(rows)).encode()


@pytest.fixture
def browser(var: Path, start: Starter) -> Browser:
    done = manage("shell", "-c", SIGN_IN, var=str(var))
    assert done.returncode == 0, done.stderr
    return Browser(start(), session=done.stdout.split("session ")[-1].split()[0])


@pytest.fixture
def number(browser: Browser) -> int:
    """An import that was looked at by the worker, and can be started."""
    browser.post("/imports", {"create_categories": "on"}, file=big_file())
    until(lambda: browser.job()["status"] == "uploaded", seconds=SECONDS, what=f"the preview of {browser.job()}")
    assert browser.job()["n_tickets"] == 0
    return int(browser.job()["id"])


def followed(browser: Browser, number: int) -> list[tuple[float, str]]:
    """What the bar showed until the import had ended: share and step."""
    seen: list[tuple[float, str]] = []
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        part = browser.get(f"/imports/{number}/progress")
        if "data-address" not in part:
            return seen
        if (share := re.search(r'value="([\d.]+)"', part)) and (step := re.search(r'polite">([^<]*)<', part)):
            seen.append((float(share[1]), step[1]))
        time.sleep(0.2)
    pytest.fail(f"not ended: {browser.job()}")


def test_bar_moves_while_the_import_writes_and_a_second_click_changes_nothing(browser: Browser, number: int) -> None:
    browser.post(f"/imports/{number}", {"action": "start"})
    again = browser.post(f"/imports/{number}", {"action": "start"})

    seen = followed(browser, number)

    job = browser.job()
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert job["n_tickets"] == job["n_texts"] == N_ROWS
    assert re.search(r"was started already|runs already", again)
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    # From "Storing tickets" on the transaction is open, and the row cannot be written on SQLite.
    assert len({share for share, step in seen if step.startswith(("Storing", "Noting"))}) >= 2


@pytest.mark.parametrize("step", ["Storing tickets", "Noting near-duplicates"])
def test_import_whose_process_is_killed_leaves_nothing_and_is_begun_again(
    browser: Browser, number: int, step: str
) -> None:
    browser.post(f"/imports/{number}", {"action": "start"})
    until(lambda: step in browser.get(f"/imports/{number}/progress"), seconds=SECONDS, what=f"{step}: {browser.job()}")

    os.kill(browser.at_work(), signal.SIGKILL)
    left = browser.job()["n_tickets"]

    followed(browser, number)
    job = browser.job()
    assert left == 0
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert job["n_tickets"] == job["n_texts"] == N_ROWS
    assert f"Kept: {N_ROWS:,} new tickets. Categories made: 1." in browser.get(f"/imports/{number}")


def test_file_that_is_too_large_is_refused_in_words(browser: Browser) -> None:
    page = browser.post("/imports", {}, file=b"text,label\n" + b"x" * 25_000_000)

    assert "The file must have at most 20 MB." in page
    assert browser.job() == {"n_tickets": 0}
