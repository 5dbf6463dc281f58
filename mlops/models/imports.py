"""Files that people upload: what is in them, what an import of them would do, and what became of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class ImportJob(models.Model):
    """One uploaded file of labelled tickets, from its preview to its end. The row is the truth; the queue is a bell.

    content and refused are the bytes of files: another host may do the work. Both are taken away by retention.
    """

    class Status(models.TextChoices):
        """UPLOADED: looked at and not begun."""

        UPLOADED = "uploaded"
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    HEAVY = ("content", "refused", "preview", "report")  # what a list does not show

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.UPLOADED)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    file_name = models.CharField(max_length=200)
    content = models.BinaryField(null=True, help_text="The file's bytes; none once they were taken away.")
    n_bytes = models.PositiveBigIntegerField()
    options = models.JSONField(default=dict, help_text="How to read it: text and label column, skip bad rows, ...")
    preview = models.JSONField(default=dict, help_text="Its first rows and what an import would do.")
    report = models.JSONField(default=dict, help_text="What the import did.")
    refused = models.BinaryField(null=True, help_text="The rows that were refused, as CSV, with why.")
    n_rows = models.PositiveIntegerField(default=0, help_text="Rows of the file.")
    n_done = models.PositiveIntegerField(default=0, help_text="Rows that the running import has come past.")
    step = models.CharField(max_length=60, blank=True, help_text="What it does now.")
    outcome = models.TextField(blank=True, help_text="Why it failed, or what came of it, in words.")
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often it was begun.")
    lease_until = models.DateTimeField(null=True, blank=True)
    rung_at = models.DateTimeField(null=True, blank=True, help_text="When the worker was last told of it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "import"
        constraints = [
            models.UniqueConstraint(fields=["status"], condition=Q(status="running"), name="import_job_one_running"),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(lease_until__isnull=False, started_at__isnull=False),
                name="import_job_running_has_lease",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["succeeded", "failed"]) | Q(ended_at__isnull=False),
                name="import_job_ended_has_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"import {self.pk}"
