"""One training at a time: begins a run, keeps its lease, ends it in words, and tells a dead run from a long one."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction

from classifier.models import ApiKey, User
from mlops.holding import held, is_abandoned
from mlops.models import LEASE, MOST_ATTEMPTS, TrainingRun

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]
Status = TrainingRun.Status
NOT_IMPORTED = "Nothing of its file was imported, so it is not begun again by itself: start it again."
BEAT_SECONDS = 20.0  # so that five renewals in a row must fail before a run that is at work is taken for dead


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of a training, by whom and why. kind, trigger: see TrainingRun."""

    kind: str
    trigger: str
    recipe: str
    by: User | None = None
    key: ApiKey | None = None
    reason: str = ""

    def row(self, *, now: datetime, **fields: Any) -> TrainingRun:
        """An unsaved row of it."""
        return TrainingRun(**vars(self), created_at=now, **fields)


class RunInProgress(RuntimeError):
    """Another training runs or waits for its turn; `other` is that one, `run` the row of the one left out, if any."""

    def __init__(self, other: TrainingRun | None) -> None:
        self.other = other
        self.run: TrainingRun | None = None
        if other is None:  # it has ended since
            which = "one was at it"
        elif other.status == Status.QUEUED:
            which = f"{other} waits for the worker since {other.created_at:%H:%M} UTC"
        else:
            which = f"{other} is at it since {other.started_at:%H:%M} UTC ({other.step})"
        super().__init__(f"Only one training runs at a time; {which}. Wait for it and start again.")


class NotQueued(RuntimeError):
    """The run is not, or no longer, waiting for somebody to begin it."""

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(f"Only a queued run can be begun; {run} is {run.status}. Start another one.")


class LostRun(RuntimeError):
    """The run was given up for dead and its row taken over while it was still at work."""

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(
            f"{run} must renew its lease every {LEASE.seconds} s; it did not, and was marked as failed. "
            "Start it again, on a machine that is not asleep or overloaded."
        )


@contextlib.contextmanager
def running(wanted: Order | TrainingRun, *, clock: Clock) -> Iterator[TrainingRun]:
    """A run that runs inside the block; whatever leaves the block as an exception marks it failed, in words.

    wanted: an order, of which a row is made, or a queued row. The block itself ends the run with `end`. Raises
    RunInProgress if another one runs (an order then leaves a skipped row, a queued row stays queued), and NotQueued.
    """
    fail_the_dead(clock(), instead=wanted.kind if isinstance(wanted, Order) else None)
    run = _begin(wanted, now=clock()) if isinstance(wanted, Order) else _claim(wanted, now=clock())
    with held(_lock_path(run)), _beating(run, clock):
        try:
            yield run
        except BaseException as error:  # Ctrl-C too: the row must not say that it runs
            with contextlib.suppress(LostRun):
                end(run, Status.FAILED, outcome=in_words(error), now=clock())
            raise


def note(run: TrainingRun, step: str, *, now: datetime) -> None:
    """Notes the step (a detail of one, if it is indented) and renews the lease.

    Raises LostRun if the row was taken over meanwhile.
    """
    if not TrainingRun.objects.running().filter(pk=run.pk).exists():
        raise LostRun(run)
    run.note(step.strip(), now=now, is_detail=step.startswith(" "))


def end(run: TrainingRun, status: str, *, outcome: str, now: datetime, **fields: Any) -> None:
    """Ends a running run, once: of two who try, the second gets LostRun."""
    write(run, status=status, outcome=outcome, ended_at=now, **fields)


def write(run: TrainingRun, **fields: Any) -> None:
    """Writes fields of a running run. Raises LostRun if it was taken over meanwhile."""
    if not TrainingRun.objects.running().filter(pk=run.pk).update(**fields):
        raise LostRun(run)
    run.refresh_from_db()


def leave_out(order: Order, *, why: str, now: datetime) -> TrainingRun:
    """A row that says that an order was not carried out, and why."""
    run = order.row(now=now, status=Status.SKIPPED, outcome=why, ended_at=now)
    run.save()
    return run


def fail_the_dead(now: datetime, *, instead: str | None = None) -> list[TrainingRun]:
    """Marks runs failed whose process is gone: the lease ran out, or nobody holds their lock on this machine.

    Each is queued anew in the same transaction, twice at most, unless a new run does its work: instead is the kind of
    that one.
    """
    failed = []
    for run in TrainingRun.objects.running():
        if not _is_dead(run, now):
            continue
        with contextlib.suppress(LostRun), transaction.atomic():  # it may have ended by itself a moment ago
            end(run, Status.FAILED, outcome=f"Its process ended without a word, at the step {run.step!r}.", now=now)
            failed.append(run)
            if instead not in {run.kind, TrainingRun.Kind.RETRAIN}:  # a retraining does all that a training does
                _queue_again(run, now=now)
        _lock_path(run).unlink(missing_ok=True)
    return failed


def _queue_again(dead: TrainingRun, *, now: datetime) -> None:
    """Queues a run anew that died, unless it has died too often or another one waits already and will do as well."""
    if dead.attempt >= MOST_ATTEMPTS:
        return
    if dead.step.startswith("import "):  # its file is not known here, and none of its tickets is in the database
        TrainingRun.objects.filter(pk=dead.pk).update(outcome=f"{dead.outcome} {NOT_IMPORTED}")
        return
    retry = TrainingRun(
        status=Status.QUEUED,
        kind=dead.kind,
        trigger=dead.trigger,
        recipe=dead.recipe,
        by=dead.by,
        key=dead.key,
        reason=dead.reason,
        attempt=dead.attempt + 1,
        retry_of=dead,
        created_at=now,
    )
    try:
        with transaction.atomic():
            retry.save()
    except IntegrityError:
        return


def in_words(error: BaseException) -> str:
    """What went wrong, in a line or a few, for the row and for people."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "Stopped by hand."
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _begin(order: Order, *, now: datetime) -> TrainingRun:
    run = order.row(now=now, status=Status.RUNNING, started_at=now, lease_until=now + LEASE, step="begin")
    try:
        with transaction.atomic():
            run.save()
    except IntegrityError:  # the partial unique constraint is the lock
        refusal = RunInProgress(TrainingRun.objects.running().first())
        refusal.run = leave_out(order, why=str(refusal), now=now)
        raise refusal from None
    return run


def _claim(run: TrainingRun, *, now: datetime) -> TrainingRun:
    """Begins a queued run: of two who try, one gets it."""
    queued = TrainingRun.objects.queued().filter(pk=run.pk)
    try:
        with transaction.atomic():
            claimed = queued.update(
                status=Status.RUNNING, started_at=now, lease_until=now + LEASE, step="begin", rung_at=now
            )
    except IntegrityError:
        raise RunInProgress(TrainingRun.objects.running().first()) from None
    run.refresh_from_db()
    if not claimed:
        raise NotQueued(run)
    return run


# --- Dead or alive --------------------------------------------------------------------------------
# A run's process holds a file (mlops/holding.py), so the next training on this machine need not wait for the lease of
# one that was killed.
@contextlib.contextmanager
def _beating(run: TrainingRun, clock: Clock) -> Iterator[None]:
    """Renews the lease from a thread while the block works: one step, a large fit, may take longer than a lease."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(BEAT_SECONDS):
            try:
                TrainingRun.objects.running().filter(pk=run.pk).update(lease_until=clock() + LEASE)
            except DatabaseError:  # the next beat tries again; without one for a whole lease, the run counts as dead
                logger.warning("the lease of %s was not renewed", run, exc_info=True)
            finally:
                connection.close()  # this thread's own

    thread = threading.Thread(target=beat, name=f"lease-of-{run.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _is_dead(run: TrainingRun, now: datetime) -> bool:
    if run.lease_until is not None and run.lease_until < now:
        return True
    return is_abandoned(_lock_path(run))


def _lock_path(run: TrainingRun) -> Path:
    return Path(settings.VAR) / "runs" / f"run-{run.pk}.lock"
