"""Versions with answers to test tickets that a reader can count, for the tests of the pages on quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from classifier.ml.scoring import score
from classifier.models import Category, Label, ModelVersion, Ticket
from tests.factories import SLUGS, make_categories, make_version
from tests.mlops.making import NOW

# Six tickets: billing is right twice of three, shipping once of two, technical once of one.
SIX = (
    ("billing", "billing", 0.9),
    ("billing", "billing", 0.8),
    ("billing", "shipping", 0.7),
    ("shipping", "shipping", 0.95),
    ("shipping", "technical", 0.99),
    ("technical", "technical", 0.6),
)


def make_tested_tickets(truths: Sequence[str], *, texts: Sequence[str] = ()) -> list[Ticket]:
    """Test tickets with imported labels, one for each truth."""
    make_categories(sorted({*SLUGS, *truths}))
    rows = {category.slug: category for category in Category.objects.all()}
    tickets = Ticket.objects.bulk_create(
        Ticket(text=text, text_digest=Ticket.digest(text), source=Ticket.Source.IMPORT, split="test", group=0)
        for text in (texts or [f"Test ticket {place} about {slug}" for place, slug in enumerate(truths)])
    )
    Label.objects.bulk_create(
        Label(ticket=ticket, category=rows[slug], source=Label.Source.IMPORT, created_at=NOW)
        for ticket, slug in zip(tickets, truths, strict=True)
    )
    return tickets


def make_tested(
    answers: Sequence[tuple[str, str, float]] = SIX,
    *,
    tickets: Sequence[Ticket] | None = None,
    slugs: Sequence[str] = SLUGS,
    **fields: Any,
) -> ModelVersion:
    """A version that said this of its test tickets: truth, guess and confidence of each, scored as a training would.

    tickets: those that another version was tested on, in the same order.
    """
    truth, guess, confidence = (list(column) for column in zip(*answers, strict=True))
    ids = [ticket.pk for ticket in (make_tested_tickets(truth) if tickets is None else tickets)]
    table = np.zeros((len(answers), len(slugs)))
    for row, (said, sure) in enumerate(zip(guess, confidence, strict=True)):
        table[row] = (1 - sure) / (len(slugs) - 1)
        table[row, list(slugs).index(said)] = sure
    scores = score(truth, guess, table, categories=slugs, resamples=50).as_dict()
    told = {"ticket_ids": ids, "truth": truth, "guess": guess, "confidence": confidence}
    made: dict[str, Any] = {"metrics": {"test": scores}, "test_answers": told, **fields}
    return make_version(**made)
