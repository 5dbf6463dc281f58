"""Who has which ticket before them in the label queue, so that two people are not given the same one."""

from __future__ import annotations

from django.db import models


class Claim(models.Model):
    """The ticket that a person looks at now: one row a person, written again with each ticket.

    A hint and no lock: it grows old by itself, and two labels for one ticket do no harm.
    """

    by = models.OneToOneField("classifier.User", on_delete=models.CASCADE, primary_key=True, related_name="+")
    ticket = models.ForeignKey("classifier.Ticket", on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"ticket {self.ticket_id} before {self.by_id}"
