"""Searching tickets: all words, the last one begun; nothing that is typed does harm; on Postgres by the index."""

from __future__ import annotations

import pytest
from django.db import connection

from classifier import searching
from classifier.models import Prediction, Ticket
from classifier.searching import search, words_in
from tests.factories import make_ticket

pytestmark = pytest.mark.django_db
TEXTS = (
    "My card was charged twice for order-4711",
    "Where is my parcel? It was sent to zoë@example.com on 2026-11-02!",
    "The app's sign-in page: I can't reset my password",
)


@pytest.fixture
def tickets() -> list[Ticket]:
    return [make_ticket(text) for text in TEXTS]


def found(words: str) -> list[int]:
    texts = search(Ticket.objects.all(), words).order_by("pk").values_list("text", flat=True)
    return [TEXTS.index(text) for text in texts]


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("card", [0]),
        ("CARD Twice", [0]),
        ("twice card", [0]),
        ("my", [0, 1, 2]),
        ("card parcel", []),
        ("reset my passw", [2]),
        ("order 4711", [0]),
        ("order-4711", [0]),
        ("4711", [0]),
        ("example.com", [1]),
        ("zoë@example.com", [1]),
        ("2026-11-02", [1]),
        ("sign in", [2]),
        ("can't", [2]),
        ("app\N{RIGHT SINGLE QUOTATION MARK}s", [2]),
        ("parcel?", [1]),
        ("", [0, 1, 2]),
        (" \0 ", [0, 1, 2]),
        ("\N{MONEY BAG}", []),
        ("card \N{MONEY BAG}", [0]),
        ("'", []),
        ("%", []),
        ("_", []),
        ("my & ! parcel", [1]),
        ("parcel:*", [1]),
        ("card | parcel", []),
        ("!card", [0]),
        ("card\0twice", [0]),
        ("my\\' card", [0]),
        ("card <-> was", [0]),
        ("nobody wrote this", []),
    ],
)
def test_tickets_with_all_the_words_are_found(words, places):
    assert found(words) == places


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize(
    "typed",
    ["x" * 10_000, "my " * 5_000, "'" * 10_000, "(" * 100 + "my", "\ud800 my", "🎉" * 300, "\\", "a\u0301\u200b", ":*"],
)
def test_odd_words_do_no_harm(typed):
    assert len(found(typed)) in (0, 3)


def test_search_narrows_what_it_is_given_and_can_be_asked_about(tickets):
    others = Ticket.objects.exclude(pk=tickets[0].pk)

    assert list(search(others, "my").order_by("pk")) == tickets[1:]
    assert list(Prediction.objects.filter(ticket__in=search(others, "my"))) == []
    assert search(search(others, "my"), "parcel").get() == tickets[1]
    assert search(others, "my").count() == 2


def test_text_that_was_removed_is_found_no_more(tickets):
    Ticket.objects.filter(pk=tickets[0].pk).update(text="The text was removed")

    assert found("card") == []


def test_words_are_bounded():
    assert len(words_in("a " * 1000)) == searching.MOST_WORDS
    assert words_in("x" * 1000) == ["x" * searching.MOST_CHARACTERS]


def test_only_the_newest_are_read_without_an_index(tickets, monkeypatch):
    if connection.vendor == "postgresql":
        pytest.skip("it has an index")
    monkeypatch.setattr(searching, "READ_TICKETS", 2)

    assert found("my") == [1, 2]


@pytest.mark.postgres
def test_index_is_used_among_100_000_tickets():
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO classifier_ticket (text, text_digest, source, is_demo, created_at)
            SELECT 'A refund of parcel ' || n || ' is late', md5(n::text), 'api', false, now()
            FROM generate_series(1, 100000) AS n
            """
        )
        cursor.execute("ANALYZE classifier_ticket")

    for words, count in {"refund 4711": 11, "refund 47111": 1, "nobody wrote this": 0}.items():
        rows = search(Ticket.objects.filter(is_demo=False), words)
        assert "Bitmap Index Scan on classifier_ticket_words" in rows.explain()
        assert rows.count() == count
