"""MLflow in one file: runs recorded, versions registered, the `production` alias. Nothing else imports mlflow.

MLflow remembers and our tables decide, so whatever goes wrong here is one exception, NotRecorded, over which no
caller may fail. mlflow is imported inside functions: it takes 1.6 s and 100 MB, which no other command should pay.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from django.conf import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

logger = logging.getLogger(__name__)
ALIAS = "production"
METRICS_A_CALL = 500  # MLflow takes at most 1,000 at once; 77 categories make 632
PARAMETER_CHARACTERS = 6000  # what MLflow keeps of a parameter's value
# What of ours the recorded pipeline calls, as files that go with it and as the names that skops is to trust.
CODE = (
    "classifier/__init__.py",
    "classifier/ml/__init__.py",
    "classifier/ml/text.py",
    "mlops/__init__.py",
    "mlops/flavour.py",
)
TRUSTED = ("numpy.ravel", "classifier.ml.text.normalise", "mlops.flavour.Terms")
# Ours unless the environment says otherwise. MLflow's own are 120 s and 7 tries: an hour of waiting for a dead server.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PGCONNECT_TIMEOUT": "5",
}
DATABASE_TRIES = 2  # MLflow's own ten, with pauses that double, wait 100 s for a Postgres that is down


class NotRecorded(RuntimeError):
    """MLflow was not reached or refused; the message says which address and why, without a password."""


@dataclass(frozen=True)
class Facts:
    """What MLflow is told of one training."""

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    reports: Path  # a folder; every file in it becomes an artifact of the run
    pipeline: Pipeline
    temperature: float


@dataclass(frozen=True)
class Recorded:
    """Where MLflow keeps it: the run, and the number of the registered version."""

    run_id: str
    version: int


def prepare() -> None:
    """Makes MLflow's tables and the experiment, if they are not there. Raises NotRecorded.

    Done once before several processes start: of four that open a new SQLite file at once, three crash.
    """
    with _session("prepare its tables") as client:
        _experiment_id(client)


def record(facts: Facts) -> Recorded:
    """Records a finished training, with its reports and its model, and registers the model. Raises NotRecorded."""
    with _session("record the training") as client:
        from mlflow.entities import Metric, Param

        run_id = client.create_run(
            _experiment_id(client), run_name=facts.name, tags={"mlflow.source.name": "ticketclf", **facts.tags}
        ).info.run_id
        now_ms = int(time.time() * 1000)  # MLflow's own time stamp of a metric; no rule of ours reads it
        metrics = [Metric(name, value, now_ms, 0) for name, value in facts.metrics.items()]
        parameters = [Param(name, _parameter(value)) for name, value in facts.parameters.items()]
        try:
            for start in range(0, len(metrics), METRICS_A_CALL):
                client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_CALL])
            client.log_batch(run_id, params=parameters)
            client.log_artifacts(run_id, str(facts.reports))
            version = _register(facts, run_id=run_id)
        except Exception:
            with contextlib.suppress(Exception):  # a server that is gone cannot be told either
                client.set_terminated(run_id, "FAILED")
            raise
    return Recorded(run_id=run_id, version=version)


def production_alias() -> int | None:
    """The registered version that carries the alias `production`, or None. Raises NotRecorded."""
    with _session("look up the alias") as client:
        names = client.search_registered_models(filter_string=f"name = '{_quoted(settings.MODEL_NAME)}'")
        version = names[0].aliases.get(ALIAS) if names else None
    return None if version is None else int(version)


def set_production_alias(version: int) -> None:
    """Gives the alias `production` to a registered version. Raises NotRecorded."""
    with _session("move the alias") as client:
        client.set_registered_model_alias(settings.MODEL_NAME, ALIAS, str(version))


def _register(facts: Facts, *, run_id: str) -> int:
    """Logs the model to the run and registers it; gives the number of the registered version."""
    import mlflow
    import pandas
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from mlops.flavour import flavour

    text_in_label_out = ModelSignature(Schema([ColSpec("string")]), Schema([ColSpec("string")]))
    # `with` and the run's id: MLflow's fluent interface would otherwise leave an active run behind.
    with _code() as code, mlflow.start_run(run_id=run_id):
        info = mlflow.sklearn.log_model(
            flavour(facts.pipeline, temperature=facts.temperature),
            name="model",
            registered_model_name=settings.MODEL_NAME,
            await_registration_for=5,
            signature=text_in_label_out,
            input_example=pandas.DataFrame({"text": ["I was double charged"]}),
            pip_requirements=_requirements(),  # given: finding them out takes MLflow 3 s
            serialization_format="skops",  # no pickle
            skops_trusted_types=list(TRUSTED),
            code_paths=[str(package) for package in code],
        )
    return int(info.registered_model_version)


def _requirements() -> list[str]:
    return [f"{name}=={installed(name)}" for name in ("mlflow", "scikit-learn", "numpy", "scipy", "skops")]


@contextlib.contextmanager
def _code() -> Iterator[list[Path]]:
    """Our packages with nothing in them but what the pipeline calls, to go with the model."""
    with tempfile.TemporaryDirectory(prefix="ticketclf-") as name:
        folder = Path(name)
        for path in CODE:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(settings.BASE_DIR / path, folder / path)
        yield sorted(folder.iterdir())


def _experiment_id(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(settings.MLFLOW_EXPERIMENT_NAME)
    if found is not None:
        return str(found.experiment_id)
    # Without a location of ours, MLflow on a database writes below the folder that the command was started in.
    location = None if _is_server() else Path(settings.MLFLOW_ARTIFACTS).as_uri()
    return str(client.create_experiment(settings.MLFLOW_EXPERIMENT_NAME, artifact_location=location))


def _parameter(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= PARAMETER_CHARACTERS else text[: PARAMETER_CHARACTERS - 1] + "…"


def _quoted(name: str) -> str:
    return name.replace("'", "''")


def _is_server() -> bool:
    return urlsplit(settings.MLFLOW_TRACKING_URI).scheme in {"http", "https"}


# --- Speaking with MLflow -------------------------------------------------------------------------
@contextlib.contextmanager
def _session(doing: str) -> Iterator[MlflowClient]:
    """A client of the configured MLflow, with its noise kept away; anything that fails becomes NotRecorded."""
    try:
        with _quiet(), _undisturbed():
            import mlflow
            from mlflow.store.db import utils

            utils.MAX_RETRY_COUNT = DATABASE_TRIES
            with _alone():  # the client's first use makes the tables
                client = mlflow.MlflowClient(tracking_uri=settings.MLFLOW_TRACKING_URI)
            mlflow.set_tracking_uri(settings.MLFLOW_TRACKING_URI)  # log_model knows no other way to be told
            yield client
    except Exception as error:
        last = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-3, chain=False))
        logger.warning("MLflow did not %s:\n%s", doing, _without_password(last))
        raise NotRecorded(
            f"MLflow at {_address()} did not {doing}: {_without_password(_reason(error))} "
            "Check MLFLOW_TRACKING_URI and that the server answers."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps away what MLflow prints (standard output belongs to a command's result) and its libraries' warnings."""
    nowhere, retries = io.StringIO(), logging.getLogger("urllib3.connectionpool")
    level = retries.level
    retries.setLevel(logging.ERROR)  # that it tries again is no news: that it gave up is
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            retries.setLevel(level)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Sets MLflow's environment, and takes back afterwards what changed in it and in the import path.

    MLflow writes its address into the environment; left there, it would reach every process that is started from
    here, whatever that one's own settings say.
    """
    before, path = dict(os.environ), list(sys.path)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Holds a lock beside MLflow's SQLite file, so that only one process makes it; elsewhere nothing is held."""
    if not settings.MLFLOW_TRACKING_URI.startswith("sqlite:"):
        yield
        return
    file = Path(settings.MLFLOW_TRACKING_URI.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (file.parent / f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed
        yield


def _address() -> str:
    scheme, _, rest = settings.MLFLOW_TRACKING_URI.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _reason(error: Exception) -> str:
    """What went wrong, in a line: the system's words where it was the network or the disk, else the error's first."""
    cause: BaseException | None = error
    words = (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
    words = words.partition("(Caused by ")[2].removesuffix(")") or words  # before it stands the whole address
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            words = cause.strerror
        cause = cause.__cause__ or cause.__context__
    return (words if len(words) <= 200 else words[:199] + "…").rstrip(".") + "."


def _without_password(text: str) -> str:
    password = urlsplit(settings.MLFLOW_TRACKING_URI).password
    for form in (password, unquote(password or "")):
        text = text.replace(form, "…") if form else text
    return text
