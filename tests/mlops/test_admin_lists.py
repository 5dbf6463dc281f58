"""Every list of the admin stays quick: few queries, and half a second at a hundred thousand rows of each table."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests import factories
from tests.classifier.test_admin import MAX_QUERIES, PAGES, address, fill
from tests.mlops import longtables

ROWS = 100_000
MAX_MS = 500
TRIES = 5  # the best of them counts: a busy machine is no failure
CHOICES = 6  # of a filter that are opened: all ask the same
SEARCHED = {
    "admin.logentry": ["person3", "trade_500", "777"],
    "auth.group": ["group 77"],
    "axes.accessattempt": ["person77"],
    "classifier.apikey": ["client 500", "k77"],
    "classifier.apirequest": ["client 7", "k77", "predict"],
    "classifier.category": ["trade_77", "Trade"],
    "classifier.label": ["#777", "Z-500"],
    "classifier.modelversion": ["77", "original"],
    "classifier.prediction": ["#777", "Z-500"],
    "classifier.ticket": ["parcel", "nowhere"],
    "classifier.user": ["person777", "example.com"],
    "django_celery_beat.periodictask": ["Schedule 77"],
    "mlops.aliasmove": ["promotion 777", "nowhere"],
    "mlops.dataset": ["abc", "ffff0000"],
    "mlops.importjob": ["tickets-77", "person3"],
    "mlops.promotion": ["777", "Better"],
    "mlops.retraindecision": ["Because", "nowhere"],
    "mlops.slot": ["took note", "nowhere"],
    "mlops.trainingrun": ["failed", "777", "nowhere"],
}


def addresses(client: Client, label: str) -> list[str]:
    """The list plain, sorted by each column, on its last page, searched, and filtered by choices of each filter."""
    start = address(PAGES[label].model)
    links = dict.fromkeys(re.findall(r'href="(\?[^"]+)"', client.get(start).content.decode()))
    kinds: dict[tuple[str, ...], list[str]] = {}
    for link in map(unescape, links):
        kinds.setdefault(tuple(sorted(name for name, _value in parse_qsl(link[1:]))), []).append(link)
    chosen = [link for links in kinds.values() for link in [*links[: CHOICES - 1], links[-1]]]
    return [
        start,
        *(start + link for link in dict.fromkeys(chosen)),
        *(f"{start}?q={words}" for words in SEARCHED.get(label, [])),
    ]


@pytest.mark.parametrize("label", PAGES)
def test_every_page_that_can_be_searched_is_searched_here(label):
    assert bool(PAGES[label].search_fields) == (label in SEARCHED)


@pytest.mark.django_db
@pytest.mark.parametrize("label", PAGES)
def test_list_takes_few_queries_however_it_is_sorted_searched_and_filtered(at, label):
    fill()
    for asked in addresses(at, label):
        with CaptureQueriesContext(connection) as queries:
            answer = at.get(asked)

        assert answer.status_code == 200, asked
        assert len(queries) <= MAX_QUERIES, asked


# --- At a hundred thousand rows of each -----------------------------------------------------------
@pytest.fixture(scope="module")
def long_tables(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """All tables full, for the tests of this module; nothing of it is ever committed."""
    with django_db_blocker.unblock(), transaction.atomic():
        longtables.fill_all(ROWS)
        yield
        transaction.set_rollback(True)


def best_ms(client: Client, asked: str) -> tuple[float, Any]:
    """The quickest of a few tries, in milliseconds, and the answer; a try that is quick enough ends them."""
    quickest = float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        answer = client.get(asked)
        quickest = min(quickest, (time.perf_counter() - started) * 1000)
        if quickest <= MAX_MS:
            break
    return quickest, answer


@pytest.mark.postgres
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs Postgres")
@pytest.mark.usefixtures("long_tables")
@pytest.mark.django_db
@pytest.mark.parametrize("label", PAGES)
def test_list_of_a_hundred_thousand_rows_answers_within_half_a_second(client, label, record_property):
    assert PAGES[label].model.objects.count() >= ROWS
    client.force_login(factories.make_user("ada", is_superuser=True))
    client.get(address(PAGES[label].model))

    slow, wordy = {}, {}
    for asked in addresses(client, label):
        took, _answer = best_ms(client, asked)
        print(f"{took:7.0f} ms  {asked}")
        if took > MAX_MS:
            slow[asked] = round(took)
        with CaptureQueriesContext(connection) as queries:
            client.get(asked)
        if len(queries) > MAX_QUERIES:
            wordy[asked] = len(queries)

    assert (slow, wordy) == ({}, {})
