"""The admin's pages of versions and how one is promoted, of runs and datasets, and of schedules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.urls import reverse, reverse_lazy
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from classifier.ml.scoring import score
from classifier.models import ModelArtifact, ModelVersion, User
from mlops import judging, promotion
from mlops.admin import reports
from mlops.models import Dataset, Promotion, Slot, TrainingRun
from tests import factories
from tests.mlops.making import NOW, good_fit, label_tickets, make_trained, poor_fit

pytestmark = pytest.mark.django_db
SCORES = score(["a", "a", "a", "b"], ["a", "a", "b", "b"], None, categories=["a", "b"]).as_dict()


@pytest.fixture
def scientist(client: Any) -> User:
    """Somebody who may promote within the gate, signed in instead."""
    user = factories.make_user("sam")
    names = ("view_modelversion", "scope_promote", "view_promotion")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return user


def page_of(row: Any, page: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


def make_bare(number: int = 1, **fields: Any) -> ModelVersion:
    """A version whose artifact is not read."""
    artifact = ModelArtifact.objects.get_or_create(sha256="ab" * 32, content=b"not read", n_bytes=8)[0]
    return ModelVersion.objects.create(
        number=number, recipe="word_char", categories=["a", "b"], artifact=artifact, **fields
    )


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def rows_of(table: Any) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in table.cells]


# --- What a version's page says -------------------------------------------------------------------
def test_version_page_shows_the_scores_that_were_computed_once(at):
    version = make_bare(
        metrics={"validation": SCORES, "test": SCORES}, parameters={"c": 3.0, "libraries": {"numpy": "2"}}
    )

    sheet = at.get(page_of(version)).context["sheet"]

    # a: precision 2/2, recall 2/3, F1 0.8; b: precision 1/2, recall 1/1, F1 2/3
    assert {figure.name: figure.value for figure in sheet.figures} == {
        "Macro-F1": "0.733",
        "Accuracy": "75.0 %",
        "Test tickets": "4",
    }
    by_category, confusion, splits, thresholds, settings = sheet.tables
    assert rows_of(thresholds) == []
    assert rows_of(by_category) == [["b", "50.0 %", "100.0 %", "0.667", "1"], ["a", "100.0 %", "66.7 %", "0.800", "3"]]
    assert rows_of(confusion) == [["a", 2, 1], ["b", 0, 1]]
    assert rows_of(splits)[0] == ["Macro-F1", "0.733", "0.733"]
    assert rows_of(settings) == [["c", "3.0"], ["libraries: numpy", "2"]]


def test_list_of_versions_shows_their_scores(at):
    make_bare(metrics={"test": SCORES})
    make_bare(2, metrics={})

    text = text_of(at.get(reverse("admin:classifier_modelversion_changelist")))

    assert "0.733" in text
    assert "75.0 %" in text


def test_version_that_was_never_scored_says_so(at):
    text = text_of(at.get(page_of(make_bare())))

    assert "This version was not scored." in text


def test_version_made_up_for_demonstration_says_so(at):
    assert "Made up for demonstration" in text_of(at.get(page_of(make_bare(is_demo=True))))


def test_confusion_of_many_categories_is_a_list_of_the_largest():
    categories = [f"c{number}" for number in range(13)]
    scores = score(["c0"] * 3 + ["c1"], ["c1", "c1", "c2", "c1"], None, categories=categories).as_dict()

    table = reports.confusion(scores)

    assert rows_of(table) == [["c0", "c1", 2, 3], ["c0", "c2", 1, 3]]


def test_cells_are_shaded_by_their_share_and_mistakes_in_another_colour():
    first = reports.confusion(SCORES).cells[0]

    assert [(cell.bad, cell.percent) for cell in first] == [(False, 0), (False, 33), (True, 20)]


# --- Promoting ------------------------------------------------------------------------------------
pages_that_promote = pytest.mark.usefixtures("home", "labelled")


@pytest.fixture
def labelled() -> None:
    label_tickets()


@pages_that_promote
def test_promotion_page_shows_the_verdict_and_asks_for_a_reason(at):
    version = make_trained()

    page = at.get(page_of(version, "promote"))

    assert "The gate says yes" in text_of(page)
    rows = rows_of(page.context["sheet"].tables[0])
    assert rows[0][:2] == ["Model file", "yes"]
    assert (rows[2][:2], rows[2][3:]) == (["Least macro-F1", "yes"], ["0.600", "1.000"])
    assert "6 test tickets of dataset" in text_of(page)
    assert not Promotion.objects.exists()


@pages_that_promote
def test_promoting_puts_the_version_into_production_and_on_record(at, boss):
    old = make_trained(poor_fit().model, status="production")
    version = make_trained()

    answer = at.post(page_of(version, "promote"), {"reason": "Better on every category."})

    row = Promotion.objects.get()
    assert answer.url == page_of(row)
    assert (row.version, row.replaced, row.by, row.reason) == (version, old, boss, "Better on every category.")
    assert ModelVersion.objects.in_production().get() == version
    assert [str(message) for message in get_messages(answer.wsgi_request)] == ["Version 2 answers from now on."]
    assert "test tickets its macro-F1 is" in text_of(at.get(answer.url))


@pages_that_promote
def test_promotion_without_a_reason_is_refused_in_words(at):
    version = make_trained()

    page = at.post(page_of(version, "promote"), {"reason": "  "})

    assert "A promotion needs a reason" in text_of(page)
    assert not ModelVersion.objects.in_production().exists()


@pages_that_promote
def test_scientist_promotes_within_the_gate_and_not_over_its_head(client, scientist):
    poor, good = make_trained(poor_fit().model), make_trained()

    refused = client.post(page_of(poor, "promote"), {"reason": "I like it.", "force": "on"})
    promoted = client.post(page_of(good, "promote"), {"reason": "It is good."})

    assert "The gate says no. Its macro-F1 on" in text_of(refused)
    assert "Promote although the gate says no" not in text_of(refused)
    assert promoted.status_code == 302
    assert Promotion.objects.get().by == scientist


@pages_that_promote
def test_refused_promotion_shows_the_verdict_that_refused_it_and_judges_once(at, monkeypatch):
    poor = make_trained(poor_fit().model)
    verdict = judging.judge(poor)
    monkeypatch.setattr(judging, "judge", None)  # the page's; the gate has its own name for it

    page = at.post(page_of(poor, "promote"), {"reason": "I like it."})

    assert f"The gate says no. {verdict.in_words()}" in page.context["refusal"]
    assert rows_of(page.context["sheet"].tables[0]) == rows_of(reports.rules(verdict.as_dict()))


@pages_that_promote
def test_superuser_promotes_over_the_gates_head_and_that_is_on_record(at):
    poor = make_trained(poor_fit().model)
    assert "The gate says no. Below is why." in text_of(at.get(page_of(poor, "promote")))

    at.post(page_of(poor, "promote"), {"reason": "For the show.", "force": "on"})

    assert Promotion.objects.get().forced


@pages_that_promote
def test_promotion_that_came_too_late_is_told_in_words(at, monkeypatch):
    version = make_trained()

    def too_late(*_given: Any, **_named: Any) -> None:
        raise promotion.PromotionConflict("Somebody promoted in between. Look again.")

    monkeypatch.setattr(promotion, "promote", too_late)

    assert "Somebody promoted in between." in text_of(at.post(page_of(version, "promote"), {"reason": "Good."}))


@pages_that_promote
def test_version_in_production_has_no_button_and_cannot_be_promoted_again(at):
    version = make_trained(status="production")
    candidate = make_trained(good_fit().model)

    page = at.post(page_of(version, "promote"), {"reason": "Again."})

    assert "is in production already" in text_of(page)
    assert page_of(version, "promote") not in text_of(at.get(page_of(version)))
    assert page_of(candidate, "promote") in text_of(at.get(page_of(candidate)))


def test_who_may_only_look_at_versions_cannot_promote(client):
    user = factories.make_user("vic")
    user.user_permissions.set(Permission.objects.filter(codename="view_modelversion"))
    client.force_login(user)
    version = make_bare()

    assert client.get(page_of(version, "promote")).status_code == 403
    assert client.post(page_of(version, "promote"), {"reason": "x"}).status_code == 403
    assert page_of(version, "promote") not in text_of(client.get(page_of(version)))


def test_promoting_a_version_that_is_not_there_leads_back(at):
    assert at.get(reverse("admin:classifier_modelversion_promote", args=[99])).url == "/admin/"


# --- Runs and datasets ----------------------------------------------------------------------------
def test_run_page_shows_the_report_on_its_data_its_log_and_its_outcome(at):
    finding = {
        "level": "error",
        "code": "conflicting_labels",
        "message": "Two texts contradict.",
        "rows": [3, 9],
        "count": 2,
    }
    run = TrainingRun.objects.create(
        status="rejected", trigger="api", recipe="word_char", outcome="Refused: contradictions.", log="validate 10",
        validation={"n_rows": 10, "n_valid": 8, "counts": {}, "findings": [finding], "ok": False},
    )  # fmt: skip

    page = at.get(page_of(run))

    assert rows_of(page.context["sheet"].tables[0]) == [["error", "Two texts contradict.", "2", "3, 9"]]
    for words in ("8 of 10 tickets are fit to train on.", "validate 10", "Refused: contradictions."):
        assert words in text_of(page)


def test_run_that_is_at_work_shows_its_step_in_the_list(at):
    TrainingRun.objects.create(status="queued", trigger="api", recipe="word_char")
    TrainingRun.objects.create(
        status="running", trigger="schedule", recipe="word_char", step="fit again", started_at="2026-11-23T09:00Z",
        lease_until="2026-11-23T09:02Z",
    )  # fmt: skip

    assert "fit again" in text_of(at.get(reverse("admin:mlops_trainingrun_changelist")))


def test_run_page_tells_how_long_it_took(at):
    run = TrainingRun.objects.create(
        status="failed", trigger="api", recipe="word_char", started_at=NOW, ended_at=NOW + timedelta(seconds=75)
    )

    assert "75.0" in text_of(at.get(page_of(run)))


def test_dataset_page_counts_its_tickets_and_keeps_their_ids_to_itself(at):
    counts = {"train": {"a": 5, "b": 4}, "validation": {"a": 1}, "test": {"b": 2}}
    dataset = Dataset.objects.create(fingerprint="cd" * 32, members={"train": {"a": [70_707]}}, counts=counts)

    page = at.get(page_of(dataset))

    assert rows_of(page.context["sheet"].tables[0]) == [
        ["a", "5", "1", "0", "6"],
        ["b", "4", "0", "2", "6"],
        ["All", "9", "1", "2", "12"],
    ]
    assert "70707" not in text_of(page)


def test_empty_dataset_says_so(at):
    assert "It holds no ticket." in text_of(
        at.get(page_of(Dataset.objects.create(fingerprint="", members={}, counts={})))
    )


# --- Schedules and the front page -----------------------------------------------------------------
def test_task_is_scheduled_on_its_page(at):
    every_night = CrontabSchedule.objects.create(minute="0", hour="3")
    sent = {
        "name": "nightly",
        "task": "mlops.tasks.retrain",
        "crontab": every_night.pk,
        "enabled": "on",
        "args": "[]",
        "kwargs": "{}",
    }

    answer = at.post(reverse("admin:django_celery_beat_periodictask_add"), sent)

    assert answer.status_code == 302
    assert PeriodicTask.objects.get(name="nightly").crontab == every_night
    assert "nightly" in text_of(at.get(page_of(every_night)))


def test_our_tasks_are_offered(at):
    page = text_of(at.get(reverse("admin:django_celery_beat_periodictask_add")))

    assert "mlops.tasks.retrain" in page


def test_tasks_are_switched_off_together(at):
    every = IntervalSchedule.objects.create(every=1, period="hours")
    task = PeriodicTask.objects.create(name="hourly", task="mlops.tasks.train", interval=every)

    at.post(
        reverse("admin:django_celery_beat_periodictask_changelist"),
        {"action": "disable_tasks", "_selected_action": task.pk},
    )

    assert not PeriodicTask.objects.get(name="hourly").enabled


def test_front_page_says_which_version_answers_or_what_to_do(at):
    assert "No version is in production" in text_of(at.get("/admin/"))
    version = make_bare(7, status="production")

    assert f'href="{page_of(version)}">Version 7</a> answers tickets.' in text_of(at.get("/admin/"))


# --- Schedules and what they did ------------------------------------------------------------------
LOG = reverse_lazy("admin:mlops_slot_changelist")


@pytest.fixture
def clean_up() -> PeriodicTask:
    """A schedule with three moments: gone well, failed, not sent."""
    PeriodicTask.objects.all().delete()
    minute = IntervalSchedule.objects.create(every=1, period="minutes")
    said = [("done", "Removed: 12 texts of tickets."), ("failed", "Its process is gone."), ("not_sent", "No broker.")]
    for number, (status, words) in enumerate(said):
        began = NOW + timedelta(minutes=number)
        ended = {} if status == "not_sent" else {"started_at": began, "ended_at": began + timedelta(seconds=75)}
        Slot.objects.create(
            name="Clean up",
            task="mlops.tasks.clean_up",
            due_at=began,
            sent_at=began,
            status=status,
            words=words,
            **ended,
        )
    Slot.objects.create(name="Another", task="mlops.tasks.heartbeat", due_at=NOW)
    return PeriodicTask.objects.create(name="Clean up", task="mlops.tasks.clean_up", interval=minute)


@pytest.mark.parametrize(
    ("filters", "found"),
    [({"name": "Clean up"}, 3), ({"status__exact": "failed"}, 1), ({"name": "Clean up", "q": "texts"}, 1), ({}, 4)],
)
def test_schedule_log_is_filtered_by_schedule_status_and_words(at, clean_up, filters, found):
    page = at.get(LOG, filters)

    assert len(page.context["cl"].result_list) == found


def test_schedule_log_says_what_ran_when_how_long_and_what_came_of_it(at, clean_up):
    text = text_of(at.get(LOG, {"name": "Clean up"}))

    for said in ("2026-11-23 09:30:00", "Removed: 12 texts of tickets.", "75.0", "not sent"):
        assert said in text


def test_page_of_a_slot_leads_to_its_schedule(at, clean_up):
    first, other = Slot.objects.get(status="done"), Slot.objects.get(name="Another")

    assert page_of(clean_up) in text_of(at.get(page_of(first)))
    assert "Another, removed since" in text_of(at.get(page_of(other)))


def test_page_of_a_schedule_shows_its_newest_moments_and_leads_to_the_log(at, clean_up):
    page = at.get(page_of(clean_up))

    (table,) = page.context["sheet"].tables
    assert [row[1:] for row in rows_of(table)] == [
        ["not sent", "-", "No broker."],
        ["failed", "75.0", "Its process is gone."],
        ["done", "75.0", "Removed: 12 texts of tickets."],
    ]
    assert f'href="{LOG}?name=Clean+up"' in text_of(page)


def test_list_of_schedules_shows_how_the_last_moment_went(at, clean_up):
    text = text_of(at.get(reverse("admin:django_celery_beat_periodictask_changelist")))

    assert "not sent" in text
    assert f'href="{LOG}?name=Clean+up"' in text
