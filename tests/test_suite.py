"""The suite's frame (conftest.py) does what it promises: its own folder, no network, no silent skip."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
ONE_SKIPPED = "import pytest\ndef test_skip(): pytest.skip('no server')\ndef test_pass(): pass\n"


def test_suite_writes_to_a_folder_of_its_own() -> None:
    assert settings.VAR.name.startswith("ticketclf-suite-")
    assert ROOT not in settings.VAR.parents


@pytest.mark.parametrize("peer", [("192.0.2.1", 80), ("tickets.example.com", 80), ("2001:db8::1", 80)])
def test_suite_has_no_network(peer: tuple[str, int]) -> None:
    with socket.socket() as client, pytest.raises(pytest.fail.Exception, match="The suite has no network"):
        client.connect(peer)


def test_suite_asks_no_name_server() -> None:
    with pytest.raises(pytest.fail.Exception, match="The suite has no network"):
        socket.getaddrinfo("tickets.example.com", 80)


def test_suite_reaches_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def test_skipped_test_fails_a_run_that_forbids_skips(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_skip.py").write_text(ONE_SKIPPED)

    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "--no-skips", str(tmp_path)],
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert "--no-skips forbids it" in done.stdout
