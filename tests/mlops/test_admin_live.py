"""What is at work in the admin: steps with their seconds, pages that follow a run, imports, two versions compared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from classifier.models import ModelVersion
from mlops.admin.live import steps_taken
from mlops.models import ImportJob, TrainingRun
from tests.classifier.test_admin import address, staff
from tests.mlops.making import NOW
from tests.mlops.test_admin import make_bare, page_of, rows_of, text_of

pytestmark = pytest.mark.django_db
LIVE = 'id="live"'


def make_run(status: str, **fields: Any) -> TrainingRun:
    now = timezone.now()
    started = {"started_at": now, "lease_until": now + timedelta(minutes=2)} if status == "running" else {}
    return TrainingRun.objects.create(status=status, trigger="admin", recipe="word_char", **started, **fields)


def test_steps_last_until_the_next_and_the_last_one_until_the_end():
    steps = [
        {"name": "validate", "words": "validate 10 tickets", "at": NOW.isoformat()},
        {"name": "fit", "words": "fit word_char", "at": (NOW + timedelta(seconds=6)).isoformat()},
    ]

    ended = steps_taken(steps, ended_at=NOW + timedelta(seconds=8.5), now=NOW + timedelta(hours=1))
    at_work = steps_taken(steps, ended_at=None, now=NOW + timedelta(seconds=10))

    assert [(row[0], row[2]) for row in rows_of(ended)] == [("validate 10 tickets", "6.0"), ("fit word_char", "2.5")]
    assert [row[2] for row in rows_of(at_work)] == ["6.0", "4.0"]


@pytest.mark.parametrize(("status", "follows"), [("queued", True), ("running", True), ("failed", False)])
def test_page_of_a_run_follows_it_while_it_is_at_work(at, status, follows):
    page = text_of(at.get(page_of(make_run(status))))

    assert (LIVE in page) == follows
    assert "js/live.js" in page


def test_run_at_work_shows_its_steps_first_and_the_seconds_so_far(at):
    run = make_run("running", steps=[{"name": "fit", "words": "fit word_char", "at": NOW.isoformat()}])

    page = at.get(page_of(run))

    assert page.context["sheet"].tables[0].title == "Steps"
    assert page.context["adminform"].model_admin.took(run) != "-"


def test_import_is_read_with_what_came_of_it_and_never_its_bytes(at, boss):
    now = timezone.now()
    job = ImportJob.objects.create(
        by=boss, file_name="november.csv", content=b"secret", n_bytes=2_400_000, n_rows=12_000, status="failed",
        started_at=now, ended_at=now + timedelta(seconds=4), outcome="No column text.", options={"text_column": "text"},
        report={"new": 7, "rows": [1, 2]},
    )  # fmt: skip

    page, listed = text_of(at.get(page_of(job))), text_of(at.get(address(ImportJob)))

    for words in ("No column text.", "november.csv", "12,000", "4.0"):
        assert words in page
        assert words in listed
    assert "secret" not in page
    assert LIVE not in page


# --- Two versions ---------------------------------------------------------------------------------
def test_version_is_compared_with_production_on_the_page_of_quality(at):
    there, other = make_bare(1, status="production"), make_bare(2)

    answer = at.get(reverse("admin:classifier_modelversion_compare", args=[other.pk]))

    assert answer.url == f"{reverse('quality')}?version=2&against={there.number}"


def test_version_has_nothing_to_be_compared_with_while_none_is_in_production(at):
    version = make_bare(2)

    answer = at.get(reverse("admin:classifier_modelversion_compare", args=[version.pk]), follow=True)

    assert "nothing to compare it with" in text_of(answer)


@pytest.mark.parametrize(("count", "words"), [(1, "Choose two"), (2, None), (3, "Choose two")])
def test_two_chosen_in_the_list_are_compared_and_no_other_number(at, count, words):
    chosen = [make_bare(number).pk for number in range(1, count + 1)]

    answer = at.post(address(ModelVersion), {"action": "compare_chosen", "_selected_action": chosen})

    if words is None:
        assert answer.url == f"{reverse('quality')}?version=2&against=1"
    else:
        assert words in text_of(at.get(answer.url))


def test_who_may_not_open_the_pages_is_not_offered_a_comparison(client):
    staff(client, "view_modelversion", "scope_promote")
    version = make_bare(2)

    page = text_of(client.get(page_of(version)))

    assert "Promote to production" in page
    assert "Compare with production" not in page
