"""How far the work on a file is, and whether whoever works on it lives.

An import is one transaction. On SQLite nobody else can write as long as it is open, and so nobody can write its
progress into the database: it goes into a file beside it. On a database server the worker may be on another machine
than the page: there it goes into the row, by a connection of its own. So both are written, and a page shows what is
further. The file is also a lock (mlops/holding.py).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, connection

from mlops.holding import held, is_abandoned
from mlops.models import LEASE, ImportJob

logger = logging.getLogger(__name__)
T = TypeVar("T")
Clock = Callable[[], datetime]
BEAT_SECONDS = 0.5  # how often progress is written, at most


@dataclass(frozen=True)
class Phase:
    """A part of the work: the shares of the whole at which it begins and ends, and what comes after it, untold."""

    begin: float
    end: float
    then: str = ""


# By the time that 100,000 new tickets took: 43 s to import, 8 s to look at.
READING, COMPARING = "Reading", "Comparing texts"
IMPORT = {
    READING: Phase(0.0, 0.03),
    COMPARING: Phase(0.03, 0.07),
    "Storing tickets": Phase(0.07, 0.57, then="Finding near-duplicates"),
    "Noting near-duplicates": Phase(0.68, 1.0),
}
PREVIEW = {
    READING: Phase(0.0, 0.17),
    COMPARING: Phase(0.17, 0.36, then="Seeing what would happen"),
}


@dataclass(frozen=True)
class Done:
    """How far the work is: rows of so many (0: not counted yet), and what it does now."""

    n_done: int
    n_rows: int
    step: str

    @property
    def share(self) -> float:
        """0 to 1.

        >>> Done(n_done=50, n_rows=200, step="Reading").share
        0.25
        """
        return min(1.0, self.n_done / self.n_rows) if self.n_rows else 0.0


def progress(job: ImportJob) -> Done:
    """How far the work on it is, by its row or, where that cannot be written now, by the file."""
    by_row = Done(job.n_done, job.n_rows, job.step)
    if job.lease_until is None:
        return by_row
    try:
        by_file = Done(**json.loads(_path(job).read_text()))
    except (OSError, ValueError, TypeError):  # on another machine, or in the moment of its making
        return by_row
    return max(by_file, by_row, key=lambda done: done.n_done)


class Bar:
    """Progress of one job, as classifier.placing.Progress has it; what is noted in it goes to the file and the row."""

    def __init__(self, job: ImportJob, file: int) -> None:
        self.job = job
        self.done = Done(0, job.n_rows, READING)
        self._phases = IMPORT if job.status == ImportJob.Status.RUNNING else PREVIEW
        self._file = file
        self._next = 0.0  # when it may be noted again

    def __call__(self, iterable: Iterable[T], total: int | None = None, text: str = "") -> Iterator[T]:
        phase = self._phases[text]
        total = max(1, total or self.job.n_rows)
        for count, item in enumerate(iterable, 1):
            yield item
            if time.monotonic() >= self._next:
                self._note(phase.begin + (phase.end - phase.begin) * min(1.0, count / total), text)
        self._note(phase.end, phase.then or text)

    def _note(self, share: float, step: str) -> None:
        self._next = time.monotonic() + BEAT_SECONDS
        n_rows = self.job.n_rows
        self.done = Done(max(self.done.n_done, int(share * n_rows)), n_rows, step)
        content = json.dumps(asdict(self.done)).encode()
        os.pwrite(self._file, content.ljust(256), 0)  # one write of one length: a reader finds the old one or the new


@contextlib.contextmanager
def watched(job: ImportJob, *, clock: Clock) -> Iterator[Bar]:
    """A bar for the work in the block. Meanwhile its file is held, and a thread writes the row and renews its lease."""
    with held(_path(job)) as file:
        bar = Bar(job, file)
        with _beating(bar, clock):
            yield bar


@contextlib.contextmanager
def _beating(bar: Bar, clock: Clock) -> Iterator[None]:
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(BEAT_SECONDS):
            done = bar.done
            try:
                ImportJob.objects.at_work().filter(pk=bar.job.pk, attempt=bar.job.attempt).update(
                    n_done=done.n_done, step=done.step, lease_until=clock() + LEASE
                )
            except DatabaseError:  # on SQLite, while the import writes; then nobody else can take the row either
                logger.debug("the progress of %s was not written", bar.job, exc_info=True)
            finally:
                connection.close()  # this thread's own

    thread = threading.Thread(target=beat, name=f"progress-of-{bar.job}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def is_dead(job: ImportJob, now: datetime) -> bool:
    """Whether a job that says it is at work is not: its lease ran out, or its file is held by nobody."""
    if job.lease_until is not None and job.lease_until < now:
        return True
    return is_abandoned(_path(job))


def forget(job: ImportJob) -> None:
    """Removes the file of one that died."""
    _path(job).unlink(missing_ok=True)


def _path(job: ImportJob) -> Path:
    return Path(settings.VAR) / "imports" / f"import-{job.pk}-{job.attempt}.lock"
