"""Finds tickets by the words of their text: on Postgres by an index (migration 0008), on SQLite by reading them."""

from __future__ import annotations

import re
import string

from django.db import connection
from django.db.models import Max, QuerySet
from django.db.models.expressions import RawSQL

from classifier.models import Ticket

MOST_CHARACTERS = 200  # SQLite refuses a pattern of more than 50,000 bytes
MOST_WORDS = 8  # each is a condition of its own, and SQLite refuses an expression deeper than 1,000
READ_TICKETS = 100_000  # without an index, the newest so many are read: 0.1 s
# Punctuation parts words, here as in the index.
BETWEEN_WORDS = re.compile(rf"[\s{re.escape(string.punctuation)}\x00-\x1f\x7f-\x9f\u2010-\u205e\ud800-\udfff]+")
FOUND = "SELECT id FROM classifier_ticket WHERE words @@ to_tsquery('simple', %s)"


def search(tickets: QuerySet[Ticket], words: str) -> QuerySet[Ticket]:
    """Those of the tickets whose text has all of the words, whatever their case; the last may be the start of one.

    On SQLite each word may be any part of one, only A to Z are the same in both cases, and only the newest READ_TICKETS
    tickets are read. Without a word they are all; of nothing but signs there are none.
    """
    wanted = words_in(words)
    if not wanted:
        return tickets.none() if words.strip("\0 \t\r\n") else tickets
    if connection.vendor == "postgresql":
        query = " & ".join(f"'{word}'" for word in wanted) + ":*"
        return tickets.filter(pk__in=RawSQL(FOUND, [query]))  # noqa: S611
    newest = Ticket.objects.aggregate(newest=Max("pk"))["newest"] or 0
    for word in wanted:
        tickets = tickets.filter(text__icontains=word)
    return tickets.filter(pk__gt=newest - READ_TICKETS)


def words_in(typed: str) -> list[str]:
    """The first words of what somebody typed, without signs.

    >>> words_in("Order-12: can't pay \N{MONEY BAG}")
    ['Order', '12', 'can', 't', 'pay']
    """
    parts = BETWEEN_WORDS.split(typed[:MOST_CHARACTERS])
    return [part for part in parts if any(map(str.isalnum, part))][:MOST_WORDS]
