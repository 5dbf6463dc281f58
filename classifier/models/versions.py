"""What answers: ModelVersion, and the bytes it is made of."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

DEMO_NUMBERS = 1_000_000  # demo versions are numbered from here on; a training each minute takes two years to it


class ModelArtifact(models.Model):
    """The bytes of a serving model under their SHA-256. A host that lacks the file writes it from here."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    content = models.BinaryField()
    n_bytes = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "model file"

    def __str__(self) -> str:
        return self.sha256[:12]


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def in_production(self) -> ModelVersionQuerySet:
        """The one version that answers, or none."""
        return self.filter(status=ModelVersion.Status.PRODUCTION)

    def candidates(self) -> ModelVersionQuerySet:
        return self.filter(status=ModelVersion.Status.CANDIDATE, is_demo=False)

    def light(self) -> ModelVersionQuerySet:
        """Without the columns that hold megabytes, for whoever only asks which version it is."""
        return self.defer(*ModelVersion.HEAVY)

    def next_number(self, *, is_demo: bool = False) -> int:
        """The number of the next version; demo versions have numbers of their own, far above, and leave no gaps."""
        own = self.filter(number__gt=DEMO_NUMBERS) if is_demo else self.filter(number__lte=DEMO_NUMBERS)
        highest = own.aggregate(highest=models.Max("number"))["highest"]
        return (highest or (DEMO_NUMBERS if is_demo else 0)) + 1


class ModelVersion(models.Model):
    """A trained model. Only mlops/promotion.py changes its status."""

    class Status(models.TextChoices):
        CANDIDATE = "candidate"
        PRODUCTION = "production"
        ARCHIVED = "archived"

    # At 77 categories and 15,000 validation tickets half a megabyte a version.
    HEAVY = ("metrics", "parameters", "thresholds", "validation_answers", "test_answers", "profile")

    number = models.PositiveIntegerField(unique=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.CANDIDATE)
    recipe = models.CharField(max_length=40)
    categories = models.JSONField(help_text="The slugs it can answer, in the order of its probabilities.")
    artifact = models.ForeignKey(ModelArtifact, on_delete=models.PROTECT, related_name="versions")
    metrics = models.JSONField(default=dict, help_text="Scores on validation and test, as they were computed once.")
    parameters = models.JSONField(default=dict, help_text="C, temperature, seed and the versions of the libraries.")
    thresholds = models.JSONField(default=dict, help_text="From which confidence on it answers without a review.")
    # As thresholds are solved from them for any target, long after: of the fit that has not seen these tickets.
    validation_answers = models.JSONField(default=dict, help_text="What the first fit said of the validation tickets.")
    # Computed once, with the scores: {ticket_ids, truth, guess, confidence}, columns of length n_test_tickets.
    test_answers = models.JSONField(default=dict, help_text="What it said of each test ticket.")
    profile = models.JSONField(default=dict, help_text="What its validation tickets were like, for drift.")
    mlflow_run_id = models.CharField(max_length=64, blank=True)
    mlflow_version = models.PositiveIntegerField(null=True, blank=True)
    is_demo = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ("-number",)
        verbose_name = "version"
        constraints = [
            models.UniqueConstraint(
                fields=["status"], condition=Q(status="production"), name="model_version_one_in_production"
            ),
            models.CheckConstraint(
                condition=~Q(status="production", is_demo=True), name="model_version_demo_never_in_production"
            ),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"

    @classmethod
    def heavy(cls, relation: str) -> list[str]:
        """The heavy columns as another table's queryset defers them.

        >>> ModelVersion.heavy("version")[0]
        'version__metrics'
        """
        return [f"{relation}__{field}" for field in cls.HEAVY]

    @property
    def path(self) -> Path:
        """Where this machine keeps the artifact; a host that lacks it writes it from the row."""
        return Path(settings.MODELS_DIR) / f"version-{self.number}-{self.artifact_id[:12]}.npz"
