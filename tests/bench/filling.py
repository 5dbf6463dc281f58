"""Fills a Postgres database for tests/bench/pages.py: tickets, calls, answers, labels, versions, runs, drift.

Versions are trained on the shipped tickets by the program itself; rows by the hundred thousand are made by Postgres.
"""

from __future__ import annotations

import csv
import random
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from classifier import rollups
from classifier.models import Category, ModelVersion, Ticket
from mlops import samples
from mlops.models import DriftSnapshot

N_TICKETS, N_PREDICTIONS, DAYS = 100_000, 1_000_000, 30
REFUSED_EVERY = 40  # a call in so many is refused or fails
LABELLED_EVERY = 5
FRESH = timedelta(hours=1)  # a database that was filled longer ago has no calls of the last hour
MARK = "ticketclf_bench"  # the table that says who filled it, and when
# Half of what is asked is one of two categories, and a quarter is not sure enough.
CALLS = """
INSERT INTO classifier_apirequest (route, method, status, code, n_tickets, latency_ms, is_demo, created_at)
SELECT CASE WHEN n %% 50 = 1 THEN 'labels' ELSE 'predict' END, 'POST',
       CASE WHEN n %% {refused} > 0 THEN 200 ELSE (ARRAY[400, 400, 409, 500, 503])[1 + n / {refused} %% 5] END,
       CASE WHEN n %% {refused} > 0 THEN '' ELSE
            (ARRAY['invalid_input', 'scope_missing', 'external_id_taken', 'server_error', 'no_model_in_production'])
            [1 + n / {refused} %% 5] END,
       CASE WHEN n %% {refused} > 0 THEN 1 ELSE 0 END,
       exp(ln(8) + 0.6 * sqrt(-2 * ln(random() + 1e-9)) * cos(2 * pi() * random())),
       false, %(since)s + (%(now)s - %(since)s) * (n / {n}::float8)
FROM generate_series(1, {n}) AS n
"""
ANSWERS = """
INSERT INTO classifier_prediction (ticket_id, version_id, category_id, request_id, confidence, n_words, unknown_share,
                                   decision, reason, is_demo, created_at)
SELECT drawn.ticket, CASE WHEN drawn.place < {n} / 3 THEN %(first)s ELSE %(second)s END,
       (%(categories)s::bigint[])[1 + floor(power(random(), 1.7) * %(n_categories)s)::int], drawn.request,
       CASE WHEN drawn.is_sure THEN 0.7 + 0.3 * drawn.sure ELSE 0.3 + 0.4 * drawn.sure END,
       3 + floor(random() * 20)::int, power(random(), 6),
       CASE WHEN drawn.is_sure THEN 'auto' ELSE 'review' END,
       CASE WHEN drawn.is_sure THEN '' WHEN drawn.sure < 0.2 THEN 'ambiguous' ELSE 'below_threshold' END,
       false, drawn.at
FROM (SELECT request.id AS request, request.created_at AS at, row_number() OVER (ORDER BY request.id) AS place,
             %(ticket)s + (row_number() OVER (ORDER BY request.id) * %(n_tickets)s / {n}) AS ticket,
             random() < 0.75 AS is_sure, random() AS sure
      FROM classifier_apirequest AS request WHERE request.status = 200 AND request.route = 'predict'
      ORDER BY request.id LIMIT {n}) AS drawn
ORDER BY drawn.place
"""
LABELS = """
WITH chosen AS (
    UPDATE classifier_ticket SET split = (ARRAY['train', 'train', 'train', 'validation', 'test'])[1 + id % 5],
                                 "group" = id
    WHERE source = 'api' AND id %% {every} = 0 RETURNING id, created_at
)
INSERT INTO classifier_label (ticket_id, category_id, source, created_at)
SELECT id, (%(categories)s::bigint[])[1 + id %% %(n_categories)s], (ARRAY['agent', 'reviewer', 'api'])[1 + id %% 3],
       created_at + interval '1 hour' FROM chosen
"""
Say = Callable[[str], None]


def fill(where: str, *, again: bool, say: Say) -> None:
    """Fills the database unless it did so within the hour. Ends the program for a database that is somebody's."""
    now = timezone.now().astimezone(UTC)
    filled_at = _filled_at()
    if filled_at is None and _is_somebodys():
        sys.exit(f"{where} has tickets that this did not make, and is left alone. Name an empty database.")
    if filled_at is not None and now - filled_at < FRESH and not again:
        say(f"{where} was filled at {filled_at:%H:%M} UTC.")
        call_command("migrate", verbosity=0)
        return
    if filled_at is not None:
        say("Emptying what was filled before")
        _empty()
    call_command("migrate", verbosity=0)
    _mark(datetime(1970, 1, 1, tzinfo=UTC))  # ours from here on, and not full yet
    for words, step in STEPS:
        start = time.perf_counter()
        step(now)
        say(f"{words}: {time.perf_counter() - start:.1f} s")
    _mark(now)


def _train(_now: datetime) -> None:
    quiet = {"stdout": StringIO(), "stderr": StringIO()}
    call_command("import_tickets", str(settings.SHIPPED_TICKETS), "--create-categories", **quiet)
    call_command("train", "--recipe", "original", **quiet)
    call_command("retrain", **quiet)


def _tickets(now: datetime) -> None:
    """Copies of the shipped tickets, each with other numbers and an order number of its own."""
    with settings.SHIPPED_TICKETS.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    chance = random.Random(0)
    columns = "text, text_digest, external_id, source, is_demo, created_at"
    with connection.cursor() as cursor, cursor.copy(f"COPY classifier_ticket ({columns}) FROM STDIN") as copy:
        for n in range(N_TICKETS):
            varied = re.sub(r"\d+", lambda _found: str(chance.randrange(1, 10_000)), texts[n % len(texts)])
            text = f"{varied} (order {chance.randrange(10**7)})"
            moment = now - timedelta(days=DAYS) * (1 - n / N_TICKETS)
            copy.write_row((text, Ticket.digest(text), f"bench-{n}", "api", False, moment))


def _calls(now: datetime) -> None:
    n = N_PREDICTIONS * REFUSED_EVERY // (REFUSED_EVERY - 1) * 50 // 49 + 50
    _run(CALLS.format(n=n, refused=REFUSED_EVERY), since=now - timedelta(days=DAYS), now=now)


def _answers(_now: datetime) -> None:
    versions = list(ModelVersion.objects.order_by("number").values_list("pk", flat=True))
    first = Ticket.objects.filter(source="api").order_by("pk").values_list("pk", flat=True)[0]
    _run(
        ANSWERS.format(n=N_PREDICTIONS),
        first=versions[0],
        second=versions[-1],
        ticket=first - 1,
        n_tickets=N_TICKETS - 1,
        **_categories(),
    )


def _labels(_now: datetime) -> None:
    _run(LABELS.replace("id % 5", "id %% 5").format(every=LABELLED_EVERY), **_categories())


def _categories() -> dict[str, object]:
    ids = list(Category.objects.order_by("pk").values_list("pk", flat=True))
    return {"categories": ids, "n_categories": len(ids)}


def _run(statement: str, **values: object) -> None:
    """Without the foreign keys' triggers where the role may switch them off: a million rows have four each."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone()[0]:
            cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement, values)


def _drift(now: datetime) -> None:
    """A snapshot an hour for the 30 days, in figures like made-up ones."""
    version = ModelVersion.objects.in_production().get()
    made = [samples.make_snapshot(version, seed=seed, now=now) for seed in range(8)]
    rows = []
    for hours in range(DAYS * 24, 0, -1):
        row = made[hours % len(made)]
        row.pk, row.is_demo, row.created_at = None, False, now - timedelta(hours=hours)
        row.window_to, row.window_from = row.created_at, row.created_at - timedelta(hours=2)
        rows.append(
            DriftSnapshot(**{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields})
        )
    DriftSnapshot.objects.filter(is_demo=True).delete()
    DriftSnapshot.objects.bulk_create(rows, batch_size=100)


def _demo(now: datetime) -> None:
    samples.make_log(n_predictions=2_000, hours_back=24 * DAYS, seed=1, now=now)


def _roll_up(now: datetime) -> None:
    rollups.roll_up(now)


def _settle(_now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


STEPS: tuple[tuple[str, Callable[[datetime], None]], ...] = (
    ("Training two versions on the shipped tickets", _train),
    (f"Writing {N_TICKETS:,} tickets", _tickets),
    ("Writing calls", _calls),
    (f"Writing {N_PREDICTIONS:,} predictions", _answers),
    ("Labelling", _labels),
    ("Writing drift snapshots", _drift),
    ("Writing sample rows", _demo),
    ("Rolling up", _roll_up),
    ("Vacuuming", _settle),
)


# --- Whose it is ----------------------------------------------------------------------------------
def _filled_at() -> datetime | None:
    """When it was filled to the end, 1970 if it was not; None if the database has no mark of ours."""
    if MARK not in connection.introspection.table_names():
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT filled_at FROM ticketclf_bench")
        return cursor.fetchone()[0].astimezone(UTC)


def _is_somebodys() -> bool:
    return Ticket._meta.db_table in connection.introspection.table_names() and Ticket.objects.exists()


def _mark(filled_at: datetime) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS ticketclf_bench (filled_at timestamptz NOT NULL)")
        cursor.execute("DELETE FROM ticketclf_bench")
        cursor.execute("INSERT INTO ticketclf_bench VALUES (%s)", [filled_at])


def _empty() -> None:
    """Takes everything away, the tables too: those of a migration that has changed since would be wrong."""
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
