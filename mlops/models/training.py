"""What trainings leave on record: frozen datasets and runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from classifier.models import ApiKey, ModelVersion
from mlops.models.frozen import Frozen

LEASE = timedelta(minutes=2)  # renewed at every step and, by a thread, every 20 s within one
MOST_ATTEMPTS = 3  # a run whose process died is rung again twice: what kills it thrice is no accident


class Dataset(models.Model):
    """The labelled tickets a run trained on, frozen. `members` is {split: {category: [ticket ids]}}."""

    fingerprint = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of the texts and labels.")
    members = models.JSONField()
    counts = models.JSONField(help_text="{split: {category: tickets}}")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"dataset {self.pk}"

    def save(self, **options: Any) -> None:
        if self.pk is not None:
            raise Frozen(f"{self} is frozen: a changed set of tickets is a new dataset.")
        super().save(**options)

    def delete(self, using: Any = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        raise Frozen(f"{self} is frozen: runs refer to it.")


class TrainingRunQuerySet(models.QuerySet["TrainingRun"]):
    def running(self) -> TrainingRunQuerySet:
        return self.filter(status=TrainingRun.Status.RUNNING)

    def queued(self) -> TrainingRunQuerySet:
        return self.filter(status=TrainingRun.Status.QUEUED)

    def abandoned(self, now: datetime) -> TrainingRunQuerySet:
        """Runs that say they run, and whose lease ran out: their process is gone."""
        return self.running().filter(lease_until__lt=now)


class TrainingRun(models.Model):
    """One attempt to make a version. The partial unique constraint on `running` is the lock."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        REJECTED = "rejected"
        SKIPPED = "skipped"

    class Trigger(models.TextChoices):
        COMMAND = "command"
        API = "api", "API"
        ADMIN = "admin"
        SCHEDULE = "schedule"
        LABELS = "labels"
        DRIFT = "drift"
        QUALITY = "quality"

        @classmethod
        def automatic(cls) -> tuple[str, ...]:
            """Those that no person stands behind."""
            return (cls.SCHEDULE, cls.LABELS, cls.DRIFT, cls.QUALITY)

    class Kind(models.TextChoices):
        """TRAIN stops at the candidate; RETRAIN judges it and promotes it if it passed."""

        TRAIN = "train"
        RETRAIN = "retrain"

    class Decision(models.TextChoices):
        PROMOTED = "promoted"
        KEPT = "kept"

    HEAVY = ("parameters", "metrics", "validation", "log", "steps", "verdict")  # what a list does not show

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.TRAIN)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED, db_index=True)
    trigger = models.CharField(max_length=10, choices=Trigger.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    key = models.ForeignKey(
        ApiKey, to_field="prefix", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.TextField(blank=True, help_text="Why it was started, in the words of whoever did.")
    attempt = models.PositiveSmallIntegerField(default=1, help_text="2 and 3: again after its process had died.")
    retry_of = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="retry")
    rung_at = models.DateTimeField(null=True, blank=True, help_text="When the worker was last told of it.")
    recipe = models.CharField(max_length=40)
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, null=True, blank=True, related_name="runs")
    version = models.OneToOneField(ModelVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="run")
    step = models.CharField(max_length=60, blank=True, help_text="What it does now, or did last.")
    steps = models.JSONField(default=list, help_text="Each step it came to: {name, words, at}.")
    parameters = models.JSONField(default=dict)
    metrics = models.JSONField(default=dict)
    validation = models.JSONField(default=dict, help_text="The report on the data it was to train on.")
    outcome = models.TextField(blank=True, help_text="Why it was rejected, skipped or failed, or what became of it.")
    decision = models.CharField(max_length=10, choices=Decision.choices, blank=True, help_text="What the gate led to.")
    verdict = models.JSONField(default=dict, help_text="What the gate said of the candidate, rule by rule.")
    log = models.TextField(blank=True)
    mlflow_run_id = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=["status"], condition=Q(status="running"), name="training_run_one_running"),
            models.UniqueConstraint(fields=["status"], condition=Q(status="queued"), name="training_run_one_queued"),
            models.CheckConstraint(
                condition=Q(attempt=1, retry_of=None)
                | Q(attempt__gt=1, attempt__lte=MOST_ATTEMPTS, retry_of__isnull=False),
                name="training_run_retries_are_few",
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(lease_until__isnull=False, started_at__isnull=False),
                name="training_run_running_has_lease",
            ),
            models.CheckConstraint(
                condition=~Q(status="succeeded") | Q(version__isnull=False, dataset__isnull=False),
                name="training_run_succeeded_has_version",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    def note(self, step: str, *, now: datetime, is_detail: bool = False) -> None:
        """Writes the step it is at, a line of the log, and renews the lease; a step is named by its first word."""
        self.lease_until = now + LEASE
        self.log += f"{now:%H:%M:%S} {'  ' * is_detail}{step}\n"
        if not is_detail:
            self.step = step
            self.steps = [*self.steps, {"name": step.split()[0], "words": step, "at": now.isoformat()}]
        self.save(update_fields=["step", "steps", "lease_until", "log"])
