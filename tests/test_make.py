"""`make` on machines that we do not have: tools/bootstrap.sh with Pythons that only play one. Nothing is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.txt", "requirements-test.txt")
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3", "python")
# Answers what bootstrap.sh asks a Python, and keeps what it was asked. VERSION, VENV and PIP say how it plays.
ACTOR = """#!/bin/sh
echo "$*" >> "$ASKED"
case "$*" in
*python_version*) echo "$VERSION" ;;
*"import ensurepip, venv"*) [ "$VENV" = yes ] ;;
*version_info*) [ "$VERSION" != 3.8.18 ] ;;
"-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
"-m pip install "*) echo "$PIP"; case "$PIP" in *ERROR*) exit 1 ;; esac ;;
*quickstart*) echo "quickstart runs" ;;
esac
"""


class Machine:
    """A copy of what make needs, in a folder with a space, and the only Pythons on its PATH."""

    def __init__(self, folder: Path, *, version: str = "3.11.9", venv: str = "yes") -> None:
        self.root = folder / "a checkout"
        self.root.mkdir()
        (self.root / "tools").mkdir()
        for name in ("Makefile", "tools/bootstrap.sh"):
            shutil.copy(ROOT / name, self.root / name)
        for name in LOCKS:
            (self.root / name).write_text("django==5.2.19 \\\n    --hash=sha256:0\n")
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in NAMES:
            self.add_python(self.bin / name)
        self.asked = folder / "asked"
        # Of our own environment only this: `make test` hands down MAKEFLAGS, and a developer may have PYTHON set.
        self.environment = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "ASKED": str(self.asked),
            "VERSION": version,
            "VENV": venv,
            "PIP": "Collecting django",
        }

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def add_python(self, path: Path) -> None:
        path.write_text(ACTOR)
        path.chmod(0o755)

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.asked.write_text("")
        return subprocess.run(
            ["make", *arguments],
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def installed(self) -> list[str]:
        """What pip was asked for since the last call of make."""
        return re.findall(r"-m pip install .*?((?: ?-r \S+)+)$", self.asked.read_text(), re.MULTILINE)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of ours on standard error; make adds its own below."""
    ours = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
    assert len(ours) == 1, done.stderr
    return ours[0]


# --- What is refused ------------------------------------------------------------------------------
@pytest.mark.parametrize("target", ["demo", "test"])
def test_python_that_is_too_old_is_one_sentence_with_the_mend(tmp_path: Path, target: str) -> None:
    machine = Machine(tmp_path, version="3.8.18")

    done = machine.make(target)

    assert done.returncode == 2
    assert sentence(done) == (
        "Error: Python 3.11 or newer is needed; python3.14 is 3.8.18. Install a newer one, or name it: "
        "make demo PYTHON=/path/to/python3."
    )
    assert not machine.venv.exists()


def test_python_without_venv_is_one_sentence_with_the_package_to_install(tmp_path: Path) -> None:
    machine = Machine(tmp_path, venv="no")

    done = machine.make("demo")

    assert done.returncode == 2
    assert "it lacks venv or ensurepip. Install them (on Debian and Ubuntu: apt-get install python3-venv)" in sentence(
        done
    )
    assert not machine.venv.exists()


def test_machine_without_python_is_one_sentence_with_the_mend(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for name in NAMES:  # as a shim of pyenv that leads nowhere
        (machine.bin / name).write_text("#!/bin/sh\nexit 127\n")

    done = machine.make("demo")

    assert done.returncode == 2
    assert "none is on the PATH. Install one" in sentence(done)


def test_named_python_that_does_not_run_is_one_sentence(tmp_path: Path) -> None:
    done = Machine(tmp_path).make("demo", "PYTHON=/no such/python3")

    assert done.returncode == 2
    assert "PYTHON must name a Python of version 3.11 or newer; /no such/python3 does not run." in sentence(done)


def test_packages_that_cannot_be_fetched_are_told_and_leave_the_environment_usable(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    done = machine.make("demo", PIP="ERROR: no network")
    again = machine.make("demo")

    assert done.returncode == 2
    assert "ERROR: no network" in done.stdout
    assert "The packages must be installed; pip could not" in sentence(done)
    assert again.returncode == 0
    assert "-m venv .venv" not in machine.asked.read_text()


# --- What is done ---------------------------------------------------------------------------------
def test_first_call_makes_the_environment_from_the_lock_and_goes_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    done = machine.make("demo")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.sub(r"\d+ s", "n s", done.stdout).splitlines()[-2:] == ["Packages ready in n s.", "quickstart runs"]
    assert machine.installed() == [" -r requirements.txt"]
    assert "--require-hashes --compile" in machine.asked.read_text()


def test_second_call_asks_pip_for_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.make("demo")

    done = machine.make("demo")

    assert done.stdout == "quickstart runs\n"
    assert machine.installed() == []


def test_tests_install_both_locks_and_the_demo_then_has_its_own(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    machine.make("test")
    for_the_tests = machine.installed()
    machine.make("demo")

    assert for_the_tests == [" -r requirements.txt -r requirements-test.txt"]
    assert machine.installed() == []


def test_changed_lock_is_installed_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.make("demo")
    (machine.root / "requirements.txt").write_text("django==5.2.20 \\\n    --hash=sha256:1\n")

    machine.make("demo")

    assert machine.installed() == [" -r requirements.txt"]
    assert "-m venv .venv" not in machine.asked.read_text()


def test_interrupted_installation_is_made_anew(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.make("demo", PIP="Installing collected packages: django\nERROR: killed")
    (machine.venv / "half a package").touch()

    done = machine.make("demo")

    assert done.returncode == 0
    assert not (machine.venv / "half a package").exists()
    assert machine.installed() == [" -r requirements.txt"]


def test_environment_whose_python_has_gone_is_made_anew(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.make("demo")
    (machine.venv / "bin" / "python").unlink()

    assert machine.make("demo").returncode == 0
    assert "-m venv .venv" in machine.asked.read_text()


def test_named_python_makes_the_environment(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    named = tmp_path / "my python3"
    machine.add_python(named)

    done = machine.make("demo", f"PYTHON={named}")

    assert done.returncode == 0
    assert f"Making .venv with {named} (3.11.9)" in done.stdout


def test_python_that_can_is_taken_before_one_that_cannot(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for name in NAMES[:3]:
        (machine.bin / name).write_text("#!/bin/sh\nexit 127\n")

    assert "Making .venv with python3.11 (3.11.9)" in machine.make("demo").stdout


def test_another_environment_in_the_shell_changes_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    probe = '#!/bin/sh\n[ -z "$PYTHONHOME$PYTHONPATH$PIP_TARGET" ] || echo leaked >> "$ASKED"\n'
    for name in NAMES:
        (machine.bin / name).write_text(probe + ACTOR.removeprefix("#!/bin/sh\n"))

    machine.make("demo", PYTHONHOME="/elsewhere", PYTHONPATH="/elsewhere", PIP_TARGET="/elsewhere", PIP_USER="1")

    # quickstart runs in the user's own environment; what prepares it does not.
    assert machine.asked.read_text().count("leaked") == 1


# --- The Makefile ---------------------------------------------------------------------------------
def test_make_alone_lists_every_target(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None

    done = machine.make()

    assert [line.split()[1] for line in done.stdout.splitlines()] == phony[1].split()


def test_clean_removes_what_was_made_and_keeps_what_the_program_wrote(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.make("demo")
    made = [".ruff_cache", ".pytest_cache", "mlops/__pycache__", "htmlcov"]
    kept = ["var", "var/__pycache__", "mlops"]
    for name in (*kept, *made):
        (machine.root / name).mkdir(exist_ok=True)

    done = machine.make("clean")

    assert done.returncode == 0
    assert [name for name in (*made, ".venv") if (machine.root / name).exists()] == []
    assert [name for name in kept if not (machine.root / name).exists()] == []
