"""Finds tickets by the words of their text."""

from __future__ import annotations

from django.db.models import QuerySet

from classifier.models import Ticket


def search(tickets: QuerySet[Ticket], words: str) -> QuerySet[Ticket]:
    """The tickets whose text has all of the words."""
    for word in words.replace("\0", " ").split()[:8]:
        tickets = tickets.filter(text__icontains=word)
    return tickets
