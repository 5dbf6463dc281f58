"""What was asked and answered, counted per minute, hour and day, so that a page's cost does not grow with the tables.

classifier/rollups.py writes and reads them. Rolled-up rows outlive the rows they were counted from.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from classifier.models.tickets import Category
from classifier.models.versions import ModelVersion


class Grain(models.TextChoices):
    """How long a rollup's span is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class RequestRollup(models.Model):
    """The calls of one route and status that began in one span of time."""

    grain = models.CharField(max_length=6, choices=Grain.choices)
    starts_at = models.DateTimeField(help_text="Where its span begins, UTC.")
    route = models.CharField(max_length=60)
    status = models.PositiveSmallIntegerField()
    is_demo = models.BooleanField(default=False)
    count = models.PositiveIntegerField()
    # Logarithmic buckets: their number says the latency to 1 %, and those of any spans can be added up.
    latencies = models.JSONField(default=dict, help_text="Calls by the number of their latency's bucket.")

    class Meta:
        verbose_name, verbose_name_plural = "count of requests", "counts of requests"
        constraints = [
            models.UniqueConstraint(
                fields=["grain", "starts_at", "is_demo", "route", "status"], name="request_rollup_once"
            ),
            models.CheckConstraint(condition=Q(count__gt=0), name="request_rollup_counts_something"),
        ]

    def __str__(self) -> str:
        return f"{self.count} {self.route} {self.status} in the {self.grain} of {self.starts_at}"


class AnswerRollup(models.Model):
    """The answers of one version with one category and decision that were given in one span of time."""

    grain = models.CharField(max_length=6, choices=Grain.choices)
    starts_at = models.DateTimeField(help_text="Where its span begins, UTC.")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="+")
    decision = models.CharField(max_length=6)
    is_demo = models.BooleanField(default=False)
    count = models.PositiveIntegerField()
    confidence_sum = models.FloatField(help_text="Of its answers; divided by count, their mean confidence.")

    class Meta:
        verbose_name, verbose_name_plural = "count of answers", "counts of answers"
        constraints = [
            models.UniqueConstraint(
                fields=["grain", "starts_at", "is_demo", "version", "category", "decision"], name="answer_rollup_once"
            ),
            models.CheckConstraint(condition=Q(count__gt=0), name="answer_rollup_counts_something"),
        ]

    def __str__(self) -> str:
        return f"{self.count} answers in the {self.grain} of {self.starts_at}"


class RolledUp(models.Model):
    """Up to when the minutes have been rolled up: one row, written with them in one transaction."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    until = models.DateTimeField()

    class Meta:
        verbose_name = verbose_name_plural = "end of the counts"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="rolled_up_is_one_row")]

    def __str__(self) -> str:
        return f"rolled up until {self.until}"
