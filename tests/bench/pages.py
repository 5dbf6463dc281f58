"""How long each page takes on a Postgres with 100,000 tickets and a million predictions, and how many queries.

Run from the checkout: BENCH_DATABASE_URL=postgres://... python tests/bench/pages.py [--json] [--strict] [--refill].
It fills the database first, in a minute or two, and fills no database that has tickets of others. Exits 1 if the median
of five answers of a page takes longer than its bar; a page that does not exist yet fails it with --strict only.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a script has its own folder on the path, not the checkout

PAGE_MS, LIST_MS, LIST_QUERIES = 300, 500, 15
ROUNDS = 5
RANGES = ("24h", "30d", "all")
# Each page with the query strings that are measured; {range} stands for each of RANGES, {ticket} and so on for a row.
PAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("/", ("", "range={range}", "range=30d&demo=1")),
    ("/quality", ("", "version={version}")),
    ("/quality/tickets", ("version={version}&truth=billing&guess=account",)),
    (
        "/monitoring",
        ("range={range}", "words=card", "words=reset+my+passw", "range=30d&category=billing", "status=5xx"),
    ),
    ("/drift", ("range={range}",)),
    ("/runbook", ("",)),
    ("/concepts", ("",)),
    ("/try", ("",)),
    ("/queue", ("", "category=billing")),
    ("/imports", ("",)),
    ("/exports", ("",)),
    ("/status", ("",)),
)
# What a person does in the longest lists of the admin, besides opening each.
SEARCHES = (
    ("/admin/classifier/ticket/", "q=card"),
    ("/admin/classifier/ticket/", "q=reset+my+passw"),
    ("/admin/classifier/ticket/", "q=nobody+wrote+this"),
    ("/admin/classifier/ticket/", "label=billing&q=card"),
    ("/admin/classifier/prediction/", "decision__exact=review"),
)


def prepare() -> str:
    """Sets the environment of Django's start; gives the database's address without its password."""
    url = os.environ.get("BENCH_DATABASE_URL") or os.environ.get("DATABASE_URL", "")
    if not url.startswith(("postgres://", "postgresql://")):
        sys.exit(
            "BENCH_DATABASE_URL must name a Postgres database that may be filled: postgres://user:password@host/name."
        )
    os.environ["DATABASE_URL"] = url
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    os.environ["TICKETCLF_VAR"] = tempfile.mkdtemp(prefix="ticketclf-bench-")
    os.environ["MLFLOW_TRACKING_URI"] = ""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["LOG_LEVEL"] = "ERROR"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketclf.settings")
    return url.rpartition("@")[2]


def addresses() -> list[tuple[str, float, int | None]]:
    """Each address with the most milliseconds and queries that it may take."""
    from django.contrib import admin
    from django.urls import reverse

    from classifier.models import ModelVersion

    version = ModelVersion.objects.in_production().values_list("number", flat=True).get()
    found: list[tuple[str, float, int | None]] = []
    for page, queries in PAGES:
        for query in queries:
            for each in RANGES if "{range}" in query else ("",):
                asked = query.format(range=each, version=version)
                found.append((f"{page}?{asked}" if asked else page, PAGE_MS, None))
    for model in admin.site._registry:
        options = model._meta
        found.append((reverse(f"admin:{options.app_label}_{options.model_name}_changelist"), LIST_MS, LIST_QUERIES))
    return [*found, *((f"{page}?{query}", LIST_MS, LIST_QUERIES) for page, query in SEARCHES)]


class Browser:
    """A signed-in superuser who asks the program as a web server does, through its WSGI application."""

    def __init__(self) -> None:
        from django.conf import settings
        from django.test import Client

        from classifier.models import User
        from ticketclf.wsgi import application

        user, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
        client = Client()
        client.force_login(user)
        self.cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        self.application = application

    def get(self, address: str) -> tuple[int, str]:
        """Status, and the body as text."""
        from django.test import RequestFactory

        environ = RequestFactory(headers={"cookie": self.cookie, "host": "localhost"}).get(address).environ
        statuses: list[str] = []
        answer = self.application(environ, lambda status, _headers: statuses.append(status))
        body = b"".join(answer).decode()
        answer.close()
        return int(statuses[0].split()[0]), body


def measured(browser: Browser, address: str, *, bar_ms: float, most_queries: int | None) -> dict[str, Any]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    status, body = browser.get(address)  # templates and plans are warm then, as they are on any day
    found = {"address": address, "status": status, "ms": None, "queries": None, "bar_ms": bar_ms, "is_slow": False}
    if status != HTTPStatus.OK:
        return found
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        browser.get(address)
        times.append((time.perf_counter() - start) * 1000)
    with CaptureQueriesContext(connection) as queries:
        browser.get(address)
    median = statistics.median(times)
    too_many = most_queries is not None and len(queries) > most_queries
    return {
        **found,
        "ms": round(median, 1),
        "queries": len(queries),
        "kb": round(len(body) / 1024),
        "is_slow": median > bar_ms or too_many,
        "slowest": max(queries.captured_queries, key=lambda query: float(query["time"]), default={}),
    }


def show(row: dict[str, Any]) -> None:
    if row["ms"] is None:
        print(
            f"{'missing' if row['status'] == HTTPStatus.NOT_FOUND else row['status']:>10}            {row['address']}"
        )
        return
    mark = "  TOO SLOW" if row["is_slow"] else ""
    print(f"{row['ms']:8.1f} ms {row['queries']:4d} queries {row['kb']:5d} kB  {row['address']}{mark}", flush=True)
    if row["is_slow"]:
        print(f"            its slowest query: {row['slowest'].get('time')} s: {row['slowest'].get('sql', '')[:300]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    parser.add_argument("--strict", action="store_true", help="A page that does not exist fails, too.")
    parser.add_argument("--refill", action="store_true", help="Fill again what it filled some hours ago.")
    parser.add_argument("--only", default="", metavar="TEXT", help="Measure only addresses with this in them.")
    options = parser.parse_args()
    where = prepare()
    import django

    django.setup()
    from tests.bench import filling

    filling.fill(where, again=options.refill, say=lambda words: print(words, file=sys.stderr, flush=True))
    browser = Browser()
    rows = []
    for address, bar_ms, most_queries in addresses():
        if options.only in address:
            rows.append(measured(browser, address, bar_ms=bar_ms, most_queries=most_queries))
            if not options.json:
                show(rows[-1])
    missing = [row["address"] for row in rows if row["status"] == HTTPStatus.NOT_FOUND]
    broken = [row["address"] for row in rows if row["status"] not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND)]
    slow = [row["address"] for row in rows if row["is_slow"]]
    if options.json:
        kept = [{name: value for name, value in row.items() if name != "slowest"} for row in rows]
        print(json.dumps({"pages": kept, "slow": slow, "missing": missing, "broken": broken}, indent=2))
    else:
        print(f"{len(rows)} addresses: {len(slow)} too slow, {len(broken)} broken, {len(missing)} missing.")
    sys.exit(1 if slow or broken or (missing and options.strict) else 0)


if __name__ == "__main__":
    main()
