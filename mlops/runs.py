"""One training at a time: begins a run, keeps its lease, ends it in words, and tells a dead run from a long one."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from classifier.models import User
from mlops.models import LEASE, TrainingRun

Clock = Callable[[], datetime]
Status = TrainingRun.Status


class RunInProgress(RuntimeError):
    """Another training runs; `run` is the row that was to begin and was left out instead."""

    def __init__(self, *, running: TrainingRun | None, run: TrainingRun) -> None:
        self.run = run
        which = (
            f"{running} is at it since {running.started_at:%H:%M} UTC ({running.step})" if running else "one is at it"
        )
        super().__init__(f"Only one training runs at a time; {which}. Wait for it and start again.")


class LostRun(RuntimeError):
    """The run was given up for dead and its row taken over while it was still at work."""

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(
            f"{run} must renew its lease every {LEASE.seconds} s; it did not, and was marked as failed. "
            "Start it again, on a machine that is not asleep or overloaded."
        )


@contextlib.contextmanager
def running(*, trigger: str, recipe: str, by: User | None, clock: Clock) -> Iterator[TrainingRun]:
    """A new run that runs inside the block; whatever leaves the block as an exception marks it failed, in words.

    The block itself ends the run with `end`. Raises RunInProgress, and leaves a skipped row, if another one runs.
    """
    fail_the_dead(clock())
    run = _begin(trigger=trigger, recipe=recipe, by=by, now=clock())
    with _held(run):
        try:
            yield run
        except BaseException as error:  # Ctrl-C too: the row must not say that it runs
            with contextlib.suppress(LostRun):
                end(run, Status.FAILED, outcome=in_words(error), now=clock())
            raise


def note(run: TrainingRun, step: str, *, now: datetime) -> None:
    """Notes the step and renews the lease. Raises LostRun if the row was taken over meanwhile."""
    if not TrainingRun.objects.running().filter(pk=run.pk).exists():
        raise LostRun(run)
    run.note(step, now=now)


def end(run: TrainingRun, status: str, *, outcome: str, now: datetime, **fields: Any) -> None:
    """Ends a running run, once: of two who try, the second gets LostRun."""
    ended = TrainingRun.objects.running().filter(pk=run.pk)
    if not ended.update(status=status, outcome=outcome, ended_at=now, **fields):
        raise LostRun(run)
    run.refresh_from_db()


def fail_the_dead(now: datetime) -> list[TrainingRun]:
    """Marks runs failed whose process is gone: the lease ran out, or nobody holds their lock on this machine."""
    dead = [run for run in TrainingRun.objects.running() if _is_dead(run, now)]
    for run in dead:
        with contextlib.suppress(LostRun):  # it ended by itself a moment ago
            end(run, Status.FAILED, outcome=f"Its process ended without a word, at the step {run.step!r}.", now=now)
        _lock_path(run).unlink(missing_ok=True)
    return dead


def in_words(error: BaseException) -> str:
    """What went wrong, in a line or a few, for the row and for people."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "Stopped by hand."
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _begin(*, trigger: str, recipe: str, by: User | None, now: datetime) -> TrainingRun:
    row = {"trigger": trigger, "recipe": recipe, "by": by, "created_at": now, "started_at": now}
    try:
        with transaction.atomic():
            return TrainingRun.objects.create(**row, status=Status.RUNNING, lease_until=now + LEASE, step="begin")
    except IntegrityError:  # the partial unique constraint is the lock
        other = TrainingRun.objects.running().first()
        skipped = TrainingRun(**row, status=Status.SKIPPED, ended_at=now)
        refusal = RunInProgress(running=other, run=skipped)
        skipped.outcome = str(refusal)
        skipped.save()
        raise refusal from None


# --- Dead or alive --------------------------------------------------------------------------------
# The kernel gives a file lock back the moment its process dies, kill -9 included. So the next training on this machine
# need not wait for the lease of one that was killed; on another machine there is no such file, and the lease decides.
@contextlib.contextmanager
def _held(run: TrainingRun) -> Iterator[None]:
    path = _lock_path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    with fresh.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fresh.replace(path)  # under its name only once it is held: unheld means dead
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_dead(run: TrainingRun, now: datetime) -> bool:
    if run.lease_until is not None and run.lease_until < now:
        return True
    try:
        lock = os.open(_lock_path(run), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _lock_path(run: TrainingRun) -> Path:
    return Path(settings.VAR) / "runs" / f"run-{run.pk}.lock"
