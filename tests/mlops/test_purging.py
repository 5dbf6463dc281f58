"""Retention: which texts and rows go, which stay, in which batches; and what becomes of a ticket without its text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from classifier import exporting, labelling, rollups
from classifier.models import (
    AnswerRollup,
    ApiRequest,
    IdempotentAnswer,
    Label,
    Prediction,
    RefusalMinute,
    RequestRollup,
    Ticket,
)
from classifier.reading import FileRow
from mlops import purging, tasks
from mlops.models import Slot
from mlops.purging import Purged, foresee, purge
from tests.factories import make_categories, make_key, make_ticket, make_version
from tests.mlops.making import NOW, small_fit

pytestmark = pytest.mark.django_db
SAID = "The text was removed on 2026-11-23: it was older than 365 days, and nobody had labelled it."
DAY = timedelta(days=1)
NONE = dict.fromkeys(purging.NAMES, 0)


def counts(**more: int) -> dict[str, int]:
    return {**NONE, **more}


def run(now: datetime = NOW, **how: Any) -> Purged:
    return purge(now, **{"rest": lambda _seconds: None, **how})


def old_ticket(days: float = 366, **fields: Any) -> Ticket:
    return make_ticket("My card 4711 was charged twice", **{"created_at": NOW - days * DAY, **fields})


def asked(ticket: Ticket, *, days: float, **fields: Any) -> Prediction:
    version = Prediction.objects.first()
    return Prediction.objects.create(
        ticket=ticket,
        version=version.version if version else make_version(status="production", model=small_fit().model),
        category=make_categories()[0],
        confidence=0.8,
        n_words=6,
        unknown_share=0.25,
        created_at=NOW - days * DAY,
        **fields,
    )


def old_request(days: float = 91) -> ApiRequest:
    return ApiRequest.objects.create(
        route="predict", method="POST", status=200, latency_ms=4.5, created_at=NOW - days * DAY
    )


# --- Texts ----------------------------------------------------------------------------------------
def test_text_of_an_old_ticket_is_replaced_and_the_rest_of_it_stays():
    ticket = old_ticket(external_id="zd-1")
    answer = asked(ticket, days=366)

    found = run()

    gone = Ticket.objects.get()
    assert found == Purged(counts(texts=1))
    assert (gone.text, gone.text_removed_at) == (SAID, NOW)
    assert (gone.external_id, gone.text_digest, gone.created_at) == ("zd-1", ticket.text_digest, ticket.created_at)
    assert Prediction.objects.values().get() == Prediction.objects.filter(pk=answer.pk).values().get()
    assert (answer.confidence, answer.n_words, answer.unknown_share) == (0.8, 6, 0.25)


def test_text_that_is_not_old_enough_stays():
    old_ticket(days=364.9)

    assert run() == Purged(NONE)


def test_text_that_was_asked_about_again_stays():
    ticket = old_ticket()
    asked(ticket, days=366)
    asked(ticket, days=10)

    assert run() == Purged(NONE)


def test_text_that_was_labelled_stays():
    labelled = old_ticket()
    labelling.set_label(labelled, make_categories()[0], source="api", now=NOW)
    Label.objects.create(ticket=old_ticket(), category=make_categories()[0], source="import")  # without a split

    assert run() == Purged(NONE)


def test_text_is_removed_once():
    old_ticket()
    run()

    assert run(NOW + DAY) == Purged(NONE)
    assert Ticket.objects.get().text == SAID


# --- Rows -----------------------------------------------------------------------------------------
def test_old_request_goes_and_its_prediction_forgets_it_alone():
    old, young = old_request(), old_request(days=89)
    first, second = asked(make_ticket(), days=91, request=old), asked(make_ticket(), days=89, request=young)

    found = run()

    assert (found.counts["requests"], ApiRequest.objects.get()) == (1, young)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.request, second.request, first.confidence) == (None, young, 0.8)


def test_old_refusals_go():
    for days in (91, 89):
        RefusalMinute.objects.create(minute=NOW - days * DAY, code="invalid_key", count=3)

    assert run() == Purged(counts(refusals=1))
    assert RefusalMinute.objects.get().minute == NOW - 89 * DAY


def test_answers_for_a_repeated_call_go_after_a_day():
    key, _ = make_key()
    for hours in (23, 25):
        moment = NOW - timedelta(hours=hours)
        IdempotentAnswer.objects.create(
            key=key, idempotency_key=str(hours), body_sha256="0", answer="{}", created_at=moment
        )

    assert run() == Purged(counts(answers=1))
    assert IdempotentAnswer.objects.get().idempotency_key == "23"


def test_lines_of_the_schedule_log_go_after_a_week():
    for days in (6, 8):
        Slot.objects.create(name="Heartbeat", task="mlops.tasks.heartbeat", due_at=NOW - days * DAY)

    assert run() == Purged(counts(slots=1))
    assert Slot.objects.get().due_at == NOW - 6 * DAY


def test_counts_by_minute_go_after_eight_days_and_those_by_hour_stay():
    for days in (7, 9):
        old_request(days)
        asked(make_ticket(), days=days)
    rollups.roll_up(NOW)

    assert run() == Purged(counts(request_minutes=1, answer_minutes=1))
    assert run() == Purged(NONE)
    for rows in (RequestRollup.objects, AnswerRollup.objects):
        assert sorted(rows.values_list("grain", flat=True)) == ["day", "day", "hour", "hour", "minute"]


def test_with_0_days_nothing_is_ever_removed(settings):
    settings.TEXT_RETENTION_DAYS = settings.REQUEST_RETENTION_DAYS = 0
    old_ticket(days=100_000)
    old_request(days=100_000)

    assert run() == Purged(NONE)


# --- In batches -----------------------------------------------------------------------------------
@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "BATCH", 2)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("days", [[400] * 5, [400, 401, 402, 400, 403]])
def test_each_batch_is_removed_whatever_stays_between(days):
    """Tickets of a file are of one moment; those with a label are passed over."""
    category = make_categories()[0]
    for number in days:
        labelling.set_label(old_ticket(number), category, source="import", now=NOW)
        old_ticket(number)

    found = run()

    assert found == Purged(counts(texts=5))
    assert Ticket.objects.filter(text_removed_at=None, split=None).count() == 0


@pytest.mark.usefixtures("small_batches")
def test_it_rests_after_each_batch_for_as_long_as_that_took():
    for _ in range(5):
        old_ticket()
    ticks: Iterator[float] = iter([0.0, 0.0, 2.0, 2.0, 2.0, 2.01, 2.01, 2.01, 5.01, 5.01])
    rests: list[float] = []

    run(clock=lambda: next(ticks), rest=rests.append)

    assert rests == [2.0, purging.LEAST_REST, 3.0]


@pytest.mark.usefixtures("small_batches")
def test_it_stops_when_its_time_is_up_and_the_next_one_goes_on():
    for _ in range(5):
        old_ticket()
    passing = iter(range(0, 1000, 4))

    first = run(seconds=10, clock=lambda: float(next(passing)))
    left = foresee(NOW)
    second = run()

    assert (first, left, second) == (Purged(counts(texts=2), False), Purged(counts(texts=3)), Purged(counts(texts=3)))
    assert first.in_words() == "Removed: 2 texts of tickets. Time ran out; the rest is removed next time."


@pytest.mark.usefixtures("small_batches")
def test_one_that_is_killed_half_way_is_gone_on_with(monkeypatch):
    for _ in range(5):
        old_ticket()

    def killed(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(rest=killed)

    assert (foresee(NOW).counts["texts"], run().counts["texts"]) == (3, 3)


def test_ticket_that_is_labelled_between_the_look_and_the_removing_keeps_its_text():
    ticket = old_ticket()
    rows = purging._removable(NOW - 365 * DAY)
    labelling.set_label(ticket, make_categories()[0], source="agent", now=NOW)

    assert purging._remove(rows, [ticket.pk], now=NOW) == 0

    ticket.refresh_from_db()
    assert ticket.text_removed_at is None


def test_a_batch_takes_as_few_queries_for_many_rows_as_for_few(django_assert_num_queries):
    for _ in range(30):
        old_ticket()
        old_request()

    # A look for each of eight kinds and at what is rolled up, and one for what comes after texts and requests; their
    # transactions; an update of texts, and of requests two statements.
    with django_assert_num_queries(8 + 1 + 2 + 2 * 2 + 1 + 2):
        run()


# --- Its doors ------------------------------------------------------------------------------------
def purged_by_hand(*options: str) -> str:
    out = StringIO()
    call_command("purge", *options, stdout=out)
    return out.getvalue()


def test_command_with_dry_run_counts_and_removes_nothing(settings):
    settings.TEXT_RETENTION_DAYS = 1
    make_ticket(created_at=timezone.now() - 2 * DAY)

    said = purged_by_hand("--dry-run")
    found = json.loads(purged_by_hand("--dry-run", "--json"))

    assert said == "Would be removed: 1 texts of tickets.\n"
    assert found == {**counts(texts=1), "is_finished": True, "dry_run": True}
    assert Ticket.objects.get().text_removed_at is None


def test_command_removes_and_says_what(settings):
    settings.TEXT_RETENTION_DAYS = 1
    make_ticket(created_at=timezone.now() - 2 * DAY)

    assert json.loads(purged_by_hand("--json")) == {**counts(texts=1), "is_finished": True, "dry_run": False}
    assert purged_by_hand() == "Nothing is old enough to be removed.\n"


def test_task_says_what_it_removed():
    make_ticket(created_at=datetime(2020, 1, 1, tzinfo=UTC))
    Slot.objects.create(name="Heartbeat", task="mlops.tasks.heartbeat", due_at=datetime(2020, 1, 1, tzinfo=UTC))

    assert tasks.clean_up() == "Removed: 1 lines of the schedule log, 1 texts of tickets."


# --- A ticket without its text --------------------------------------------------------------------
@pytest.fixture
def emptied() -> Ticket:
    """A ticket that retention has been at."""
    ticket = old_ticket(external_id="zd-1")
    asked(ticket, days=366)
    run()
    ticket.refresh_from_db()
    return ticket


def test_its_label_is_refused_and_it_trains_nothing(emptied):
    with pytest.raises(labelling.TextRemoved, match=r"that of ticket \d+ was removed, as it was too old. Import"):
        labelling.set_label(emptied, make_categories()[0], source="agent", now=NOW)

    emptied.refresh_from_db()
    assert (Label.objects.count(), emptied.split) == (0, None)


def test_its_label_is_refused_though_the_text_was_there_when_it_was_looked_up():
    ticket = old_ticket()
    run()

    with pytest.raises(labelling.TextRemoved):
        labelling.set_label(ticket, make_categories()[0], source="agent", now=NOW)


@pytest.mark.parametrize("external_id", ["zd-1", None])
def test_import_of_its_text_brings_it_back_and_labels_it(emptied, external_id):
    row = FileRow(number=2, text="my card 4711 was charged twice", label="billing", external_id=external_id)
    make_categories()

    report = labelling.import_tickets([row], seed=0, now=NOW)

    emptied.refresh_from_db()
    assert (report.n_new, report.n_labelled) == (0, 1)
    assert (emptied.text, emptied.text_removed_at) == ("my card 4711 was charged twice", None)
    assert Label.objects.get().ticket == emptied


def test_import_of_its_external_id_with_another_text_is_refused(emptied):
    row = FileRow(number=2, text="Another text", label="billing", external_id="zd-1")
    make_categories()

    report = labelling.import_tickets([row], seed=0, now=NOW)

    assert report.n_refused_by_code == {"external_id_taken": 1}


def test_the_log_of_predictions_shows_when_and_why_it_was_removed(emptied):
    (row,) = exporting.log().rows()

    assert (row["text"], row["external_id"], row["confidence"]) == (SAID, "zd-1", 0.8)
