"""Whether everything that the program lives on is well: each dependency `ok`, or what is wanted, what is, and the mend.

What may hang (a database, a broker, MLflow) is asked side by side and given two seconds in all. How MLflow is reached
without importing it: mlops/surroundings.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import Error as DatabaseError

from classifier import inference
from classifier.ml.artifact import DamagedModel
from classifier.models import ModelVersion
from mlops import surroundings
from mlops.asking import ask
from mlops.broker import Broker, left_running
from mlops.models import Slot, TrainingRun

OK = "ok"
SECONDS = 2.0  # an answer within this, whatever hangs; what is well answers in 10 ms
HEARTBEAT = "Heartbeat"  # the schedule's name
HEARTBEAT_LATE = timedelta(minutes=3)  # beat sends one each half a minute, so six were missed
BEAT_LATE = timedelta(minutes=2)  # beat sends something each half a minute, so four were missed
# Nightly retraining is skipped while nothing has changed, so weeks without a training may be right.
TRAINING_OLD = timedelta(days=30)
LEAST_FREE_BYTES = 1024**3  # a training writes some 30 MB, with MLflow's copy: room to notice it and act
DATABASE_LATE = "The database must answer; it has not within 2 seconds. Look whether its server hangs."
DATABASE_AWAY = (
    "The database must answer and have its tables; it does not. Start it or correct DATABASE_URL, then run "
    "manage.py migrate."
)
LOADING = "The version in production must be loaded; it is not yet, after 2 seconds. Ask again in a few."
UNKNOWN = "It must be looked up in the database, which does not answer. Mend that first."
# The questions, in the order of the answer; those of the database one after another, in one thread.
MODEL = "model in production"  # the name of its question
OF_DATABASE = ("database", "worker", "beat", "training_age")
NAMES = ("database", "broker", "worker", "beat", "mlflow", "model", "training_age", "disk")

Checks = dict[str, str]


@dataclass(frozen=True)
class Health:
    """What was found: `healthy`, `degraded`, `no_model` or `database_down`, and each check's `ok` or sentence."""

    status: str
    checks: Mapping[str, str]
    version: int | None  # the one in production

    def as_dict(self) -> dict[str, object]:
        return {"status": self.status, "checks": dict(self.checks), "version": self.version}


@dataclass(frozen=True)
class Model:
    """What stands in production, and whether this process can answer with it."""

    words: str
    code: str = ""  # of the problem that callers are told; "": tickets are answered
    version: int | None = None


def check(now: datetime) -> Health:
    """Asks everything. It takes SECONDS at most, and raises nothing over what is away or hangs."""
    questions: dict[str, Callable[[], tuple[Checks, Model]]] = {
        "health of the database": lambda: (_of_database(now), NO_MODEL),
        MODEL: _of_model,  # apart: loading a large one may take longer than the database
        "broker": lambda: ({"broker": broker()}, NO_MODEL),
        "mlflow": lambda: ({"mlflow": mlflow()}, NO_MODEL),
    }
    answers = ask(questions, seconds=SECONDS)
    found: Checks = {"disk": disk()}
    for checks, _model in answers.values():
        found |= checks
    is_there = found.get("database") == OK
    late = dict.fromkeys(OF_DATABASE, UNKNOWN) | {
        "database": DATABASE_LATE,
        "model": LOADING if is_there else UNKNOWN,
        "broker": "The broker must answer; it has not within 2 seconds. Look whether its server hangs.",
        "mlflow": f"MLflow at {surroundings.address()} must answer; it has not within 2 seconds. It may hang.",
    }
    checks = {name: found.get(name, late.get(name, UNKNOWN)) for name in NAMES}
    model = answers[MODEL][1] if MODEL in answers else NO_MODEL
    return Health(_status(checks, model), checks, model.version)


def _status(checks: Checks, model: Model) -> str:
    if checks["database"] != OK:
        return "database_down"
    if model.code:
        return "no_model"
    return "healthy" if all(words == OK for words in checks.values()) else "degraded"


def database() -> str:
    """`ok`, or why the database does not serve; within SECONDS."""
    return ask({"database": _database}, seconds=SECONDS).get("database", DATABASE_LATE)


def readiness() -> Model:
    """Whether tickets can be answered now; within SECONDS, and a database that is away is a code as well."""
    questions: dict[str, Callable[[], object]] = {"database": _database, MODEL: _of_model}
    answers = ask(questions, seconds=SECONDS)
    words = str(answers.get("database", DATABASE_LATE))
    if words != OK:
        return Model(words, code="database_unavailable")
    if MODEL not in answers:
        return Model(LOADING, code="model_loading")
    found = answers[MODEL]
    assert isinstance(found, tuple)  # noqa: S101 (what _of_model gives; this tells mypy)
    return NO_DATABASE if found[1] is NO_MODEL else found[1]


def _of_model() -> tuple[Checks, Model]:
    try:
        found = model()
    except DatabaseError:
        return {"model": UNKNOWN}, NO_MODEL
    return {"model": found.words}, found


def _of_database(now: datetime) -> Checks:
    words = _database()
    if words != OK:
        return dict.fromkeys(OF_DATABASE, UNKNOWN) | {"database": words}
    try:
        return {"database": OK, "beat": beat(now), "worker": worker(now), "training_age": training_age(now)}
    except DatabaseError:  # it went away in the middle
        return dict.fromkeys(OF_DATABASE, UNKNOWN) | {"database": DATABASE_AWAY}


# --- One each -------------------------------------------------------------------------------------
def _database() -> str:
    try:
        ModelVersion.objects.in_production().values_list("number").first()
    except DatabaseError:
        return DATABASE_AWAY
    return OK


def broker() -> str:
    embedded = None if settings.REDIS_URL else left_running(settings.VAR / "valkey")
    found = embedded or Broker(url=settings.CELERY_BROKER_URL)
    if found.answers():
        return OK
    if settings.REDIS_URL is None:
        return "A broker must answer; there is none. Start all with manage.py up, or name one in REDIS_URL."
    return (
        f"The broker at {found.shown} must answer; it does not. Answers go on, and nothing runs in the background. "
        "Start it again, or correct REDIS_URL."
    )


def beat(now: datetime) -> str:
    last = Slot.objects.order_by("-id").values_list("sent_at", flat=True).first()
    if last is None:
        return "Beat must send schedules; it never has. Start it with manage.py up."
    if now - last > BEAT_LATE:
        return (
            f"Beat must send schedules; the last was {_ago(now, last)}. Look into its log, or start manage.py up again."
        )
    return OK


def worker(now: datetime) -> str:
    beats = Slot.objects.filter(name=HEARTBEAT, status=Slot.Status.DONE).order_by("-due_at")
    last = beats.values_list("ended_at", flat=True).first()
    if last is not None and now - last <= HEARTBEAT_LATE:
        return OK
    fact = "it never has" if last is None else f"the last was {_ago(now, last)}"
    mend = "Mend beat first, which sends it." if beat(now) != OK else "Look into its log, or start manage.py up again."
    return f"A worker must finish a heartbeat each half a minute; {fact}. {mend}"


def model() -> Model:
    """Looks which version is in production, and loads it if it is new."""
    number = ModelVersion.objects.in_production().values_list("number", flat=True).first()
    try:
        serving = inference.serving()
    except inference.NoModelInProduction as error:
        return Model(str(error), code="no_model_in_production")
    except inference.NoActiveCategory as error:
        return Model(str(error), code="no_active_category", version=number)
    except DamagedModel as error:
        return Model(f"Version {number} must answer; it cannot. {error}", code="model_damaged", version=number)
    if serving.stands_in:
        words = (
            f"Version {number} must answer; it cannot, and version {serving.number} does instead. {serving.stands_in}"
        )
        return Model(words, version=number)
    return Model(OK, version=number)


NO_MODEL = Model(UNKNOWN)
NO_DATABASE = Model(DATABASE_AWAY, code="database_unavailable")  # it went away in the middle


def training_age(now: datetime) -> str:
    ends = TrainingRun.objects.filter(status=TrainingRun.Status.SUCCEEDED).order_by("-id")
    last = ends.values_list("ended_at", flat=True).first()
    if last is None:
        return "A training must have succeeded; none has. Train with manage.py train."
    if now - last > TRAINING_OLD:
        return (
            f"A training must have succeeded within {TRAINING_OLD.days} days; the last was {_ago(now, last)}. "
            "See that labels come back, then run manage.py retrain."
        )
    return OK


def mlflow() -> str:
    try:
        surroundings.knock(seconds=SECONDS)
    except surroundings.NotThere as error:
        return (
            f"MLflow at {surroundings.address()} must answer; it does not: {error} Answers and trainings go on, and "
            "are recorded there later. Start it, or correct MLFLOW_TRACKING_URI."
        )
    return OK


def disk() -> str:
    try:
        free = shutil.disk_usage(settings.VAR).free
    except OSError as error:
        return f"The var folder must be there; it is not ({error.strerror}). Correct TICKETCLF_VAR."
    if free < LEAST_FREE_BYTES:
        return (
            f"The disk of the var folder must have {LEAST_FREE_BYTES // 1024**2} MB free; it has {free // 1024**2}. "
            "Remove old models, reports and exports from it, or give it more room."
        )
    return OK


def _ago(now: datetime, moment: datetime) -> str:
    """How long ago, in the largest unit that has passed twice.

    >>> _ago(datetime(2026, 11, 25, 10, 0), datetime(2026, 11, 25, 9, 52))
    '8 minutes ago'
    """
    seconds = int((now - moment).total_seconds())
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} seconds ago"
