"""A whole demonstration at once: a day's log, a version with its scores, a drift snapshot; and whether there is one."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from django.conf import settings

from classifier.models import ModelVersion, Prediction, Ticket
from mlops.models import DriftSnapshot
from mlops.samples.drift import make_snapshot
from mlops.samples.logs import make_log
from mlops.samples.removing import Removal, purge

N_PREDICTIONS, HOURS_BACK, SEED = 1_000, 24.0, 1


class NotThePlace(RuntimeError):
    """Made-up rows are not made beside real ones by a click."""

    def __init__(self) -> None:
        super().__init__(
            "Sample data are made by a click on the embedded database alone; DATABASE_URL is set, so this may be "
            "production. Whoever wants them here runs manage.py generate_sample_logs --yes."
        )


class BeingMade(RuntimeError):
    """Another one makes or removes sample data now."""

    def __init__(self) -> None:
        super().__init__("Sample data are being made or removed now. Wait some seconds, and look again.")


def are_there() -> bool:
    """Whether there are rows of a demonstration."""
    kinds = (ModelVersion, Ticket, Prediction, DriftSnapshot)
    return any(kind._default_manager.filter(is_demo=True).exists() for kind in kinds)


def make_whole(now: datetime) -> int:
    """Makes a demonstration, and gives the number of its predictions: 0 if there is one already, which stays alone.

    Raises NotThePlace, BeingMade and what make_log raises.
    """
    demand_the_place()
    with _alone():
        if are_there():
            return 0
        log = make_log(n_predictions=N_PREDICTIONS, hours_back=HOURS_BACK, seed=SEED, now=now)
        make_snapshot(log.version, seed=SEED, now=now)
        return log.n_predictions


def remove_whole() -> Removal:
    """Removes every row of demonstrations. Raises NotThePlace and BeingMade."""
    demand_the_place()
    with _alone():
        return purge()


def demand_the_place() -> None:
    if not settings.EMBEDDED_DATABASE:
        raise NotThePlace


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time; the embedded database has one machine, and the kernel gives a dead process's lock back."""
    with (Path(settings.VAR) / "samples.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BeingMade from None
        yield
