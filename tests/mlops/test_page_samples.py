"""The buttons for sample data: for staff, on the embedded database alone, and nothing half-made."""

from __future__ import annotations

import fcntl
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from kombu.exceptions import OperationalError

from classifier.models import ModelVersion, Prediction, Ticket
from mlops import samples, tasks
from mlops.models import DriftSnapshot
from mlops.samples import whole
from mlops.views.samples import sample_buttons
from tests.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
Sent = list[str]


@pytest.fixture(autouse=True)
def _embedded(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EMBEDDED_DATABASE = True
    monkeypatch.setattr(whole, "N_PREDICTIONS", 20)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found: Sent = []

    def call(task: Any) -> bool:
        found.append(task.name)
        return True

    monkeypatch.setattr(tasks, "call", call)
    return found


def demo_rows() -> list[int]:
    return [kind.objects.filter(is_demo=True).count() for kind in (Prediction, ModelVersion, DriftSnapshot)]


def said(page: Any) -> str:
    return " ".join(map(str, page.context["messages"]))


def test_click_of_staff_has_a_worker_make_them(at, sent):
    page = at.post("/samples/make", follow=True)

    assert sent == ["mlops.tasks.make_samples"]
    assert "Sample data are being made" in said(page)
    assert demo_rows() == [0, 0, 0]


def test_task_makes_a_log_a_version_and_a_drift_snapshot_once():
    tasks.make_samples()
    tasks.make_samples()

    assert demo_rows() == [20, 1, 1]


def test_task_removes_them_all(caplog):
    tasks.make_samples()

    tasks.remove_samples()

    assert demo_rows() == [0, 0, 0]
    assert not Ticket.objects.exists()


def test_second_click_says_that_there_are_some(at, sent):
    tasks.make_samples()

    page = at.post("/samples/make", follow=True)

    assert (sent, "Remove them first" in said(page)) == ([], True)


def test_click_removes_them(at, sent):
    page = at.post("/samples/remove", follow=True)

    assert sent == ["mlops.tasks.remove_samples"]
    assert "are being removed" in said(page)


@pytest.mark.parametrize(("address", "words"), [("make", "nothing was made"), ("remove", "nothing was removed")])
def test_broker_that_is_away_is_told_and_nothing_is_made(at, monkeypatch, address, words):
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise OperationalError("no broker")

    for task in (tasks.make_samples, tasks.remove_samples):
        monkeypatch.setattr(task, "apply_async", fail)

    page = at.post(f"/samples/{address}", follow=True)

    assert words in said(page)
    assert demo_rows() == [0, 0, 0]


@pytest.mark.parametrize("address", ["/samples/make", "/samples/remove"])
def test_only_staff_may(client, sent, address):
    assert client.post(address).status_code == 302
    user = make_user("eve")
    user.is_staff = False
    user.save()
    client.force_login(user)

    assert client.post(address).status_code == 403
    assert client.get(address).status_code == 405
    assert sent == []


@pytest.mark.parametrize("address", ["/samples/make", "/samples/remove"])
def test_on_a_database_server_nobody_may(at, sent, settings, address):
    settings.EMBEDDED_DATABASE = False

    assert at.post(address).status_code == 403
    tasks.make_samples()
    tasks.remove_samples()
    assert (sent, demo_rows()) == ([], [0, 0, 0])


def test_one_at_a_time(home):
    with (home / "samples.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tasks.make_samples()
        with pytest.raises(samples.BeingMade):
            samples.remove_whole()

    assert demo_rows() == [0, 0, 0]


def test_buttons_are_those_that_can_be_used(boss, settings):
    def buttons(user: Any) -> str:
        return render_to_string("pages/sample_buttons.html", sample_buttons(user))

    assert "Make sample data" in buttons(boss)
    tasks.make_samples()
    assert "Remove sample data" in buttons(boss)
    assert "Make sample data" not in buttons(boss)
    assert buttons(AnonymousUser()).strip() == ""
    settings.EMBEDDED_DATABASE = False
    assert buttons(boss).strip() == ""
