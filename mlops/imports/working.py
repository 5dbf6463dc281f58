"""What a worker does with an import: looks at a large file, carries an import out; and what becomes of those that died.

Of two who come for the same row one gets it: claiming is an UPDATE that counts its rows.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from classifier.importing import Refusal
from classifier.labelling import ImportReport, import_tickets
from classifier.reading import UnreadableFile, read
from mlops.imports.looking import (
    MOST_ROWS,
    Options,
    as_file,
    bounded,
    counts,
    in_words,
    look,
    refused_rows,
    storable,
)
from mlops.imports.telling import READING, Bar, forget, is_dead, watched
from mlops.imports.uploading import may_create
from mlops.models import LEASE, MOST_ATTEMPTS, ImportJob

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]
Status = ImportJob.Status
RING_AGAIN = timedelta(seconds=60)  # a bell that was heard is answered in a second; a lost one costs a minute


class NothingToDo(RuntimeError):
    """The import waits for nobody: it was begun by another one, or cancelled."""


class LostImport(RuntimeError):
    """The row was taken over while the work was still at it; nothing of it is kept."""

    def __init__(self, job: ImportJob) -> None:
        super().__init__(
            f"{job} must renew its lease every {LEASE.seconds} s; it did not, or was changed meanwhile. Its work was "
            "undone. Start it again, on a machine that is not asleep or overloaded."
        )


def work(job_id: int, *, clock: Clock = timezone.now) -> ImportJob:
    """Does what the row waits for: its preview, or the import. A bell that rings twice, or late: NothingToDo.

    Ends the row in words, whatever happens; what it did not foresee is raised again, and LostImport if the row was
    cancelled, changed or taken over meanwhile.
    """
    job = _claim(job_id, now=clock())
    try:
        with watched(job, clock=clock) as bar, as_file(job) as path:
            if job.status == Status.RUNNING:
                _carry_out(job, path, bar, clock=clock)
            else:
                _preview(job, path, bar)
    except LostImport:
        raise
    except UnreadableFile as error:
        with contextlib.suppress(LostImport):
            _end(job, Status.FAILED, now=clock(), outcome=f"{error} Nothing was imported.")
    except Exception as error:  # the rim: whatever it was, the row must not say that it runs
        words = f"It failed ({type(error).__name__}), and nothing was imported. The worker's log has more; try again."
        with contextlib.suppress(LostImport):
            _end(job, Status.FAILED, now=clock(), outcome=words)
        raise
    job.refresh_from_db()
    return job


def _claim(job_id: int, *, now: datetime) -> ImportJob:
    """Begins one that waits."""
    mine = ImportJob.objects.filter(pk=job_id)
    begun = {"lease_until": now + LEASE, "attempt": F("attempt") + 1, "n_done": 0, "step": READING, "rung_at": now}
    try:
        with transaction.atomic():
            claimed = mine.queued().update(status=Status.RUNNING, started_at=now, **begun)
        claimed = claimed or mine.filter(status=Status.PREVIEWING, lease_until=None).update(**begun)
    except IntegrityError:
        raise NothingToDo(f"import {job_id} waits: another one runs") from None
    if not claimed:
        raise NothingToDo(f"import {job_id} waits for nobody")
    return mine.select_related("by", "started_by").get()


# --- The preview of a large file ------------------------------------------------------------------
def _preview(job: ImportJob, path: Path, bar: Bar) -> None:
    options = Options.of(job)
    if options.create_categories and not may_create(job.by):
        options = Options(**{**options.as_dict(), "create_categories": False})
    found = look(path, options, name=job.file_name, progress=bar)
    _write(job, status=Status.UPLOADED, lease_until=None, step="", attempt=0, **found.fields())


# --- The import -----------------------------------------------------------------------------------
def _carry_out(job: ImportJob, path: Path, bar: Bar, *, clock: Clock) -> None:
    options = Options.of(job)

    def settle(report: ImportReport) -> None:
        """In the transaction of the rows: they and the row's success stand or fall together."""
        _end(job, Status.SUCCEEDED, now=clock(), outcome=_success(report), **_told(path, options, report))

    report = import_tickets(
        bar(bounded(read(path, columns=options.columns()), path), None, "Reading"),
        seed=settings.SEED,
        create_categories=options.create_categories and may_create(job.started_by),
        skip_bad=options.skip_bad,
        by=job.started_by,
        now=clock(),
        progress=bar,
        settle=settle,
        refusals_kept=MOST_ROWS,
    )
    if not report.kept:
        _end(job, Status.FAILED, now=clock(), outcome=_refusal(report), **_told(path, options, report))


def _told(path: Path, options: Options, report: ImportReport) -> dict[str, Any]:
    """What the row keeps of a report."""
    refusals: tuple[Refusal, ...] = report.refusals
    return {
        "report": storable(counts(report)),
        "refusals": storable(in_words(report)),
        "refused": refused_rows(path, options, refusals) if refusals else None,
        "n_rows": report.n_rows,
        "n_done": report.n_rows,
    }


def _success(report: ImportReport) -> str:
    """What came of it.

    >>> from types import SimpleNamespace
    >>> _success(SimpleNamespace(n_new=2, n_labelled=0, n_unchanged=1200, n_refused=1, categories_created=()))
    'Kept: 2 new tickets. Unchanged: 1,200. Refused and left out: 1.'
    """
    kept = [f"{report.n_new:,} new tickets", f"{report.n_labelled:,} newly labelled"][: 2 if report.n_labelled else 1]
    words = [f"Kept: {', '.join(kept)}."]
    if report.n_unchanged:
        words.append(f"Unchanged: {report.n_unchanged:,}.")
    if report.categories_created:
        words.append(f"Categories made: {len(report.categories_created):,}.")
    if report.n_refused:
        words.append(f"Refused and left out: {report.n_refused:,}.")
    return " ".join(words)


def _refusal(report: ImportReport) -> str:
    return (
        f"{report.n_refused:,} of {report.n_rows:,} rows were refused, so nothing was imported. Download them, mend "
        "them, and upload the file again."
    )


def _end(job: ImportJob, status: str, *, now: datetime, outcome: str, **fields: Any) -> None:
    _write(job, status=status, ended_at=now, outcome=outcome, lease_until=None, step="", **fields)


def _write(job: ImportJob, **fields: Any) -> None:
    """Writes fields of one that is at work, once: of two who try, the second gets LostImport."""
    if not ImportJob.objects.at_work().filter(pk=job.pk, attempt=job.attempt, status=job.status).update(**fields):
        raise LostImport(job)


# --- Those that died, and those that wait ---------------------------------------------------------
def look_after(now: datetime) -> list[ImportJob]:
    """Puts back what died, as nothing of it was imported (twice; then it fails), and gives the jobs to ring for."""
    for job in ImportJob.objects.light().at_work():
        if is_dead(job, now):
            _put_back(job, now=now)
    waiting = ImportJob.objects.light().waiting().filter(Q(rung_at=None) | Q(rung_at__lt=now - RING_AGAIN))
    if ImportJob.objects.running().exists():
        waiting = waiting.filter(status=Status.PREVIEWING)  # who came for another import would find this one at work
    found = list(waiting)
    ImportJob.objects.filter(pk__in=[job.pk for job in found]).update(rung_at=now)
    return found


def _put_back(job: ImportJob, *, now: datetime) -> None:
    mine = ImportJob.objects.at_work().filter(pk=job.pk, attempt=job.attempt, lease_until=job.lease_until)
    again = Status.QUEUED if job.status == Status.RUNNING else Status.PREVIEWING
    words = "Its process ended without a word"
    given_up = {
        "status": Status.FAILED,
        "ended_at": now,
        "outcome": f"{words}, also in attempt {job.attempt}. Nothing was imported. Ask whoever runs this for the log.",
    }
    fields = {"status": again, "rung_at": None} if job.attempt < MOST_ATTEMPTS else given_up
    try:
        with transaction.atomic():
            mine.update(**fields, lease_until=None, n_done=0, step="")
    except IntegrityError:  # another one was queued in between
        given_up["outcome"] = f"{words}. Nothing was imported; start it again."
        mine.update(**given_up, lease_until=None, n_done=0, step="")
    forget(job)
    logger.warning("%s died in its attempt %s", job, job.attempt)
