"""Which version a command is about: the same words in each, and no whole rows read to print numbers."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from classifier.management.base import BadUsage, Refused
from classifier.models import ModelVersion
from mlops.management.choosing import version_meant, version_numbered
from tests.factories import make_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
CALLS = [["evaluate", "--version=20"], ["tune_thresholds", "--version=20"], ["promote", "20", "--reason=Better."]]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_command_with_an_unknown_number_names_the_newest_ten_and_reads_their_numbers_only(call):
    for _ in range(11):
        make_version()

    with CaptureQueriesContext(connection) as asked, pytest.raises(BadUsage) as error:
        call_command(*call)

    assert str(error.value) == "There is no version 20. The newest ones: 11, 10, 9, 8, 7, 6, 5, 4, 3, 2."
    (query,) = [query["sql"] for query in asked.captured_queries if "LIMIT 10" in query["sql"]]
    assert "," not in query.split(" FROM ")[0], "one column is enough"


def test_version_without_a_number_is_that_in_production_else_the_newest_candidate():
    make_version()
    newest = make_version()
    make_version(status="archived")

    before = version_meant(None, to="tune")
    ModelVersion.objects.filter(number=1).update(status="production")

    assert before == newest
    assert version_meant(None, to="tune").number == 1
    assert version_meant(3, to="tune") == version_numbered(3)


def test_version_without_any_says_what_to_do():
    with pytest.raises(Refused, match=r"^There is no version to tune yet. Train one with: manage\.py train$"):
        version_meant(None, to="tune")
    with pytest.raises(BadUsage, match="none yet: run train"):
        version_numbered(1)
