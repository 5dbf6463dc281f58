"""Files and folders that are there whole or not at all: written under another name, synced, then renamed.

They hold what customers wrote, so they are for their owner alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TextIO


class InTheWay(ValueError):
    """Something is at the path that must not be replaced; the message says what and how to go on."""


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file (UTF-8, line ends as they are written) that replaces what is at the path once the block is done.

    Its mode is 0600, whatever that of an earlier one was. After an exception what was there before is still there.
    Raises InTheWay for a folder, a device or a pipe, and OSError.
    """
    path = Path(os.path.realpath(path))  # where a link leads: the link stays one
    if path.exists() and not path.is_file():
        raise InTheWay(f"{path} must be a file or free; it is a folder, a device or a pipe. Name another.")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # readable for its owner alone
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).replace(path)
    finally:
        Path(fresh).unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path, *, replaced: Collection[str] = ()) -> Iterator[Path]:
    """A new folder that gets its name once the block has filled it; after an exception nothing is left of it.

    Its mode is 0700, that of its files 0600. replaced: names of files; a folder that holds nothing else may be
    replaced. Raises InTheWay and OSError.
    """
    path = Path(os.path.realpath(path))
    if path.exists():
        _check_replaceable(path, replaced)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))  # readable for its owner alone
    try:
        (fresh / "new").mkdir(mode=0o700)
        yield fresh / "new"
        for file in (fresh / "new").iterdir():
            file.chmod(0o600)  # the folder keeps others out, but not from what is copied or archived out of it
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if path.exists():
            path.replace(fresh / "old")
        (fresh / "new").replace(path)
    except BaseException:
        if (fresh / "old").exists() and not path.exists():
            (fresh / "old").replace(path)
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _check_replaceable(path: Path, replaced: Collection[str]) -> None:
    if not path.is_dir():
        raise InTheWay(f"{path} must be a folder or free; it is a file. Name another.")
    found = sorted(file.name for file in path.iterdir())
    others = [name for name in found if name not in replaced]
    if others and replaced:
        raise InTheWay(f"{path} must hold an earlier export and nothing else; it has {others[0]!r}. Name another.")
    if others:
        raise InTheWay(f"{path} must be free or empty; it has {found[0]!r}. Name another, or replace it with --force.")
