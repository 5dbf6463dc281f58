"""What people do with an import: upload its file, look again with other options, start it, cancel it."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files import File
from django.db import IntegrityError, transaction

from classifier.models import User
from classifier.placing import unseen
from classifier.reading import UnreadableFile
from mlops.imports.looking import Options, as_file, demand_columns, look, storable
from mlops.models import ImportJob

Status = ImportJob.Status
AT_ONCE = 200_000  # bytes of a file that is looked at while its sender waits: 2,000 tickets, 0.5 s; larger: a worker
MOST_WAITING = 20  # files that are neither started nor cancelled; each is up to IMPORT_MAX_MEGABYTES of the database
MOST_WORDS = 100  # characters of a column's name
# What is no text, by how it begins.
BINARY = {
    b"PK\x03\x04": "a spreadsheet or an archive (ZIP)",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet or document",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x1f\x8b": "a compressed file (gzip)",
    b"SQLite format 3": "a database",
    b"PAR1": "a Parquet file",
}


class UnusableFile(ValueError):
    """Nothing can be imported from it; the message says why and how to mend it."""


class NotPossible(RuntimeError):
    """What was wished is not possible for this import, as it stands; the message says why."""


class ImportInProgress(NotPossible):
    """Another import runs or waits for its turn."""

    def __init__(self, other: ImportJob | None) -> None:
        self.other = other
        which = f"{other} of {other.file_name} is at it" if other else "one was at it"
        super().__init__(f"Only one import runs at a time; {which}. Wait for its end and start this one then.")


def upload(file: File[bytes], *, by: User, options: Options, now: datetime) -> ImportJob:
    """The row of a file: looked at already or, if it is large, to be looked at by a worker (previewing).

    The same file from the same person, while it waits, is the same row; the options are then the new ones.
    Raises UnusableFile, and keeps nothing, for one that is too large or in which no columns can be read.
    """
    options, name = checked(options, by=by), _clean_name(file.name or "")
    content = _content(file, name=name)
    job = ImportJob(
        by=by,
        file_name=name,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        n_bytes=len(content),
        options=options.as_dict(),
        created_at=now,
    )
    waiting = ImportJob.objects.light().filter(status__in=(Status.PREVIEWING, Status.UPLOADED))
    same = waiting.filter(by=by, sha256=job.sha256, file_name=name).first()
    if same is not None:
        return same if Options.of(same) == options else change(same, options, by=by)
    if waiting.count() >= MOST_WAITING:
        raise UnusableFile(
            f"At most {MOST_WAITING} files wait to be started; there are as many. Start or cancel one of them."
        )
    _set_fields(job, _looked(job, options))
    job.save()
    return job


def change(job: ImportJob, options: Options, *, by: User) -> ImportJob:
    """Looks at the file again, with other options. Raises NotPossible once it was started, and UnusableFile."""
    options = checked(options, by=by)
    if job.status not in {Status.PREVIEWING, Status.UPLOADED}:
        raise NotPossible(f"Options can be changed until an import is started; {job} is {job.status}.")
    fields = _looked(job, options)
    if fields["status"] == Status.PREVIEWING:
        fields |= {"preview": {**job.preview, "report": {}, "rows": [], "problem": ""}, "refusals": []}
    changed = ImportJob.objects.filter(pk=job.pk, status__in=(Status.PREVIEWING, Status.UPLOADED))
    # A worker that looks at it now finds another attempt than its own, and leaves its own look away.
    fields |= {"options": options.as_dict(), "attempt": job.attempt + 1, "lease_until": None, "rung_at": None}
    if not changed.update(**fields):
        raise NotPossible(f"Options can be changed until an import is started; {job} has been.")
    _set_fields(job, fields)
    return job


def start(job: ImportJob, *, by: User) -> ImportJob:
    """Queues it for a worker. Raises ImportInProgress, and NotPossible if it cannot be started or was already."""
    if job.status == Status.UPLOADED and (why := why_not(job)):
        raise NotPossible(why)
    checked(Options.of(job), by=by)
    rows = ImportJob.objects.filter(pk=job.pk, status=Status.UPLOADED, options=job.options)
    try:
        with transaction.atomic():
            # First: of two at the same moment the constraint makes one wait here until the other is decided.
            started = rows.update(
                status=Status.QUEUED, started_by=by, attempt=0, n_done=0, step="", rung_at=None, lease_until=None
            )
            if not started:
                job.refresh_from_db(fields=["status"])
                raise NotPossible(f"Only a file that was looked at and not started can be started; {job} {_is(job)}.")
            if (other := ImportJob.objects.light().running().first()) is not None:
                raise ImportInProgress(other)
    except IntegrityError:
        raise ImportInProgress(ImportJob.objects.light().queued().first()) from None
    job.refresh_from_db(fields=["status", "started_by", "attempt", "n_done", "step", "rung_at", "lease_until"])
    return job


def cancel(job: ImportJob, *, by: User, now: datetime) -> ImportJob:
    """Ends one that has not begun, and takes its file away. Raises NotPossible if it runs or has ended."""
    waiting = ImportJob.objects.filter(pk=job.pk, status__in=(Status.PREVIEWING, Status.UPLOADED, Status.QUEUED))
    words = f"Cancelled by {by.get_username()}. Nothing of it was imported."
    if not waiting.update(status=Status.CANCELLED, ended_at=now, outcome=words, lease_until=None, **emptied(now)):
        job.refresh_from_db(fields=["status"])
        raise NotPossible(f"Only an import that has not begun can be cancelled; {job} {_is(job)}.")
    job.refresh_from_db()
    return job


def why_not(job: ImportJob) -> str:
    """Why an import that was looked at cannot be started, in words; empty: it can."""
    report = job.preview.get("report") or {}
    if not report:
        return job.preview.get("problem") or "The file was not looked at yet. Wait for its preview."
    if not report["accepted"]:
        mend = "None of its rows is good." if job.options.get("skip_bad") else "Mend the file, or skip the bad rows."
        return f"{report['n_refused']:,} of its {report['n_rows']:,} rows would be refused, and so the whole. {mend}"
    if not report["n_new"] + report["n_labelled"]:
        return "Nothing in it is new: all its good rows are there already."
    return ""


def emptied(now: datetime) -> dict[str, Any]:
    """What a row is without its file, and without what quotes it."""
    return {"content": None, "refused": None, "preview": {}, "refusals": [], "files_removed_at": now}


def checked(options: Options, *, by: User) -> Options:
    """The options, tidied. Raises UnusableFile for columns that cannot be, NotPossible if the person may not."""
    tidy = replace(
        options,
        text_column=options.text_column.strip(),
        label_column=options.label_column.strip(),
        external_id_column=options.external_id_column.strip(),
    )
    names = [tidy.text_column, tidy.label_column, tidy.external_id_column]
    for found in names:
        if len(found) > MOST_WORDS or not (found.isprintable() or found == ""):
            raise UnusableFile(f"A column's name must have at most {MOST_WORDS} printable characters. Correct it.")
    if not (tidy.text_column and tidy.label_column):
        raise UnusableFile("The columns of texts and of labels must be named. Name them.")
    used = [found for found in names if found]
    if len(set(used)) < len(used):
        raise UnusableFile("Text, label and id must be in columns of their own; two of them name the same one.")
    if options.create_categories and not may_create(by):
        raise NotPossible("You may not make categories. Ask an administrator to make them, or leave them out.")
    return tidy


def may_create(user: User | None) -> bool:
    return user is not None and user.is_active and user.has_perm("classifier.add_category")


def _is(job: ImportJob) -> str:
    return {
        Status.QUEUED: "was started already",
        Status.RUNNING: "runs already",
        Status.PREVIEWING: "is being looked at",
    }.get(Status(job.status), f"is {job.status}")


def _set_fields(job: ImportJob, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(job, name, value)


# --- The file -------------------------------------------------------------------------------------
def _clean_name(name: str) -> str:
    """The uploaded file's name, fit to be shown and stored; its ending stays, which tells CSV from JSONL."""
    plain = "".join(mark for mark in name if unicodedata.category(mark)[0] not in "CZ" or mark == " ").strip()
    path = Path(plain.replace("/", "_") or "tickets.csv")
    return f"{path.stem[:150]}{path.suffix[:20]}"


def _content(file: File[bytes], *, name: str) -> bytes:
    most = settings.IMPORT_MAX_MEGABYTES
    if file.size > most * 1_000_000:
        raise UnusableFile(
            f"{name} must have at most {most} MB; it has {file.size / 1e6:,.1f}. Split it, or import it with "
            "manage.py import_tickets."
        )
    content: bytes = file.read()
    if not content:
        raise UnusableFile(f"{name} must hold at least one ticket; it is empty. Export it again.")
    for begin, what in BINARY.items():
        if content.startswith(begin):
            raise UnusableFile(f"{name} must be a CSV or JSONL file; it is {what}. Save its rows as CSV, in UTF-8.")
    return content


def _looked(job: ImportJob, options: Options) -> dict[str, Any]:
    """What a look finds, as columns of the row; of a large file only that a worker is to look. Raises UnusableFile."""
    try:
        with as_file(job) as path:
            if job.n_bytes <= AT_ONCE:
                found = look(path, options, name=job.file_name, progress=unseen)
                return {"status": Status.UPLOADED, **found.fields()}
            return {"status": Status.PREVIEWING, **first_look(path)}
    except UnreadableFile as error:
        raise UnusableFile(str(error)) from error


def first_look(path: Path) -> dict[str, Any]:
    """The columns alone, and a first number of rows, by the file's line ends. Raises UnreadableFile."""
    with path.open("rb") as file:
        n_lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1_000_000), b""))
    return {"preview": storable({"columns": demand_columns(path)}), "n_rows": n_lines, "n_done": 0, "step": ""}
