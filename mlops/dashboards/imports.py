"""Imports by hand, as the pages show them: the list of uploaded files, and all about one of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from classifier.wording import NOTHING, counted, local
from mlops.models import FILES_KEPT, ImportJob

Status = ImportJob.Status
MOST_LISTED = 50
SHOWN_REFUSALS = 8
SHOWN_CATEGORIES = 40
# Tone and words of each status.
STATUSES = {
    Status.PREVIEWING: ("", "Being looked at"),
    Status.UPLOADED: ("warn", "Not started"),
    Status.QUEUED: ("", "Waits for a worker"),
    Status.RUNNING: ("", "Running"),
    Status.SUCCEEDED: ("good", "Done"),
    Status.FAILED: ("bad", "Failed"),
    Status.CANCELLED: ("", "Cancelled"),
}
BUSY = (Status.PREVIEWING, Status.QUEUED, Status.RUNNING)


def listed() -> dict[str, Any]:
    """The newest imports."""
    jobs = ImportJob.objects.light().select_related("by")[:MOST_LISTED]
    return {"jobs": [in_short(job) for job in jobs], "files_kept": counted(FILES_KEPT.days, "day")}


def fields(options: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """The fields for the names of columns: name, title, what stands in it, and whether it may be empty."""
    return [
        ("text_column", "Text column", options["text_column"], False),
        ("label_column", "Label column", options["label_column"], False),
        ("external_id_column", "Id column", options["external_id_column"], True),
    ]


def in_short(job: ImportJob) -> dict[str, Any]:
    tone, words = STATUSES[Status(job.status)]
    return {
        "number": job.pk,
        "file_name": job.file_name,
        "by": job.by.get_username(),
        "at": job.created_at,
        "moment": f"{local(job.created_at):%Y-%m-%d %H:%M}",
        "size": size(job.n_bytes),
        "rows": f"{job.n_rows:,}" if job.n_rows else NOTHING,
        "tone": tone,
        "status": words,
        "outcome": job.outcome,
    }


def size(n_bytes: int) -> str:
    """A file's size.

    >>> size(812), size(81_200), size(8_120_000)
    ('812 bytes', '81 kB', '8.1 MB')
    """
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1000:.0f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1e6:.1f} MB"


def detail(job: ImportJob, *, why_not: str) -> dict[str, Any]:
    """All about one. why_not: why it cannot be started, in words, if it cannot."""
    is_ready = job.status == Status.UPLOADED
    report = job.report or job.preview.get("report") or {}
    return {
        **in_short(job),
        "is_busy": job.status in BUSY,
        "is_ready": is_ready,
        "can_cancel": is_ready or job.status in {Status.PREVIEWING, Status.QUEUED},
        "why_not": why_not if is_ready else "",
        "problem": job.preview.get("problem", "") if is_ready else "",
        "columns": job.preview.get("columns", []),
        "first_rows": job.preview.get("rows", []),
        "options": job.options,
        "fields": fields(job.options),
        "started_by": job.started_by.get_username() if job.started_by else "",
        "took": _duration(job.ended_at - job.started_at) if job.started_at and job.ended_at else "",
        "has_report": bool(report),
        "is_done": bool(job.report),
        "counts": _counts(report, is_done=bool(job.report)),
        "categories": _categories(report),
        "created": report.get("categories_created", []),
        "notes": report.get("notes", []),
        "refused_because": [(code.replace("_", " "), f"{n:,}") for code, n in _by_code(report)],
        "refusals": job.refusals[:SHOWN_REFUSALS],
        "more_refusals": max(0, report.get("n_refused", 0) - min(len(job.refusals), SHOWN_REFUSALS)),
        "files_kept": counted(FILES_KEPT.days, "day"),
        "is_emptied": job.files_removed_at is not None,
    }


def _duration(span: timedelta) -> str:
    """A span in the unit that matters.

    >>> _duration(timedelta(seconds=0.4)), _duration(timedelta(seconds=43)), _duration(timedelta(seconds=150))
    ('less than a second', '43 s', '2 min 30 s')
    """
    seconds = round(span.total_seconds())
    if seconds < 60:
        return f"{seconds} s" if seconds else "less than a second"
    return f"{seconds // 60} min {seconds % 60} s"


def _counts(report: dict[str, Any], *, is_done: bool) -> list[dict[str, str]]:
    """The figures of a report, as templates/pages/figure.html takes them."""
    if not report:
        return []
    n_refused, is_kept = report["n_refused"], report["accepted"]
    refused = "left out" if is_done and is_kept else "would be left out" if is_kept else "so nothing is imported"
    return [
        {"title": "New tickets", "value": f"{report['n_new']:,}", "more": "with their labels", "tone": ""},
        {"title": "Newly labelled", "value": f"{report['n_labelled']:,}", "more": "were there, unlabelled", "tone": ""},
        {"title": "Unchanged", "value": f"{report['n_unchanged']:,}", "more": "are there already", "tone": ""},
        {
            "title": "Refused",
            "value": f"{n_refused:,}",
            "more": refused if n_refused else "every row is good",
            "tone": "" if not n_refused else "warn" if is_kept else "bad",
        },
    ]


def _categories(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Tickets that a category gets, most first; of more than can be shown, the rest together."""
    rows = sorted(report.get("per_category", {}).items(), key=lambda row: (-row[1], row[0]))
    new = set(report.get("categories_created", []))
    shown = [{"name": name, "count": f"{n:,}", "is_new": name in new} for name, n in rows[:SHOWN_CATEGORIES]]
    if len(rows) > SHOWN_CATEGORIES:
        rest = rows[SHOWN_CATEGORIES:]
        total = sum(n for _, n in rest)
        shown.append({"name": f"{len(rest):,} more categories", "count": f"{total:,}", "is_new": False})
    return shown


def _by_code(report: dict[str, Any]) -> list[tuple[str, int]]:
    return sorted(report.get("n_refused_by_code", {}).items(), key=lambda row: -row[1])
