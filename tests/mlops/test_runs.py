"""One training at a time, and how a run that is dead is told from one that is long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from mlops import runs
from mlops.models import LEASE, TrainingRun
from mlops.runs import Order
from tests.mlops.making import NOW, noon

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
Status = TrainingRun.Status
HOLD = """
import fcntl, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


def begin(clock=noon, recipe="word_char"):
    return runs.running(Order(kind="train", trigger="command", recipe=recipe), clock=clock)


def finish(run):
    runs.end(run, Status.REJECTED, outcome="Done.", now=NOW)


def test_a_run_is_running_inside_the_block_and_ended_by_it():
    with begin() as run:
        inside = TrainingRun.objects.get()
        assert (inside.status, inside.started_at, inside.lease_until) == (Status.RUNNING, NOW, NOW + LEASE)
        finish(run)

    assert (run.status, run.ended_at, run.outcome) == (Status.REJECTED, NOW, "Done.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no such thing"), "ValueError: no such thing"),
        (KeyError(), "KeyError"),
        (KeyboardInterrupt(), "Stopped by hand."),
    ],
)
def test_an_exception_marks_the_run_failed_in_words_and_goes_on(error, words):
    with pytest.raises(type(error)), begin():
        raise error

    run = TrainingRun.objects.get()
    assert (run.status, run.outcome, run.ended_at) == (Status.FAILED, words, NOW)


def test_a_second_run_is_refused_by_name_and_leaves_a_skipped_row():
    with begin() as first:
        runs.note(first, "fit", now=NOW)
        with pytest.raises(runs.RunInProgress, match=rf"run {first.pk} is at it since 09:30 UTC \(fit\)") as caught:
            begin().__enter__()
        finish(first)

    skipped = TrainingRun.objects.get(status=Status.SKIPPED)
    assert caught.value.run == skipped
    assert skipped.outcome == str(caught.value)


def test_the_database_allows_one_running_run():
    with begin() as run:
        with pytest.raises(IntegrityError, match=r"(?i)unique"), transaction.atomic():
            TrainingRun.objects.create(
                status=Status.RUNNING, trigger="api", recipe="x", started_at=NOW, lease_until=NOW
            )
        finish(run)


def test_note_writes_the_step_and_renews_the_lease():
    later = NOW + timedelta(seconds=90)
    with begin() as run:
        runs.note(run, "fit", now=later)
        found = TrainingRun.objects.get()
        finish(run)

    assert (found.step, found.lease_until, found.log) == ("fit", later + LEASE, "09:31:30 fit\n")


def test_a_run_whose_lease_ran_out_is_taken_over_and_learns_of_it():
    late = NOW + LEASE + timedelta(seconds=1)
    with begin() as slow:
        with begin(clock=lambda: late) as other:
            finish(other)
        with pytest.raises(runs.LostRun, match="renew its lease"):
            runs.note(slow, "fit", now=late)

    slow.refresh_from_db()
    assert slow.status == Status.FAILED
    assert "ended without a word, at the step 'begin'" in slow.outcome


def test_a_run_within_its_lease_and_at_work_is_left_alone():
    with begin() as run:
        assert runs.fail_the_dead(NOW + LEASE, instead="retrain") == []
        finish(run)


def test_a_run_on_another_machine_is_left_to_its_lease(home):
    run = TrainingRun.objects.create(
        status=Status.RUNNING, trigger="api", recipe="x", started_at=NOW, lease_until=NOW + LEASE
    )

    assert runs.fail_the_dead(NOW, instead="retrain") == []
    assert runs.fail_the_dead(NOW + LEASE + timedelta(seconds=1), instead="retrain") == [run]


def test_a_run_whose_process_was_killed_is_taken_over_at_once(home):
    run = TrainingRun.objects.create(
        status=Status.RUNNING, trigger="api", recipe="x", started_at=NOW, lease_until=NOW + LEASE, step="fit"
    )
    path = runs._lock_path(run)
    path.parent.mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"held\n"
        while_alive = runs.fail_the_dead(NOW, instead="retrain")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

        after = runs.fail_the_dead(NOW, instead="retrain")

    run.refresh_from_db()
    assert (while_alive, after) == ([], [run])
    assert run.outcome == "Its process ended without a word, at the step 'fit'."
    assert not path.exists()


def test_ending_a_run_twice_loses_the_second():
    with begin() as run:
        finish(run)
        with pytest.raises(runs.LostRun):
            finish(run)


def test_the_lock_file_is_gone_after_the_run(home):
    with begin() as run:
        held = [path.name for path in (home / "runs").iterdir()]
        finish(run)

    assert held == [f"run-{run.pk}.lock"]
    assert list((home / "runs").iterdir()) == []
