"""Which version went to production when, by whom and why, and where MLflow's alias was moved. Only ever added to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from classifier.models import ApiKey, ModelVersion
from mlops.models.frozen import Frozen

MAX_REASON = 2000  # characters of a reason that a person gives: a page of it, and no book, in every list of rows


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
        verbose_name, verbose_name_plural = "move of MLflow's alias", "MLflow alias"

    def __str__(self) -> str:
        return f"alias {self.decision}"
