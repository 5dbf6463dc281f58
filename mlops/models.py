"""What the operations leave on record: frozen datasets, training runs, promotions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from classifier.models import ApiKey, ModelVersion

LEASE = timedelta(minutes=2)  # renewed at every step and, by a thread, every 20 s within one
MAX_REASON = 2000  # characters of a reason that a person gives: a page of it, and no book, in every list of rows
MOST_ATTEMPTS = 3  # a run whose process died is rung again twice: what kills it thrice is no accident


class Frozen(RuntimeError):
    """A row that is a record was to be changed or removed."""


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
        API = "api"
        ADMIN = "admin"
        SCHEDULE = "schedule"
        DRIFT = "drift"

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


class PromotionQuerySet(models.QuerySet["Promotion"]):
    def with_names(self) -> PromotionQuerySet:
        """With the numbers of the versions and the names of who did it, and nothing heavy."""
        rows = self.select_related("version", "replaced", "by", "key")
        return rows.defer(*ModelVersion.heavy("version"), *ModelVersion.heavy("replaced"))

    def in_force(self, at: datetime) -> Promotion | None:
        """The promotion whose version was in production at that moment."""
        return self.filter(created_at__lte=at).order_by("-pk").first()

    def end_of(self, row: Promotion) -> datetime | None:
        """When the next promotion ended this one; None if it is still in force."""
        return self.filter(pk__gt=row.pk).order_by("pk").values_list("created_at", flat=True).first()


class Promotion(models.Model):
    """Which version went to production instead of which, since when, by whom, why.

    Only ever added to: triggers of the database refuse a change and a removal as well (migration 0003).
    """

    class Kind(models.TextChoices):
        """ROLL_BACK: back to the version that was there before."""

        PROMOTION = "promotion"
        ROLL_BACK = "roll_back"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PROMOTION)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    replaced = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    key = models.ForeignKey(
        ApiKey, to_field="prefix", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.TextField()
    forced = models.BooleanField(default=False, help_text="Promoted although the gate said no.")
    verdict = models.JSONField(default=dict, help_text="What the gate said, rule by rule.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PromotionQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [models.CheckConstraint(condition=~Q(reason=""), name="promotion_has_a_reason")]
        permissions = [("force_promotion", "May promote a version although the gate says no")]

    def __str__(self) -> str:
        return f"{self.version} to production"

    def save(self, **options: Any) -> None:
        if self.pk is not None:
            raise Frozen("A promotion is a record and is not changed. Promote or roll back instead.")
        super().save(**options)

    def delete(self, using: Any = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        raise Frozen("A promotion is a record and is not removed.")


class AliasMove(models.Model):
    """A move of MLflow's alias `production` that we made, found or undid. The last one says where it should stand.

    `found` and `left` are numbers of registered versions in MLflow: where the alias stood before, and after.
    """

    class Decision(models.TextChoices):
        FOLLOWED = "followed", "it followed a promotion of ours"
        TAKEN_OVER = "taken_over", "somebody moved it in MLflow, and the gate let that through"
        PUT_BACK = "put_back", "somebody moved it in MLflow, and it was put back"

    decision = models.CharField(max_length=10, choices=Decision.choices)
    found = models.PositiveIntegerField(null=True, blank=True)
    left = models.PositiveIntegerField()
    promotion = models.ForeignKey(Promotion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    words = models.TextField(help_text="What was found and what was done about it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"alias {self.decision}"
