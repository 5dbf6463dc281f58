"""From an empty var folder to a version in production: every step of `manage.py quickstart` before it serves.

Each step looks whether it was done before, so a run that was killed in the middle is continued by the next one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from classifier.labelling import import_tickets
from classifier.models import ApiKey, ModelVersion, Scope, Ticket, User
from classifier.reading import FileRow, read
from mlops import reconciling, retraining, shipped, tracking, training
from mlops.models import TrainingRun

T = TypeVar("T")
ADMIN = "admin"
KEY_NAME = "quickstart"
COLUMN = 58  # where the seconds stand
ALREADY = "already there"


class NotReady(RuntimeError):
    """A step could not be done; the message says which, why, and the mend."""


@dataclass(frozen=True)
class Ready:
    """What the steps leave behind. The key is there only on the run that made it: nothing keeps it."""

    version: int
    api_key: str | None


class Lines:
    """Writes a line a step: its text at once, a dot for each sign of progress, its seconds at the end."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self.began: float | None = None
        self.width = 0

    def begin(self, text: str) -> None:
        """Begins a step, and ends the one before."""
        self.end()
        self.began, self.width = time.perf_counter(), len(text) + 3
        self.write(f"  {text} ")

    def tick(self) -> None:
        if self.width < COLUMN:
            self.width += 1
            self.write(".")

    def ticking(self, iterable: Iterable[T], total: int | None = None, text: str = "") -> Iterator[T]:
        """The same items, with a dot for each tenth of them: what import_tickets takes as its progress."""
        tenth = max(1, (total or 0) // 10)
        for number, item in enumerate(iterable, start=1):
            yield item
            if number % tenth == 0:
                self.tick()

    def end(self, words: str = "") -> None:
        """Ends the step that was begun, if one was, with its seconds or with words."""
        if self.began is not None:
            seconds = f"{time.perf_counter() - self.began:5.1f} s"
            self.write(f"{'.' * max(0, COLUMN - self.width)} {words or seconds}\n")
            self.began = None

    def tell(self, text: str) -> None:
        """Ends the step, and writes a line below it."""
        self.end()
        self.write(f"      {text}\n")

    def follow(self, step: str) -> None:
        """Takes the progress of a training: its steps are lines, what is indented below one is a dot."""
        if step.startswith(" "):
            self.tick()
        else:
            self.begin(step)


def prepare(lines: Lines) -> Ready:
    """Does every step that was not done before. Raises NotReady, UnreadableFile, and what a training raises."""
    lines.begin("database")
    call_command("migrate", interactive=False, verbosity=0)
    lines.begin("categories")
    made = shipped.make_categories()
    lines.end("" if made else ALREADY)
    bring_in_shipped(lines)
    version = version_in_production(lines)
    lines.begin(f"admin user {ADMIN!r}")
    password = make_admin()
    if password is None:
        lines.end(f"{ALREADY} (new password: manage.py changepassword {ADMIN})")
    else:  # at once: who kills this now must not lose it
        lines.tell(f"password, shown only this once: {password}")
    lines.begin(f"API key {KEY_NAME!r}")
    key = make_key()
    if key is None:
        lines.end(f"{ALREADY} (another one: manage.py create_api_key NAME --scope predict)")
    else:
        lines.tell(f"key, shown only this once: {key}")
    return Ready(version=version.number, api_key=key)


def bring_in_shipped(lines: Lines) -> None:
    """Imports the shipped tickets, unless one of them is here: they come all at once or not at all.

    Only looked at, not compared: who has corrected or deleted some of them does not get them back at the next start.
    """
    lines.begin("import the shipped tickets")
    rows = list(read(settings.SHIPPED_TICKETS))
    if _any_is_here(rows):
        lines.end(ALREADY)
        return
    report = import_tickets(rows, seed=settings.SEED, progress=lines.ticking)
    if report.n_refused:
        raise NotReady(
            f"The shipped tickets cannot be imported. {report.refusals[0]} Restore {settings.SHIPPED_TICKETS}."
        )
    lines.end()


def _any_is_here(rows: list[FileRow]) -> bool:
    digests = [Ticket.digest(row.text) for row in rows if row.text]
    imported = Ticket.objects.filter(source=Ticket.Source.IMPORT)
    return any(
        imported.filter(text_digest__in=digests[start : start + 500]).exists() for start in range(0, len(digests), 500)
    )


def version_in_production(lines: Lines) -> ModelVersion:
    """The version that answers: the one that does, else the newest candidate, else one that is trained now."""
    there = ModelVersion.objects.in_production().first()
    if there is not None:
        lines.begin(f"{there} in production")
        lines.end(ALREADY)
        return there
    # A candidate without a version in production: the last quickstart ended between training and promoting.
    candidate = ModelVersion.objects.candidates().filter(run__isnull=False).select_related("run").first()
    run = candidate.run if candidate else _train(lines)
    if run.version is None:
        raise NotReady(f"The labelled tickets cannot be trained on. {run.outcome}")
    lines.begin(f"judge and promote {run.version}")
    outcome = retraining.settle_first(run)
    if outcome is not None and outcome.promotion is None:
        raise NotReady(
            f"{str(run.version).capitalize()} is trained, and the gate keeps it out of production. {outcome.words} "
            f"Lower GATE_MIN_MACRO_F1, or run: manage.py promote {run.version.number} --force --reason 'Only a trial.'"
        )
    try:
        reconciling.follow()
    except (tracking.NotRecorded, reconciling.Busy) as error:  # it answers all the same, and beat sees to the alias
        lines.tell(f"warning: MLflow's alias does not follow yet. {error}")
    lines.end()
    return run.version


def _train(lines: Lines) -> TrainingRun:
    run = training.train(trigger=TrainingRun.Trigger.COMMAND, progress=lines.follow)
    for finding in run.validation["findings"]:
        if finding["level"] == "warning":
            lines.tell(f"warning: {finding['message']}")
    if run.version is not None and not run.mlflow_run_id:
        lines.tell(f"warning: {run.outcome}")
    return run


def make_admin() -> str | None:
    """Makes a superuser with a random password and gives that; None if there is a superuser (or an `admin`) already."""
    if User.objects.filter(is_superuser=True).exists() or User.objects.filter(username=ADMIN).exists():
        return None
    password = secrets.token_urlsafe(15)
    User.objects.create_superuser(ADMIN, password=password, date_joined=timezone.now())
    return password


def make_key() -> str | None:
    """Makes the key for the first calls and gives it; None if there is one already."""
    if ApiKey.objects.filter(name=KEY_NAME).exists():
        return None
    return str(ApiKey.objects.create_key(name=KEY_NAME, scopes=[Scope.PREDICT.value])[1])
