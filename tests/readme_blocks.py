"""Runs the command blocks of the README and the docs as a reader would: one by one, in a fresh copy of the repository.

The convention, which test_readme.py holds:

    ```sh ... ```                       is run. Only `sh` marks commands; other fences (json, mermaid) are to be read.
    <!-- not run: the reason -->        before a block: it is not, and says why.
    <!-- run: serve -->                 before a block: it goes on for ever (`make demo`). It is started, the curl line
                                        that it prints is run and must answer with a category, and Ctrl-C stops it after
                                        the last block. API_KEY is then set for the blocks below it.

What a block exports or assigns and the folder it changes to hold for the blocks after it; standard input is empty.
`python tests/readme_blocks.py` runs README.md (--list shows what would be run); it stops at the first block that fails.
Of several files each goes on where the one before ended: docs/runbook.md stands on what the README has set up.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\S*)\s*$")
NOTE = re.compile(r"^<!--\s*(not run|run)(?::\s*(.*?))?\s*-->$")
SHELLS = {"bash", "shell", "console", "zsh", "shell-session"}
BLOCK_SECONDS = 900  # the longest is an install on a slow line
STOP_SECONDS = 30
KEY = re.compile(r"Api-Key (\w+\.\w+)")


class BadBlock(Exception):
    """A block cannot be run as it stands, or failed; the message names its line, once is_placed."""

    def __init__(self, words: str, *, is_placed: bool = False) -> None:
        self.is_placed = is_placed
        super().__init__(words)


@dataclass(frozen=True)
class Block:
    """One command block. `line` is where its fence opens; `reason` says why it is not run, "" if it is."""

    line: int
    commands: str
    reason: str = ""
    serves: bool = False
    file: str = ""  # where it stands, if that is not the only one

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}" if self.file else f"Line {self.line}"


def blocks(text: str, *, file: str = "") -> list[Block]:
    """The command blocks of a Markdown text, in order. file: its name, if it is one of several.

    Raises BadBlock for a note that is not understood, a reason that is missing and a fence that hides commands from us.
    """
    found: list[Block] = []
    language, start, lines, last = "", 0, [], ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if start and line.strip() == "```":
            if language == "sh":
                found.append(replace(block(start, "\n".join(lines) + "\n", note=last), file=file))
            start, last = 0, ""
        elif start:
            lines.append(line)
        elif fence:
            language, start, lines = fence.group(1), number, []
            if language in SHELLS:
                raise BadBlock(f"Line {number}: commands stand in ```sh, this fence says {language!r}. Write sh.")
        elif line.strip():
            last = line.strip()
    return found


def block(line: int, commands: str, *, note: str) -> Block:
    """The block that opens at a line, by the note before it, if the last line before it is one."""
    if not note.startswith("<!--"):
        return Block(line, commands)
    match = NOTE.match(note)
    if match and match.group(1) == "not run" and match.group(2):
        return Block(line, commands, reason=match.group(2))
    if match and match.groups() == ("run", "serve"):
        return Block(line, commands, serves=True)
    raise BadBlock(f"Line {line}: a note is <!-- not run: reason --> or <!-- run: serve -->; this one is {note}")


@dataclass
class Session:
    """The shell that a reader sits at: the folder and the environment that each block leaves to the next."""

    folder: Path
    environment: dict[str, str]

    def run(self, commands: str) -> str:
        """Runs commands with -e and pipefail, shows what they print and gives it back.

        Raises BadBlock if they fail or take too long.
        """
        state = self.folder / ".readme-state"
        # `set -a` exports what a block assigns; the state is written at the end only, so a failed block leaves none.
        script = f"set -aeo pipefail\n{commands}\nenv -0 > '{state}'; printf 'PWD_NOW=%s\\0' \"$PWD\" >> '{state}'\n"
        try:
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=self.environment.get("PWD_NOW", self.folder),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=BLOCK_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BadBlock(f"took longer than {BLOCK_SECONDS} s") from error
        print(done.stdout, end="", flush=True)
        if done.returncode:
            raise BadBlock(f"ended with exit code {done.returncode}")
        entries = state.read_text(encoding="utf-8").split("\0")
        state.unlink()
        self.environment.update(entry.split("=", 1) for entry in entries if "=" in entry)
        return done.stdout


@contextlib.contextmanager
def served(session: Session, commands: str) -> Iterator[None]:
    """Starts what serves for ever, asks it what its own curl line asks, and stops it as Ctrl-C does.

    Raises BadBlock if it ends early, prints no curl line, its answer holds no category, or it does not stop.
    """
    log = session.folder / ".readme-serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-ec", commands],
            cwd=session.folder,
            env=session.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, for Ctrl-C reaches the whole group
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a script in the background ignores it
        )
    try:
        line = curl_line(process, log)
        print(log.read_text(encoding="utf-8", errors="replace"), flush=True)
        if key := KEY.search(line):
            session.environment["API_KEY"] = key.group(1)
        if "predicted_label" not in session.run(line):
            raise BadBlock("its curl line was not answered with a predicted_label")
        yield
    except BaseException:
        with contextlib.suppress(BadBlock):  # what went wrong first is what is told
            stop(process)
        raise
    stop(process)


def curl_line(process: subprocess.Popen[bytes], log: Path) -> str:
    """The first whole line that begins with curl, once it is printed."""
    deadline = time.monotonic() + BLOCK_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        printed = log.read_text(encoding="utf-8", errors="replace")
        if match := re.search(r"^\s*(curl .*)\n", printed, re.MULTILINE):
            return match.group(1)
        if ended:
            raise BadBlock(f"ended with exit code {process.returncode} before it served:\n{printed}")
        time.sleep(0.1)
    raise BadBlock(f"printed no curl line in {BLOCK_SECONDS} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        code = process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise BadBlock(f"did not stop within {STOP_SECONDS} s of Ctrl-C") from None
    if code not in {0, 130, -signal.SIGINT}:  # make reports the Ctrl-C that it got itself
        raise BadBlock(f"ended with exit code {code} after Ctrl-C")


def run_all(found: list[Block], session: Session) -> None:
    """Runs blocks in order; what serves goes on until the last is done or another begins to serve.

    Raises BadBlock that names the line of the block that failed.
    """
    for position, item in enumerate(found):
        told = f"not run: {item.reason}" if item.reason else item.commands.strip()
        print(f"--- {item.place}: {told}", flush=True)
        begun = time.monotonic()
        try:
            if item.serves:
                with served(session, item.commands):
                    print(f"    serves after {time.monotonic() - begun:.1f} s", flush=True)
                    run_all(found[position + 1 :], session)
                return
            if not item.reason:
                session.run(item.commands)
                print(f"    {time.monotonic() - begun:.1f} s", flush=True)
        except BadBlock as error:
            if error.is_placed:
                raise
            raise BadBlock(f"{item.place}: {error}", is_placed=True) from error


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a reader who has set nothing, and has no virtual environment active."""
    from ticketclf.environment import BY_NAME  # here, so that the blocks can be listed without Django

    ours = {*BY_NAME, "VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "DJANGO_SETTINGS_MODULE"}
    return {name: value for name, value in environment.items() if name not in ours}


def copy_repository(to: Path) -> None:
    """The files that git knows or would add: no virtual environment, no var folder, nothing of an earlier run."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[ROOT / "README.md"])
    parser.add_argument("--list", action="store_true", help="show the blocks and run none")
    options = parser.parse_args()
    try:
        found = [item for file in options.files for item in blocks(file.read_text(encoding="utf-8"), file=file.name)]
        if options.list:
            for item in found:
                print(f"{item.place}: {'not run: ' + item.reason if item.reason else 'run'}\n{item.commands}")
            return 0
        with tempfile.TemporaryDirectory(prefix="ticketclf-readme-") as folder:
            copy_repository(Path(folder))
            run_all(found, Session(Path(folder), clean(os.environ)))
    except BadBlock as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{sum(not item.reason for item in found)} of {len(found)} blocks run")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
