"""Every door that promotes lets MLflow's alias follow, fails over none, and shows what the alias did."""

from __future__ import annotations

import fcntl
import importlib
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from classifier.management.base import Refused
from classifier.models import ModelArtifact, ModelVersion
from mlops import promotion, reconciling, tracking
from mlops.models import AliasMove, Promotion
from tests import factories
from tests.mlops.conftest import NOWHERE
from tests.mlops.making import NOW, label_tickets, make_trained, poor_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mlflow_home")]
schedule = importlib.import_module("mlops.migrations.0004_reconcile_schedule")


@pytest.fixture
def tickets():
    label_tickets()


def run(name: str, *arguments: object) -> tuple[str, str]:
    """What the command wrote to standard output and to standard error."""
    out, error = io.StringIO(), io.StringIO()
    call_command(name, *map(str, arguments), stdout=out, stderr=error)
    return out.getvalue(), error.getvalue()


def alias() -> int | None:
    return tracking.registry().alias


# --- Commands that promote ------------------------------------------------------------------------
def test_train_of_a_first_version_sets_the_alias(tickets):
    run("train")

    assert (alias(), AliasMove.objects.get().decision) == (1, "followed")


def test_promote_lets_the_alias_follow(tickets):
    make_trained()
    reconciling.reconcile()

    run("promote", 1, "--reason", "Good.")

    assert alias() == 1


def test_retrain_that_promotes_lets_the_alias_follow(tickets):
    run("retrain")

    assert alias() == ModelVersion.objects.get().mlflow_version


def test_promote_without_mlflow_warns_in_a_line_and_succeeds(tickets, settings):
    make_trained(mlflow_version=7, mlflow_run_id="ab" * 16)
    settings.MLFLOW_TRACKING_URI = NOWHERE

    out, error = run("promote", 1, "--reason", "Good.", "--json")

    assert json.loads(out)["promoted"] is True
    assert ModelVersion.objects.get().status == "production"
    (warning,) = [line for line in error.splitlines() if line.startswith("Warning")]
    assert (
        "alias does not follow yet; beat sees to it, or manage.py reconcile. MLflow at its SQLite file did not"
        in warning
    )


def test_promote_of_a_version_that_mlflow_does_not_have_waits_for_nothing(tickets, settings):
    make_trained()
    settings.MLFLOW_TRACKING_URI = NOWHERE

    assert "Warning" not in run("promote", 1, "--reason", "Good.")[1]


def few_tickets(settings: Any, folder: Path) -> None:
    settings.SHIPPED_TICKETS = folder / "tickets.csv"
    settings.SHIPPED_TICKETS.write_text("text,label\nHello,general\n", "utf-8")


def test_quickstart_leaves_the_alias_on_version_1(tickets, settings, tmp_path):
    few_tickets(settings, tmp_path)
    make_trained()
    reconciling.reconcile()

    run("quickstart", "--no-serve")

    assert alias() == ModelVersion.objects.in_production().get().mlflow_version == 1


def test_quickstart_goes_on_when_the_alias_cannot_follow(tickets, settings, tmp_path, home, monkeypatch):
    few_tickets(settings, tmp_path)
    make_trained(mlflow_version=1, mlflow_run_id="ab" * 16)
    monkeypatch.setattr(reconciling, "TURN_SECONDS", 0.0)

    with (home / "reconciling.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out, _ = run("quickstart", "--no-serve")

    assert "warning: MLflow's alias does not follow yet. Another reconciling is at it" in out
    assert ModelVersion.objects.get().status == "production"


# --- manage.py reconcile --------------------------------------------------------------------------
def test_reconcile_says_what_it_did_and_then_that_there_is_nothing_to_do(tickets):
    promotion.promote(make_trained(), reason="Good.")

    first, second = run("reconcile")[0], run("reconcile")[0]

    recorded, followed = first.splitlines()
    assert recorded.startswith("Version 1 is in MLflow as registered version 1, run ")
    assert followed == "The alias was set to registered version 1 (version 1)."
    assert second == "MLflow has everything, and its alias stands right.\n"


def test_reconcile_json_is_one_object(tickets):
    promotion.promote(make_trained(), reason="Good.")

    found = json.loads(run("reconcile", "--json")[0])

    assert [(one["what"], one["version"]) for one in found["done"]] == [("recorded", 1), ("followed", 1)]


def test_reconcile_without_mlflow_ends_with_1_in_one_line(settings):
    settings.MLFLOW_TRACKING_URI = NOWHERE

    with pytest.raises(Refused, match=r"^MLflow at its SQLite file did not say what is registered: No such") as caught:
        run("reconcile")

    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


def test_reconcile_with_a_version_that_cannot_be_recorded_ends_with_1(tickets):
    version = make_trained()
    ModelArtifact.objects.filter(pk=version.artifact_id).update(content=b"nothing")

    with pytest.raises(Refused, match="1 of the versions could not be recorded"):
        run("reconcile")


# --- The admin ------------------------------------------------------------------------------------
def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def page_of(row: Any, page: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


def test_promotion_in_the_admin_waits_neither_for_mlflow_nor_for_the_broker(
    at, tickets, settings, django_capture_on_commit_callbacks
):
    version = make_trained(mlflow_version=7, mlflow_run_id="ab" * 16)
    settings.MLFLOW_TRACKING_URI = NOWHERE

    with django_capture_on_commit_callbacks() as rings:
        answer = at.post(page_of(version, "promote"), {"reason": "Good."})
    began = time.monotonic()
    for ring in rings:
        ring()

    assert answer.status_code == 302
    assert len(rings) == 1
    assert time.monotonic() - began < 3
    assert ModelVersion.objects.get().status == "production"


def test_page_of_a_version_says_whether_mlflow_has_it(at):
    recorded = factories.make_version(mlflow_version=3, mlflow_run_id="ab" * 16)
    missing, demo = factories.make_version(), factories.make_version(is_demo=True)

    assert "Recorded as registered version 3." in text_of(at.get(page_of(recorded)))
    assert "Not recorded: MLflow did not answer." in text_of(at.get(page_of(missing)))
    assert "Demonstration versions are not recorded." in text_of(at.get(page_of(demo)))


def test_moves_of_the_alias_have_a_page(at, tickets):
    row = promotion.promote(make_trained(poor_fit().model), reason="First.", force=True)
    AliasMove.objects.create(decision="followed", left=1, promotion=row, words="It was set.", created_at=NOW)
    move = AliasMove.objects.create(decision="put_back", found=2, left=1, words="The gate says no. " * 20)

    listed = text_of(at.get(reverse("admin:mlops_aliasmove_changelist")))
    shown = text_of(at.get(page_of(move)))

    assert "put back" in listed
    assert "followed" in listed
    assert page_of(Promotion.objects.get()) in listed
    assert ("The gate says no. " * 20).strip() in shown
    assert "MLflow alias" in text_of(at.get("/admin/"))


# --- Beat -----------------------------------------------------------------------------------------
def test_beat_reconciles_each_minute():
    PeriodicTask.objects.all().delete()

    schedule.add(apps, None)

    task = PeriodicTask.objects.get()
    assert (task.task, task.enabled, task.expire_seconds) == ("mlops.tasks.reconcile", True, 50)
    assert (task.interval.every, task.interval.period) == (1, "minutes")


def test_schedule_is_made_once_and_leaves_one_that_is_there_alone():
    PeriodicTask.objects.all().delete()
    hour = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name="ours", task="mlops.tasks.reconcile", interval=hour)

    schedule.add(apps, None)

    assert PeriodicTask.objects.get().interval == hour


def test_schedule_shares_the_interval_and_goes_without_it():
    PeriodicTask.objects.all().delete()
    minute = IntervalSchedule.objects.filter(every=1, period="minutes").first() or IntervalSchedule.objects.create(
        every=1, period="minutes"
    )

    schedule.add(apps, None)
    schedule.add(apps, None)
    shared = PeriodicTask.objects.get().interval
    schedule.remove(apps, None)

    assert shared == minute
    assert not PeriodicTask.objects.exists()
    assert IntervalSchedule.objects.filter(pk=minute.pk).exists()


def test_scheduled_task_is_one_that_there_is():
    from mlops import tasks

    assert tasks.reconcile.name == schedule.TASK
    assert settings.CELERY_TASK_ROUTES.get(schedule.TASK) is None  # the queue `default`
