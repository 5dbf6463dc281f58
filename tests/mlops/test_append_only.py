"""The triggers that guard records: no statement changes or removes a promotion or a dataset, whoever sends it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction

from mlops.models import Dataset, Frozen, Promotion
from tests.factories import make_version

pytestmark = pytest.mark.django_db


def make_promotion() -> Promotion:
    return Promotion.objects.create(version=make_version(), reason="The first one.")


def make_dataset() -> Dataset:
    return Dataset.objects.create(fingerprint="f" * 64, members={"train": {}}, counts={})


@pytest.mark.parametrize("make", [make_promotion, make_dataset])
def test_save_and_delete_of_a_record_are_refused(make: Any) -> None:
    row = make()

    with pytest.raises(Frozen):
        row.save()
    with pytest.raises(Frozen):
        row.delete()


@pytest.mark.parametrize(
    ("make", "change"),
    [(make_promotion, {"reason": "Another one."}), (make_dataset, {"members": {}})],
)
def test_update_past_the_model_is_refused_by_the_database(make: Any, change: dict[str, Any]) -> None:
    row = make()

    with pytest.raises(IntegrityError, match="is neither changed nor removed"), transaction.atomic():
        type(row).objects.filter(pk=row.pk).update(**change)

    kept = type(row).objects.get(pk=row.pk)
    assert {name: getattr(kept, name) for name in change} == {name: getattr(row, name) for name in change}


@pytest.mark.parametrize("make", [make_promotion, make_dataset])
def test_delete_past_the_model_is_refused_by_the_database(make: Any) -> None:
    row = make()

    with pytest.raises(IntegrityError, match="is neither changed nor removed"), transaction.atomic():
        models.QuerySet(type(row)).filter(pk=row.pk)._raw_delete(using="default")

    assert type(row).objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("make", [make_promotion, make_dataset])
def test_replace_of_a_record_is_refused_by_the_database(make: Any) -> None:
    """SQLite's REPLACE removes the old row without asking the trigger of removals; Postgres has no such thing."""
    row = make()
    table = row._meta.db_table
    word = "INSERT" if connection.vendor == "postgresql" else "REPLACE"

    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{word} INTO {table} SELECT * FROM {table} WHERE id = %s", [row.pk])  # noqa: S608

    assert type(row).objects.get(pk=row.pk).created_at == row.created_at


@pytest.mark.django_db(transaction=True)
def test_flush_between_tests_empties_records_and_leaves_their_triggers() -> None:
    """Only that the statement below is refused: that its row is gone afterwards, the next test would notice."""
    make_dataset()

    with pytest.raises(IntegrityError), connection.cursor() as cursor:
        cursor.execute("DELETE FROM mlops_dataset")
