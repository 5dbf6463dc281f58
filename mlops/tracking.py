"""MLflow in one file: runs recorded, versions registered, the `production` alias. Nothing else imports mlflow.

MLflow remembers and our tables decide, so whatever goes wrong here is one exception, NotRecorded, over which no
caller may fail. mlflow is imported inside functions: it takes 1.6 s and 100 MB, which no other command should pay.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings

from mlops import packing
from mlops.surroundings import (
    address,
    address_in_full,
    alone,
    identity,
    quiet,
    reason,
    undisturbed,
    unreachable,
    without_password,
    without_places,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from classifier.ml.model import TextModel

logger = logging.getLogger(__name__)
ALIAS = "production"
METRICS_A_CALL = 500  # MLflow takes at most 1,000 at once; 77 categories make 632
PARAMETER_CHARACTERS = 6000  # what MLflow keeps of a parameter's value
SLOW_SECONDS = 15.0  # so long may all but the model take to be recorded, which takes 1 s; the model takes twice as long
DATABASE_TRIES = 2  # MLflow's own ten, with pauses that double, wait 100 s for a Postgres that is down
_opened: tuple[str, int, int] | None = None  # what this process has open (surroundings.identity), unless it failed


class NotRecorded(RuntimeError):
    """MLflow was not reached or refused; the message says which host and why, and no password and no path."""


class TooSlow(RuntimeError):
    """MLflow answers, and too slowly to wait for the rest; callers see NotRecorded."""


@dataclass(frozen=True)
class Facts:
    """What MLflow is told of one training."""

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    reports: Path  # a folder; every file in it becomes an artifact of the run
    model: TextModel  # what serves; its scikit-learn pipeline is made again from it


@dataclass(frozen=True)
class Recorded:
    """Where MLflow keeps it: the run, and the number of the registered version."""

    run_id: str
    version: int


@dataclass(frozen=True)
class Registry:
    """What MLflow has registered of ours: the run of each registered version, and which of them has the alias."""

    runs: Mapping[int, str]
    alias: int | None

    def holds(self, *, run_id: str, version: int | None) -> bool:
        return version is not None and self.runs.get(version) == run_id


def record(facts: Facts) -> Recorded:
    """Records a finished training, with its reports and its model, and registers the model. Raises NotRecorded.

    Registered last: what has a registered version is recorded whole. The model comes before the metrics, because MLflow
    would copy them to it one by one, and on a server each is a request.
    """
    began = time.monotonic()
    with _session("record the training") as client:
        import mlflow
        from mlflow.entities import Metric, Param

        tags = {"mlflow.source.name": "ticketclf", **facts.tags}
        run = client.create_run(_experiment_id(client), run_name=facts.name, tags=tags).info
        run_id = run.run_id
        now_ms = int(time.time() * 1000)  # MLflow's own time stamp of a metric; no rule of ours reads it
        try:
            parameters = {name: _parameter(value) for name, value in facts.parameters.items()}
            client.log_batch(run_id, params=list(starmap(Param, parameters.items())))
            client.log_artifacts(run_id, str(facts.reports))
            _refuse_slow(time.monotonic() - began)
            # Made by us: MLflow would put it into the default experiment, whose files lie below the current folder.
            model = client.create_logged_model(run.experiment_id, "model", source_run_id=run_id, params=parameters)
            uri = _log_model(facts.model, run_id=run_id, model_id=model.model_id)
            metrics = [Metric(*pair, now_ms, 0, model_id=model.model_id) for pair in facts.metrics.items()]
            for start in range(0, len(metrics), METRICS_A_CALL):
                client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_CALL])
            client.set_terminated(run_id, "FINISHED")
            version = mlflow.register_model(uri, settings.MODEL_NAME, await_registration_for=5).version
        except Exception as error:
            if not unreachable(error):  # else it would only be waited for once more
                with contextlib.suppress(Exception):
                    client.set_terminated(run_id, "FAILED")
            raise
    return Recorded(run_id=run_id, version=int(version))


def recorded_before(tags: Mapping[str, str]) -> Recorded | None:
    """The newest finished recording that carries the tags and has its registered version, or None.

    Whoever was killed between recording and writing the number down is thereby not recorded twice; runs that broke off
    are marked failed. Raises NotRecorded.
    """
    with _session("look for the recording") as client:
        conditions = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
        runs = client.search_runs([_experiment_id(client)], conditions, max_results=10)
        for run in runs:
            if run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, "FAILED")
        registered = {run_id: number for number, run_id in _registered(client).items()}
    ids = [run.info.run_id for run in runs if run.info.status == "FINISHED"]
    return next((Recorded(run_id, registered[run_id]) for run_id in ids if run_id in registered), None)


def registry() -> Registry:
    """What is registered under our model's name, and where the alias stands. Raises NotRecorded."""
    with _session("say what is registered") as client:
        names = client.search_registered_models(filter_string=_our_name())
        alias = names[0].aliases.get(ALIAS) if names else None
        return Registry(runs=_registered(client), alias=None if alias is None else int(alias))


def gone(run_ids: Iterable[str]) -> frozenset[str]:
    """Those of the runs that MLflow does not have, or keeps only as deleted. Raises NotRecorded."""
    with _session("look for the runs") as client:
        return frozenset(run_id for run_id in run_ids if not _is_there(client, run_id))


def set_production_alias(version: int | None) -> None:
    """Gives the alias `production` to a registered version, or to none. Raises NotRecorded."""
    with _session("move the alias") as client:
        if version is None:
            client.delete_registered_model_alias(settings.MODEL_NAME, ALIAS)
        else:
            client.set_registered_model_alias(settings.MODEL_NAME, ALIAS, str(version))


def _registered(client: MlflowClient) -> dict[int, str]:
    """The run of each registered version of ours."""
    found: dict[int, str] = {}
    page, token = None, None
    while page is None or token:
        page = client.search_model_versions(_our_name(), page_token=token)
        found |= {int(version.version): version.run_id or "" for version in page}
        token = page.token
    return found


def _is_there(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def _refuse_slow(seconds: float) -> None:
    """Raises TooSlow if what is left, the larger part, would take longer than a training should wait."""
    if seconds > SLOW_SECONDS:
        raise TooSlow(f"It took {seconds:.0f} s for what takes it 1 s when it is well.")


def _log_model(model: TextModel, *, run_id: str, model_id: str) -> str:
    """Logs the model in MLflow's scikit-learn flavour under the id that was made for it; gives its address."""
    import mlflow
    import pandas
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from classifier.ml.rebuilding import rebuild
    from mlops.flavour import flavour

    with packing.code() as code:
        info = mlflow.sklearn.log_model(
            flavour(rebuild(model), temperature=model.temperature),
            model_id=model_id,
            run_id=run_id,  # no active run, which the fluent interface would leave behind
            signature=ModelSignature(Schema([ColSpec("string")]), Schema([ColSpec("string")])),
            input_example=pandas.DataFrame({"text": ["I was double charged"]}),
            pip_requirements=packing.requirements(),  # given: finding them out takes MLflow 3 s
            serialization_format="skops",  # no pickle
            skops_trusted_types=list(packing.TRUSTED),
            code_paths=[str(package) for package in code],
        )
    return str(info.model_uri)


def _experiment_id(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(settings.MLFLOW_EXPERIMENT_NAME)
    if found is not None:
        if found.lifecycle_stage == "deleted":  # its name stays taken, so there is no other way to record anything
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    # Without a location of ours, MLflow on a database writes below the folder that the command was started in.
    location = None if _is_server() else Path(settings.MLFLOW_ARTIFACTS).as_uri()
    return str(client.create_experiment(settings.MLFLOW_EXPERIMENT_NAME, artifact_location=location))


def _parameter(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= PARAMETER_CHARACTERS else text[: PARAMETER_CHARACTERS - 1] + "…"


def _our_name() -> str:
    name = settings.MODEL_NAME.replace("'", "''")
    return f"name = '{name}'"


def _is_server() -> bool:
    return urlsplit(settings.MLFLOW_TRACKING_URI).scheme in {"http", "https"}


# --- Speaking with MLflow -------------------------------------------------------------------------
@contextlib.contextmanager
def _session(doing: str) -> Iterator[MlflowClient]:
    """A client of the configured MLflow, with its noise kept away; anything that fails becomes NotRecorded."""
    global _opened
    try:
        with quiet(), undisturbed():
            import mlflow
            from mlflow.store.db import utils

            utils.MAX_RETRY_COUNT = DATABASE_TRIES
            if _opened != identity():
                _forget_database()
            with alone():  # the client's first use makes the tables
                client = mlflow.MlflowClient(tracking_uri=settings.MLFLOW_TRACKING_URI)
            mlflow.set_tracking_uri(settings.MLFLOW_TRACKING_URI)  # log_model knows no other way to be told
            _opened = identity()
            yield client
    except Exception as error:
        _opened = None
        last = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-3, chain=False))
        # Of one that is not there, whoever called tells in a line, and where in MLflow that was noticed helps nobody.
        level = logging.DEBUG if unreachable(error) else logging.WARNING
        logger.log(level, "MLflow did not %s:\n%s", doing, without_password(last))
        logger.info("MLflow at %s did not %s", address_in_full(), doing)
        raise NotRecorded(  # its words reach rows, which the API shows
            f"MLflow at {address()} did not {doing}: {without_places(without_password(reason(error)))} "
            "Check MLFLOW_TRACKING_URI and that the server answers."
        ) from error


def _forget_database() -> None:
    """Makes MLflow open its database anew.

    It keeps what it has opened as long as the process lives, and would go on writing into a file that was removed, or
    look for tables in a database that was made anew.
    """
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registered
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracked
    from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry
    from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

    for keeper in (ModelRegistryStoreRegistry, TrackingStoreRegistry):
        keeper._get_store_with_resolved_uri.cache_clear()
    for engines in (Registered._engine_map, Tracked._engine_map):
        while engines:
            engines.popitem()[1].dispose()
