"""Writes the tickets, predictions and request of one call: in one statement on Postgres, in one transaction on SQLite.

The only file with SQL of its own: through the ORM the route measured a third as fast, and answering is what this
program is for. A test compares what it writes with what the ORM reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from classifier.models import Ticket

POSTGRES = """
WITH input AS MATERIALIZED (
    SELECT u.*,
           COALESCE(u.known_id, nextval('classifier_ticket_id_seq')) AS ticket_id,
           nextval('classifier_prediction_id_seq') AS prediction_id
    FROM unnest(%(texts)s::text[], %(digests)s::text[], %(external_ids)s::text[], %(known_ids)s::bigint[],
                %(category_ids)s::bigint[], %(confidences)s::float8[], %(n_words)s::int[], %(unknown_shares)s::float8[],
                %(decisions)s::text[], %(reasons)s::text[])
         WITH ORDINALITY AS u(text, digest, external_id, known_id, category_id, confidence, n_words, unknown_share,
                              decision, reason, position)
), request AS (
    INSERT INTO classifier_apirequest
           (key_id, user_id, route, method, status, code, n_tickets, latency_ms, created_at)
    VALUES (%(key)s, %(user)s, %(route)s, 'POST', 200, '', %(n_tickets)s, %(latency_ms)s, %(now)s)
    RETURNING id
), tickets AS (
    INSERT INTO classifier_ticket (id, text, text_digest, external_id, source, is_demo, created_at)
    SELECT ticket_id, text, digest, external_id, %(source)s, false, %(now)s FROM input WHERE known_id IS NULL
), predictions AS (
    INSERT INTO classifier_prediction
           (id, ticket_id, version_id, category_id, request_id, confidence, n_words, unknown_share, decision, reason,
            is_demo, created_at)
    SELECT prediction_id, ticket_id, %(version_id)s, category_id, (SELECT id FROM request),
           confidence, n_words, unknown_share, decision, reason, false, %(now)s
    FROM input
)
SELECT ticket_id, prediction_id FROM input ORDER BY position
"""
SQLITE_REQUEST = """
INSERT INTO classifier_apirequest (key_id, user_id, route, method, status, code, n_tickets, latency_ms, created_at)
VALUES (%s, %s, %s, 'POST', 200, '', %s, %s, %s) RETURNING id
"""
# RETURNING promises no order, but rows of one VALUES list get ascending ids: sorted, they are in the list's order.
SQLITE_TICKETS = """
INSERT INTO classifier_ticket (text, text_digest, external_id, source, is_demo, created_at) VALUES {} RETURNING id
"""
SQLITE_PREDICTIONS = """
INSERT INTO classifier_prediction
       (ticket_id, version_id, category_id, request_id, confidence, n_words, unknown_share, decision, reason,
        is_demo, created_at)
VALUES {} RETURNING id
"""
POSTGRES_BANDS = "INSERT INTO classifier_ticketband (ticket_id, band) SELECT * FROM unnest(%s::bigint[], %s::bigint[])"
SQLITE_BANDS = "INSERT INTO classifier_ticketband (ticket_id, band) VALUES (%s, %s)"


class ExternalIdTaken(ValueError):
    """External ids are already those of tickets with another text; `positions` are theirs in the call."""

    def __init__(self, positions: Sequence[int]) -> None:
        self.positions = tuple(positions)
        super().__init__("An external_id belongs to a ticket with another text. Send a new id or the same text.")


@dataclass(frozen=True)
class RequestFacts:
    """Who asked, by which route, and when the clock was started; one of key and user is set."""

    route: str
    started: float  # seconds, of time.perf_counter()
    key: str | None = None
    user: int | None = None
    source: str = Ticket.Source.API


@dataclass(frozen=True)
class Rows:
    """One call's tickets and answers, column by column, all of length n_tickets."""

    texts: Sequence[str]
    normalised: Sequence[str]
    external_ids: Sequence[str | None]
    version_id: int
    category_ids: Sequence[int]
    confidences: Sequence[float]
    n_words: Sequence[int]
    unknown_shares: Sequence[float]
    decisions: Sequence[str]
    reasons: Sequence[str]


@dataclass(frozen=True)
class Stored:
    """The ids of what was written, in the order of the call."""

    ticket_ids: list[int]
    prediction_ids: list[int]


def store(rows: Rows, *, request: RequestFacts, now: datetime) -> Stored:
    """Writes all rows of one call, or none.

    A ticket whose external id is known, with the same text, is used again; if its text was removed as too old, it has
    it again. Raises ExternalIdTaken for another text.
    """
    digests = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in rows.normalised]  # as Ticket.digest
    if not any(rows.external_ids):
        return _write(rows, digests, [None] * len(digests), request=request, now=now)
    try:
        return _store_known(rows, digests, request=request, now=now)
    except IntegrityError:  # another call brought one of the external ids in between: now it is known
        return _store_known(rows, digests, request=request, now=now)


def _write(rows: Rows, digests: list[str], known: list[int | None], *, request: RequestFacts, now: datetime) -> Stored:
    write = _store_postgres if connection.vendor == "postgresql" else _store_sqlite
    return write(rows, digests, known, request=request, now=now)


def _store_known(rows: Rows, digests: list[str], *, request: RequestFacts, now: datetime) -> Stored:
    """Stores a call of which some tickets may be there. Raises ExternalIdTaken."""
    wanted = [external_id for external_id in rows.external_ids if external_id is not None]
    columns = ("external_id", "pk", "text_digest", "text_removed_at")
    found = {name: row for name, *row in Ticket.objects.filter(external_id__in=wanted).values_list(*columns)}
    known = [found.get(external_id or "", (None, "", None)) for external_id in rows.external_ids]
    taken = [place for place, (pk, digest, _) in enumerate(known) if pk is not None and digest != digests[place]]
    if taken:
        raise ExternalIdTaken(taken)
    ids = [pk for pk, _, _ in known]
    lost = {pk: text for (pk, _, removed_at), text in zip(known, rows.texts, strict=True) if removed_at is not None}
    if not lost:
        return _write(rows, digests, ids, request=request, now=now)
    with transaction.atomic():
        Ticket.objects.bring_back_texts(lost)
        return _write(rows, digests, ids, request=request, now=now)


def _latency_ms(request: RequestFacts) -> float:
    return (time.perf_counter() - request.started) * 1000


def _store_postgres(
    rows: Rows, digests: list[str], known: list[int | None], *, request: RequestFacts, now: datetime
) -> Stored:
    parameters: dict[str, Any] = {
        "texts": list(rows.texts),
        "digests": digests,
        "external_ids": list(rows.external_ids),
        "known_ids": known,
        "category_ids": list(rows.category_ids),
        "confidences": list(rows.confidences),
        "n_words": list(rows.n_words),
        "unknown_shares": list(rows.unknown_shares),
        "decisions": list(rows.decisions),
        "reasons": list(rows.reasons),
        "version_id": rows.version_id,
        "key": request.key,
        "user": request.user,
        "route": request.route,
        "source": request.source,
        "n_tickets": len(digests),
        "latency_ms": _latency_ms(request),
        "now": now,
    }
    # A savepoint only inside somebody's transaction: alone, the one statement is its own transaction.
    with (
        transaction.atomic() if connection.in_atomic_block else contextlib.nullcontext(),
        connection.cursor() as cursor,
    ):
        cursor.execute(POSTGRES, parameters)
        ids = cursor.fetchall()
    return Stored(ticket_ids=[ticket for ticket, _ in ids], prediction_ids=[prediction for _, prediction in ids])


def _store_sqlite(
    rows: Rows, digests: list[str], known: list[int | None], *, request: RequestFacts, now: datetime
) -> Stored:
    moment = connection.ops.adapt_datetimefield_value(now)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            SQLITE_REQUEST,
            [request.key, request.user, request.route, len(digests), _latency_ms(request), moment],
        )
        request_id = cursor.fetchone()[0]
        new = [position for position, pk in enumerate(known) if pk is None]
        tickets = [
            (rows.texts[position], digests[position], rows.external_ids[position], request.source, 0, moment)
            for position in new
        ]
        made = dict(zip(new, _insert(cursor, SQLITE_TICKETS, tickets), strict=True))
        ticket_ids = [made[position] if pk is None else pk for position, pk in enumerate(known)]
        columns = zip(
            ticket_ids,
            rows.category_ids,
            rows.confidences,
            rows.n_words,
            rows.unknown_shares,
            rows.decisions,
            rows.reasons,
            strict=True,
        )
        predictions = [
            (ticket, rows.version_id, category, request_id, *said, 0, moment) for ticket, category, *said in columns
        ]
        prediction_ids = _insert(cursor, SQLITE_PREDICTIONS, predictions)
    return Stored(ticket_ids=ticket_ids, prediction_ids=prediction_ids)


def _insert(cursor: CursorWrapper, statement: str, rows: list[tuple[Any, ...]]) -> list[int]:
    """Inserts rows in one statement; their ids, in their order."""
    if not rows:
        return []
    row = "(" + ", ".join(["%s"] * len(rows[0])) + ")"
    cursor.execute(statement.format(", ".join([row] * len(rows))), [value for found in rows for value in found])
    return sorted(pk for (pk,) in cursor.fetchall())


def store_bands(*, ticket_ids: Sequence[int], bands: Sequence[int]) -> None:
    """Writes one band for each ticket id. 100,000 tickets have 1.6 million: bulk_create would take thrice as long."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(POSTGRES_BANDS, [list(ticket_ids), list(bands)])
        else:
            cursor.executemany(SQLITE_BANDS, list(zip(ticket_ids, bands, strict=True)))
