"""The label queue: which tickets wait for a person, and who has which before them. Hints, made again from the rest."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Waiting(models.Model):
    """A ticket that had no label when it was lined up, with its newest answer; classifier/lining_up.py writes it.

    The columns of the answer are copied: from 100,000 of these rows the least certain ones, of one category or
    version, are read in milliseconds; from a million answers and the labels of their tickets in seconds.
    """

    ticket = models.OneToOneField("classifier.Ticket", on_delete=models.CASCADE, primary_key=True, related_name="+")
    prediction = models.ForeignKey("classifier.Prediction", on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey("classifier.ModelVersion", on_delete=models.CASCADE, related_name="+", db_index=False)
    category = models.ForeignKey("classifier.Category", on_delete=models.CASCADE, related_name="+", db_index=False)
    decision = models.CharField(max_length=6)
    reason = models.CharField(max_length=20, blank=True)
    confidence = models.FloatField()

    class Meta:
        ordering = ("-decision", "confidence", "ticket_id")  # by the alphabet, review comes before auto
        indexes = [models.Index(fields=["-decision", "confidence", "ticket"], name="waiting_least_certain")]

    def __str__(self) -> str:
        return f"ticket {self.ticket_id}"


class LinedUp(models.Model):
    """One row: the id of the prediction up to which all tickets are lined up."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    until = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="lined_up_is_one_row")]

    def __str__(self) -> str:
        return f"up to prediction {self.until}"


class Claim(models.Model):
    """The ticket that a person looks at now: one row a person, written again with each ticket.

    A hint and no lock: it grows old by itself, and two labels for one ticket do no harm.
    """

    by = models.OneToOneField("classifier.User", on_delete=models.CASCADE, primary_key=True, related_name="+")
    ticket = models.ForeignKey("classifier.Ticket", on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"ticket {self.ticket_id} before {self.by_id}"
