"""Imports by hand: the page that takes a file, and the page of each file with its preview, its bar and its report."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET

from classifier.wording import share
from mlops import imports, tasks
from mlops.dashboards import imports as shown
from mlops.imports import NotPossible, Options, UnusableFile
from mlops.models import ImportJob
from mlops.places import IMPORT
from mlops.views.base import needs, person, show

FORM_BYTES = 100_000  # of an upload, beside its file: the other fields and the marks between them
TOO_LARGE = "The file must have at most {} MB. Split it, or import it with manage.py import_tickets."
ADD_CATEGORY = "classifier.add_category"


@csrf_exempt  # checked below: to find the form's token, Django reads the body, however long it is
@needs(IMPORT)
def imports_page(request: HttpRequest) -> HttpResponse:
    """The form that takes a file, and the files that came before."""
    if request.method == "POST":
        length = request.META.get("CONTENT_LENGTH") or "0"
        most = settings.IMPORT_MAX_MEGABYTES * 1_000_000 + FORM_BYTES
        if not length.isdecimal() or int(length) > most:
            _pass_over(request, most=10 * most)
            messages.error(request, TOO_LARGE.format(settings.IMPORT_MAX_MEGABYTES))
            return redirect("imports")
    return _imports_page(request)


def _pass_over(request: HttpRequest, *, most: int) -> None:
    """Reads a body and keeps none of it: a browser that is still sending would not look at the answer."""
    try:
        while most > 0 and (chunk := request.read(1_000_000)):
            most -= len(chunk)
    except OSError:  # whoever sent it went away
        return


@csrf_protect
def _imports_page(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _upload(request)
    return show(
        request,
        "pages/imports.html",
        title="Import",
        options=Options().as_dict(),
        fields=shown.fields(Options().as_dict()),
        most_megabytes=settings.IMPORT_MAX_MEGABYTES,
        most_bytes=settings.IMPORT_MAX_MEGABYTES * 1_000_000,
        too_large=TOO_LARGE.format(settings.IMPORT_MAX_MEGABYTES),
        most_rows=f"{imports.MOST_ROWS:,}",
        may_create=request.user.has_perm(ADD_CATEGORY),
        **shown.listed(),
    )


def _upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES.get("file")
    if file is None or isinstance(file, list):
        messages.error(request, "Choose a file first: CSV or JSONL, with a column of texts and one of labels.")
        return redirect("imports")
    try:
        job = imports.upload(file, by=person(request), options=_options(request), now=timezone.now())
    except (UnusableFile, NotPossible) as refusal:
        messages.error(request, str(refusal))
        return redirect("imports")
    return _ring_and_show(job)


@needs(IMPORT)
def import_page(request: HttpRequest, number: int) -> HttpResponse:
    """One file: what is in it, what an import would do or did, and the buttons that start and cancel it."""
    job = _job(number)
    if request.method == "POST":
        return _act(request, job)
    about = shown.detail(job, why_not=imports.why_not(job))
    return show(
        request,
        "pages/import.html",
        title=job.file_name,
        job=about,
        may_create=request.user.has_perm(ADD_CATEGORY),
        has_refused=ImportJob.objects.filter(pk=job.pk, refused__isnull=False).exists(),
        **_progress(job),
    )


def _act(request: HttpRequest, job: ImportJob) -> HttpResponse:
    by, action = person(request), request.POST.get("action", "")
    try:
        if action == "look":
            imports.change(job, _options(request), by=by)
        elif action == "start":
            imports.start(job, by=by)
        elif action == "cancel":
            imports.cancel(job, by=by, now=timezone.now())
        else:
            messages.error(request, "Nothing was done: the form named no action that this page knows.")
    except (UnusableFile, NotPossible) as refusal:
        messages.error(request, str(refusal))
    return _ring_and_show(job)


@require_GET
@needs(IMPORT)
def import_progress(request: HttpRequest, number: int) -> HttpResponse:
    """The bar of one import, as a part of its page."""
    job = _job(number)
    is_busy = job.status in shown.BUSY
    return render(
        request, "pages/import_progress.html", {"job": {"number": job.pk, "is_busy": is_busy}, **_progress(job)}
    )


@require_GET
@needs(IMPORT)
def import_refused(_request: HttpRequest, number: int) -> HttpResponse:
    """All rows that an import refused, as CSV, with why."""
    job = ImportJob.objects.only("refused").filter(pk=number).first()
    if job is None or job.refused is None:
        raise Http404("There are no refused rows, or they were removed.")
    answer = HttpResponse(bytes(job.refused), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="refused-rows-of-import-{job.pk}.csv"'
    answer["Cache-Control"] = "no-store"
    return answer


def _job(number: int) -> ImportJob:
    """The row without its files. Raises Http404."""
    rows = ImportJob.objects.defer("content", "refused").select_related("by", "started_by")
    job = rows.filter(pk=number).first()
    if job is None:
        raise Http404("There is no such import.")
    return job


def _ring_and_show(job: ImportJob) -> HttpResponse:
    if job.status in (ImportJob.Status.PREVIEWING, ImportJob.Status.QUEUED):
        tasks.ring_import(job)
    return redirect("import_job", number=job.pk)


def _progress(job: ImportJob) -> dict[str, Any]:
    done = imports.progress(job)
    waits = job.lease_until is None
    return {
        "share": round(done.share, 3),
        "share_words": share(done.share),
        "step": "Waiting for a worker" if waits else done.step,
        "is_waiting": waits,
        "state": f"{job.status}, {'waiting' if waits else 'at work'}",
    }


def _options(request: HttpRequest) -> Options:
    """What the form says; a box that is not ticked is not sent."""
    given = request.POST
    return Options(
        text_column=given.get("text_column", "text"),
        label_column=given.get("label_column", "label"),
        external_id_column=given.get("external_id_column", ""),
        skip_bad="skip_bad" in given,
        create_categories="create_categories" in given,
    )
