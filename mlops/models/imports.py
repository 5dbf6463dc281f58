"""Files that people upload: what is in them, what an import of them would do, and what became of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

FILES_KEPT = timedelta(days=7)  # long enough to mend the refused rows; they hold what customers wrote


class ImportJobQuerySet(models.QuerySet["ImportJob"]):
    def light(self) -> ImportJobQuerySet:
        """Without what a list does not show: up to 20 MB a row."""
        return self.defer(*ImportJob.HEAVY)

    def running(self) -> ImportJobQuerySet:
        return self.filter(status=ImportJob.Status.RUNNING)

    def queued(self) -> ImportJobQuerySet:
        return self.filter(status=ImportJob.Status.QUEUED)

    def at_work(self) -> ImportJobQuerySet:
        """Those that a worker has begun: an import, or a large file's preview."""
        return self.filter(
            status__in=(ImportJob.Status.RUNNING, ImportJob.Status.PREVIEWING), lease_until__isnull=False
        )

    def waiting(self) -> ImportJobQuerySet:
        """Those that a worker is to begin."""
        return self.filter(Q(status=ImportJob.Status.QUEUED) | Q(status=ImportJob.Status.PREVIEWING, lease_until=None))

    def with_old_files(self, now: datetime) -> ImportJobQuerySet:
        """Those whose file was kept for long enough; never one that waits for the worker or is at work."""
        busy = (ImportJob.Status.PREVIEWING, ImportJob.Status.QUEUED, ImportJob.Status.RUNNING)
        return self.filter(files_removed_at=None, created_at__lt=now - FILES_KEPT).exclude(status__in=busy)


class ImportJob(models.Model):
    """One uploaded file of labelled tickets, from its preview to its end. The row is the truth; the queue is a bell.

    content and refused are the bytes of files: another host may do the work. Both are taken away by retention, and
    with them what else quotes the file (preview, refusals).
    """

    class Status(models.TextChoices):
        """PREVIEWING: a worker is to look at it, or does. UPLOADED: looked at and not begun."""

        PREVIEWING = "previewing"
        UPLOADED = "uploaded"
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)
    HEAVY = ("content", "refused", "preview", "report", "refusals")  # what a list does not show

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.UPLOADED)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    file_name = models.CharField(max_length=200)
    content = models.BinaryField(null=True, help_text="The file's bytes; none once they were taken away.")
    sha256 = models.CharField(max_length=64, help_text="Of the file: who sends it twice gets the same row.")
    n_bytes = models.PositiveBigIntegerField()
    options = models.JSONField(default=dict, help_text="How to read it: text and label column, skip bad rows, ...")
    preview = models.JSONField(default=dict, help_text="Its columns, its first rows and what an import would do.")
    report = models.JSONField(default=dict, help_text="What the import did, in counts.")
    refusals = models.JSONField(default=list, help_text="The first rows that are or were refused, in words.")
    refused = models.BinaryField(null=True, help_text="All rows that were refused, as CSV, with why.")
    n_rows = models.PositiveIntegerField(default=0, help_text="Rows of the file.")
    n_done = models.PositiveIntegerField(default=0, help_text="How far the work is, in rows.")
    step = models.CharField(max_length=60, blank=True, help_text="What it does now.")
    outcome = models.TextField(blank=True, help_text="Why it failed, or what came of it, in words.")
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often it was begun.")
    lease_until = models.DateTimeField(null=True, blank=True)
    rung_at = models.DateTimeField(null=True, blank=True, help_text="When the worker was last told of it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    files_removed_at = models.DateTimeField(null=True, blank=True)

    objects = ImportJobQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = "import"
        constraints = [
            models.UniqueConstraint(fields=["status"], condition=Q(status="running"), name="import_job_one_running"),
            models.UniqueConstraint(fields=["status"], condition=Q(status="queued"), name="import_job_one_queued"),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(lease_until__isnull=False, started_at__isnull=False),
                name="import_job_running_has_lease",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["succeeded", "failed", "cancelled"]) | Q(ended_at__isnull=False),
                name="import_job_ended_has_a_time",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["succeeded", "failed", "cancelled"]) | Q(content__isnull=False),
                name="import_job_has_its_file_until_it_ends",
            ),
            models.CheckConstraint(
                condition=Q(files_removed_at=None) | Q(content=None, refused=None),
                name="import_job_removed_files_are_gone",
            ),
        ]

    def __str__(self) -> str:
        return f"import {self.pk}"

    @property
    def is_ended(self) -> bool:
        return self.status in self.ENDED
