"""What watching leaves on record: drift snapshots, decisions about retraining, and what schedules did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from classifier.models import ModelVersion
from mlops.models.training import TrainingRun


class DriftSnapshotQuerySet(models.QuerySet["DriftSnapshot"]):
    def real(self) -> DriftSnapshotQuerySet:
        return self.filter(is_demo=False)

    def of_production(self) -> DriftSnapshotQuerySet:
        """Those of the version that is in production now; none if there is no such version."""
        return self.real().filter(version__status=ModelVersion.Status.PRODUCTION)


class DriftSnapshot(models.Model):
    """The newest predictions of the version in production, held against what it was on its validation tickets."""

    class Verdict(models.TextChoices):
        TOO_FEW = "too_few"
        STEADY = "steady"
        DRIFTED = "drifted"

    class Severity(models.TextChoices):
        NONE = "none"
        SLIGHT = "slight"
        CLEAR = "clear"
        STRONG = "strong"

    HEAVY = ("signals", "telling_words", "reference", "recent", "quality")  # what a list does not show

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="snapshots")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.NONE)
    words = models.TextField(help_text="Which signal, how far, since when.")
    advice = models.TextField(blank=True, help_text="What to do about it.")
    method = models.CharField(max_length=200, help_text="How the windows were compared.")
    window_size = models.PositiveIntegerField(help_text="Predictions that were looked for.")
    recent_count = models.PositiveIntegerField(help_text="Predictions that were found and compared.")
    reference_count = models.PositiveIntegerField(help_text="Validation tickets they were compared with.")
    window_from = models.DateTimeField(null=True, blank=True)
    window_to = models.DateTimeField(null=True, blank=True)
    # No foreign key: retention may remove the row.
    last_prediction = models.BigIntegerField(null=True, blank=True, help_text="Id of the newest prediction compared.")
    reference_mean = models.FloatField(null=True, blank=True, help_text="Words of a validation ticket, mean.")
    reference_std = models.FloatField(null=True, blank=True)
    recent_mean = models.FloatField(null=True, blank=True, help_text="Words of a recent ticket, mean.")
    recent_std = models.FloatField(null=True, blank=True)
    drift_score = models.FloatField(null=True, blank=True, help_text="|recent mean - reference mean| / reference std.")
    signals = models.JSONField(default=list, help_text="Each {name, value, threshold, drifted, since, words}.")
    telling_words = models.JSONField(default=list, help_text="Words that tell recent tickets from the reference.")
    reference = models.JSONField(default=dict, help_text="The reference in figures: histograms and shares.")
    recent = models.JSONField(default=dict, help_text="The window in figures: histograms and shares.")
    estimated_accuracy = models.FloatField(null=True, blank=True, help_text="From calibrated confidence, no labels.")
    reference_accuracy = models.FloatField(null=True, blank=True, help_text="On the validation tickets.")
    is_likely_worse = models.BooleanField(default=False, help_text="Sure of fewer answers: likely damage, not change.")
    quality = models.JSONField(default=dict, help_text="What labels said of the last days' predictions.")
    seconds = models.FloatField(default=0, help_text="What taking it cost.")
    is_demo = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DriftSnapshotQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=["version", "-id"], name="snapshot_by_version")]
        constraints = [
            models.CheckConstraint(
                condition=Q(verdict="drifted") & ~Q(severity="none") | ~Q(verdict="drifted") & Q(severity="none"),
                name="drift_snapshot_severity_of_drifted",
            ),
        ]

    def __str__(self) -> str:
        return f"snapshot {self.pk}"

    def signal(self, name: str) -> dict[str, Any]:
        """The signal of that name; empty if the snapshot has none such."""
        return next((signal for signal in self.signals if signal["name"] == name), {})

    def in_short(self) -> dict[str, Any]:
        """What a list says of it."""
        return {
            "id": self.pk,
            "model_version": self.version.number,
            "verdict": self.verdict,
            "severity": self.severity,
            "words": self.words,
            "advice": self.advice,
            "is_likely_worse": self.is_likely_worse,
            "estimated_accuracy": self.estimated_accuracy,
            "reference_accuracy": self.reference_accuracy,
            "drift_score": self.drift_score,
            "recent_count": self.recent_count,
            "signals": self.signals,
            "created_at": self.created_at,
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it, the seven figures of the system that this one re-creates among it."""
        return {
            **self.in_short(),
            "reference_mean": self.reference_mean,
            "reference_std": self.reference_std,
            "window_size": self.window_size,
            "recent_mean": self.recent_mean,
            "recent_std": self.recent_std,
            "reference_count": self.reference_count,
            "method": self.method,
            "window": {"from": self.window_from, "to": self.window_to},
            "telling_words": self.telling_words,
            "reference": self.reference,
            "recent": self.recent,
            "quality": self.quality,
            "seconds": self.seconds,
        }


class RetrainDecision(models.Model):
    """Whether a retraining was begun by itself, or not, and why: one row each time the question was asked."""

    class Cause(models.TextChoices):
        """What spoke for it; NONE: it was asked and nothing did."""

        NONE = "none"
        SCHEDULE = "schedule"
        LABELS = "labels"
        DRIFT = "drift"
        QUALITY = "quality"

    class Decision(models.TextChoices):
        STARTED = "started"
        NOT_NEEDED = "not_needed"
        SWITCHED_OFF = "switched_off"
        IN_PROGRESS = "in_progress"
        COOLING_DOWN = "cooling_down"
        ENOUGH_FOR_TODAY = "enough_for_today"
        UNCHANGED = "unchanged"

    cause = models.CharField(max_length=10, choices=Cause.choices)
    decision = models.CharField(max_length=20, choices=Decision.choices)
    words = models.TextField(help_text="Why, in words.")
    figures = models.JSONField(default=dict, help_text="What it was decided on: counts, shares, limits.")
    snapshot = models.ForeignKey(
        DriftSnapshot, on_delete=models.PROTECT, null=True, blank=True, related_name="decisions"
    )
    run = models.OneToOneField(TrainingRun, on_delete=models.PROTECT, null=True, blank=True, related_name="decided_by")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-id",)
        verbose_name = "retraining decision"
        constraints = [
            models.CheckConstraint(condition=~Q(words=""), name="retrain_decision_has_words"),
            models.CheckConstraint(
                condition=Q(decision="started", run__isnull=False) | ~Q(decision="started") & Q(run=None),
                name="retrain_decision_started_has_run",
            ),
        ]

    def __str__(self) -> str:
        return f"decision {self.pk}"


class SlotQuerySet(models.QuerySet["Slot"]):
    def newest(self, name: str) -> Slot | None:
        return self.filter(name=name).order_by("-due_at").first()

    def before(self, moment: datetime) -> SlotQuerySet:
        return self.filter(due_at__lt=moment)


class Slot(models.Model):
    """One due moment of a schedule. Whoever makes the row sends the task: of two beats one comes too late."""

    class Status(models.TextChoices):
        SENT = "sent"
        NOT_SENT = "not_sent"  # the broker did not take it
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    name = models.CharField(max_length=200, help_text="The schedule's name, among the schedules.")
    task = models.CharField(max_length=200)
    due_at = models.DateTimeField(db_index=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.SENT)
    words = models.TextField(blank=True, help_text="What came of it.")
    sent_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = SlotQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name, verbose_name_plural = "line of the schedule log", "schedule log"
        constraints = [
            models.UniqueConstraint(fields=["name", "due_at"], name="slot_once_per_schedule"),
            models.CheckConstraint(
                condition=~Q(status__in=["done", "failed"]) | Q(ended_at__isnull=False),
                name="slot_ended_has_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.due_at:%Y-%m-%d %H:%M:%S}"
