"""Through new tickets and new trainings, a ticket that tests goes on testing, and one that trains goes on training."""

from __future__ import annotations

import pytest

from classifier.checking import check_database
from classifier.labelling import import_tickets, set_label
from classifier.ml.split import SPLITS
from classifier.models import Category, Ticket
from classifier.reading import FileRow
from mlops import training
from mlops.models import Dataset
from tests.factories import make_categories, make_ticket, shipped
from tests.mlops.making import NOW, THREE, noon

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def rows_from(begin: int, end: int) -> list[tuple[str, str]]:
    """Shipped tickets of three categories."""
    return [(text, label) for text, label in shipped() if label in THREE][begin:end]


def bring_in(rows: list[tuple[str, str]]) -> None:
    report = import_tickets([FileRow(number, *row) for number, row in enumerate(rows, 2)], seed=0, now=NOW)
    assert report.kept


def trained() -> Dataset:
    run = training.train(trigger="command", clock=noon)
    assert run.dataset is not None, run.outcome
    return run.dataset


def ids(dataset: Dataset, split: str) -> set[int]:
    return {pk for pks in dataset.members[split].values() for pk in pks}


def test_retraining_after_fifty_new_tickets_moves_none_of_the_earlier():
    make_categories(THREE)
    bring_in(rows_from(0, 60))
    first = trained()

    bring_in(rows_from(60, 85))  # 25 by a file
    categories = {category.slug: category for category in Category.objects.all()}
    for text, label in rows_from(85, 105):  # 20 by people
        set_label(make_ticket(text), categories[label], source="agent", now=NOW)
    for pk in sorted(ids(first, "test"))[:5]:  # and five that are like tickets that test
        text = Ticket.objects.get(pk=pk).text
        set_label(make_ticket(f"{text} 1"), categories["billing"], source="reviewer", now=NOW)
    corrected = Ticket.objects.get(pk=min(ids(first, "test")))
    set_label(corrected, categories["technical"], source="reviewer", now=NOW)
    second = trained()

    assert sum(len(ids(second, split)) for split in SPLITS) == 110
    for split in SPLITS:
        assert ids(first, split) <= ids(second, split)
    assert len(ids(second, "test") - ids(first, "test")) >= 5
    assert first.fingerprint != second.fingerprint
    assert check_database(imbalance_ratio=10, check_splits=True).report.test_leak_share == 0
