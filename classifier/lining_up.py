"""Lines tickets up for the label queue: those asked about since the last time, and those whose label was taken back.

Reading the newest answers and the labels of all tickets for each page would take seconds, and a row more for each
answer as it is stored would cost every call. So beat has the queue catch up each minute, and so does whoever looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce

from classifier.models import LinedUp, Prediction

# Ids are given before a transaction ends, so that a lower one may be seen after a higher one. An answer is stored in
# one statement of milliseconds: what is older than this has all been seen, what is newer is looked at once more.
SETTLED = timedelta(seconds=10)
# The newest answer of each ticket in question, of the tickets that can be labelled and have no label. In the order of
# the tickets: two that catch up at once would else wait for each other.
LINE_UP = """
INSERT INTO classifier_waiting (ticket_id, prediction_id, version_id, category_id, decision, reason, confidence)
SELECT p.ticket_id, p.id, p.version_id, p.category_id, p.decision, p.reason, p.confidence
FROM classifier_prediction p
JOIN classifier_ticket t ON t.id = p.ticket_id
WHERE p.id IN (SELECT MAX(q.id) FROM classifier_prediction q WHERE {} AND NOT q.is_demo GROUP BY q.ticket_id)
  AND NOT t.is_demo
  AND t.text_removed_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM classifier_label l WHERE l.ticket_id = t.id AND l.ended_at IS NULL)
ORDER BY p.ticket_id
ON CONFLICT (ticket_id) DO UPDATE
SET prediction_id = excluded.prediction_id, version_id = excluded.version_id, category_id = excluded.category_id,
    decision = excluded.decision, reason = excluded.reason, confidence = excluded.confidence
WHERE excluded.prediction_id > classifier_waiting.prediction_id
"""


def catch_up(now: datetime) -> None:
    """Lines up the tickets of all answers since the last time. The first time, of all answers."""
    until = Coalesce(Subquery(LinedUp.objects.values("until")[:1]), Value(0))
    fresh = Prediction.objects.filter(is_demo=False, pk__gt=until).order_by("-pk")
    newest = fresh.annotate(known=until).values_list("pk", "known").first()
    if newest is None:
        return
    highest, known = newest
    with connection.cursor() as cursor:
        cursor.execute(LINE_UP.format("q.id > %s"), [known])
    settled = Prediction.objects.filter(is_demo=False, pk__gt=known, pk__lte=highest, created_at__lt=now - SETTLED)
    seen = settled.order_by("-pk").values_list("pk", flat=True).first()
    if seen is not None:
        LinedUp.objects.update_or_create(pk=1, defaults={"until": seen})


def bring_back(ticket_ids: Iterable[int]) -> None:
    """Lines up tickets whose label was taken back."""
    with connection.cursor() as cursor:
        for ticket_id in ticket_ids:
            cursor.execute(LINE_UP.format("q.ticket_id = %s"), [ticket_id])
