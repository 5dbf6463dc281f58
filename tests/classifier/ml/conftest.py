"""Tickets and fitted models that several tests of the mathematics read; none of them changes one."""

from __future__ import annotations

from itertools import product

import pytest

from classifier.ml.pipeline import Fitted, fit

OPENINGS = ("please help", "hello", "urgent", "dear team", "hi there", "good morning", "since monday", "again")
ASKED = {
    "billing": ("i was charged twice", "refund my invoice", "the payment shows a wrong fee"),
    "technical": ("the app keeps crashing", "error on the screen", "my router does not connect"),
    "account": ("i can't log into my account", "reset my password", "change my e-mail address"),
    "shipping": ("where is my parcel", "the courier lost my package", "delivery is late"),
    "general": ("what are your opening hours", "which countries do you support", "thanks for the advice"),
}
Tickets = tuple[list[str], list[str]]


def tickets_of(categories: tuple[str, ...]) -> Tickets:
    """24 tickets of each category, every opening before every matter."""
    rows = [(f"{opening}, {asked}", slug) for slug in categories for opening, asked in product(OPENINGS, ASKED[slug])]
    return [text for text, _ in rows], [slug for _, slug in rows]


def fitted_on(categories: tuple[str, ...], *, recipe: str) -> Fitted:
    texts, slugs = tickets_of(categories)
    return fit(texts, slugs, validation_texts=texts[::3], validation_categories=slugs[::3], recipe=recipe, seed=0)


@pytest.fixture(autouse=True)
def _empty_caches() -> None:
    """Takes the place of the API tests' fixture: the mathematics has no caches, and its tests run without Django."""


@pytest.fixture(scope="session")
def tickets() -> Tickets:
    return tickets_of(tuple(ASKED))


@pytest.fixture(scope="session")
def fitted() -> Fitted:
    return fitted_on(tuple(ASKED), recipe="word_char")


@pytest.fixture(scope="session")
def fitted_original() -> Fitted:
    return fitted_on(tuple(ASKED), recipe="original")


@pytest.fixture(scope="session")
def fitted_binary() -> Fitted:
    return fitted_on(("billing", "shipping"), recipe="word_char")
