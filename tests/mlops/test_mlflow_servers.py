"""A real MLflow server, and the real `mlflow models serve`: what is recorded serves, and one that is away costs little.

Frozen is the worst: its port takes connections and nobody answers, so that only our own timeouts end the waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from classifier.inference import load
from classifier.models import ModelVersion
from mlops import promotion, reconciling, tracking, training
from mlops.models import AliasMove
from tests.mlops.making import label_tickets, make_trained, mlflow_client, small_fit
from tests.mlops.test_quickstart_served import free_port, until

pytestmark = [pytest.mark.servers, pytest.mark.django_db]
START_SECONDS = 90  # 7 s on a machine with nothing else to do
FROZEN_SECONDS = 20  # what an MLflow that does not answer may cost a training: two tries of 5 s, and the pause between
SLOW_SECONDS = 75  # a fifth until it would be given up, and the rest at the same pace
TEXTS = ["I was double charged", "Where is my parcel?"]


@dataclass
class Server:
    """`mlflow server` on a SQLite file and a folder of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.sqlite3",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        self.folder.mkdir(exist_ok=True)
        self.process = started(command, log=self.folder.with_suffix(".log"), cwd=self.folder)
        wait_for(self.process, f"{self.uri}/health", log=self.folder.with_suffix(".log"))

    def send(self, number: int) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)
            self.process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """It works a tenth of the time: each request takes some tenths of a second more."""
        over = threading.Event()

        def stop_and_go() -> None:
            while not over.is_set():
                self.send(signal.SIGSTOP)
                over.wait(0.45)
                self.send(signal.SIGCONT)
                over.wait(0.05)

        hindering = threading.Thread(target=stop_and_go)
        hindering.start()
        try:
            yield
        finally:
            over.set()
            hindering.join()

    def wipe(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)
        self.start()


def started(command: list[str], *, log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # ten processes that nobody here needs
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    environment.pop("PYTHONPATH", None)
    # `mlflow models serve` calls uvicorn by its name.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, cwd=cwd, env=environment, start_new_session=True)


def wait_for(process: subprocess.Popen[bytes], address: str, *, log: Path) -> None:
    until(lambda: answers(address) or process.poll() is not None, seconds=START_SECONDS, what=log.read_text)
    assert process.poll() is None, log.read_text()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and what it has started: they are a group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as response:  # noqa: S310 (an address of this file)
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(folder=tmp_path_factory.mktemp("server") / "mlflow")
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _on_the_server(server: Server, home: Path, settings: Any, request: pytest.FixtureRequest) -> None:
    """Each test has the names of an experiment and of a model for itself."""
    settings.MLFLOW_TRACKING_URI = server.uri
    settings.MLFLOW_EXPERIMENT_NAME = settings.MODEL_NAME = request.node.name
    label_tickets()


def train() -> tuple[Any, float]:
    """A training, and the seconds it took."""
    began = time.monotonic()
    return training.train(trigger="command"), time.monotonic() - began


def in_production(version: ModelVersion) -> ModelVersion:
    promotion.promote(version, reason="For this test.", force=True)
    return version


def registered() -> list[int | None]:
    """The registered versions of ours by our numbers, each of which MLflow was asked for."""
    rows = list(ModelVersion.objects.order_by("number"))
    known = tracking.registry()
    assert all(known.holds(run_id=row.mlflow_run_id, version=row.mlflow_version) for row in rows if row.mlflow_version)
    return [row.mlflow_version for row in rows]


# --- What is recorded -----------------------------------------------------------------------------
def test_a_training_is_recorded_on_a_server_with_all_its_files(server):
    run, seconds = train()

    with mlflow_client() as client:
        found = client.get_run(run.mlflow_run_id)
        files = {file.path for file in client.list_artifacts(run.mlflow_run_id)}
        model = client.get_model_version(settings.MODEL_NAME, str(run.version.mlflow_version))
        experiment = client.get_logged_model(model.source.rpartition("/")[2]).experiment_id
    assert files == {
        "val_classification_report.json",
        "val_confusion_matrix.png",
        "test_classification_report.json",
        "test_confusion_matrix.png",
        "validation_report.json",
    }
    assert found.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert experiment == found.info.experiment_id
    assert model.run_id == run.mlflow_run_id
    print(f"a training that is recorded on a server: {seconds:.1f} s")


def test_the_registered_model_is_served_and_answers_with_labels(server, tmp_path):
    run, _ = train()
    texts = [*TEXTS, "App keeps crashing"]
    expected = load(run.version).predict(texts).labels
    port, log = free_port(), tmp_path / "serve.log"
    address = f"models:/{settings.MODEL_NAME}/{run.version.mlflow_version}"
    command = [
        "env", f"MLFLOW_TRACKING_URI={server.uri}", "mlflow", "models", "serve", "--model-uri", address,
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip

    process = started(command, log=log, cwd=tmp_path)
    try:
        wait_for(process, f"http://127.0.0.1:{port}/ping", log=log)
        as_table = invoke(port, {"dataframe_split": {"columns": ["text"], "data": [[text] for text in texts]}})
        as_list = invoke(port, {"inputs": texts})
    finally:
        end(process)

    assert as_table == as_list == {"predictions": expected}
    assert set(expected) <= set(run.version.categories)


def invoke(port: int, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        return error.read().decode()


# --- An MLflow that is away -----------------------------------------------------------------------
def test_with_a_frozen_mlflow_a_training_succeeds_in_bounded_time_and_is_recorded_later(server):
    _, usual = train()

    with server.frozen():
        run, seconds = train()

    extra = seconds - usual
    print(f"a frozen MLflow costs a training {extra:.1f} s more than one that answers ({usual:.1f} s in all)")
    assert run.status == "succeeded"
    assert "Not recorded: MLflow at" in run.outcome
    assert registered() == [1, None]
    assert extra < FROZEN_SECONDS
    assert [(done.what, done.version) for done in reconciling.reconcile()] == [("recorded", 2)]
    assert registered() == [1, 2]


def test_with_an_mlflow_that_freezes_in_the_middle_a_training_succeeds_and_the_rest_is_tidied_up(server, monkeypatch):
    real = tracking._log_model

    def frozen(*given: Any, **named: Any) -> Any:
        server.send(signal.SIGSTOP)
        return real(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_log_model", frozen)
        try:
            run, seconds = train()
        finally:
            server.send(signal.SIGCONT)

    print(f"with an MLflow that froze while it was told of it, a training took {seconds:.1f} s")
    assert run.status == "succeeded"
    assert "Not recorded: MLflow at" in run.outcome
    assert seconds < FROZEN_SECONDS
    assert [done.what for done in reconciling.reconcile()] == ["recorded"]
    with mlflow_client() as client:
        experiment = client.get_experiment_by_name(settings.MLFLOW_EXPERIMENT_NAME)
        runs = client.search_runs([experiment.experiment_id])
    assert sorted(found.info.status for found in runs) == ["FAILED", "FINISHED"]


def test_with_a_slow_mlflow_a_training_succeeds_in_bounded_time_and_is_recorded_in_the_end(server):
    with server.slow():
        run, seconds = train()

    said_so = "Not recorded: MLflow at" in run.outcome
    print(f"with a slow MLflow a training took {seconds:.1f} s and was {'not ' if said_so else ''}recorded")
    assert run.status == "succeeded"
    assert seconds < SLOW_SECONDS
    assert said_so == (run.version.mlflow_version is None)
    reconciling.reconcile()
    assert registered() == [1]


def test_with_a_frozen_mlflow_promotions_go_on_and_the_alias_follows_later(server):
    first = in_production(train()[0].version)
    reconciling.reconcile()
    second = train()[0].version

    with server.frozen():
        began = time.monotonic()
        in_production(second)
        promoted = time.monotonic() - began
        with pytest.raises(tracking.NotRecorded, match="timed out"):
            reconciling.follow()
        seconds = time.monotonic() - began

    print(f"a frozen MLflow: the promotion took {promoted:.1f} s, giving the alias up {seconds - promoted:.1f} s")
    assert promoted < 5
    assert seconds < FROZEN_SECONDS
    assert tracking.registry().alias == first.mlflow_version
    (done,) = reconciling.reconcile()
    assert (done.what, tracking.registry().alias) == ("followed", second.mlflow_version)


def test_with_an_mlflow_that_was_killed_a_training_succeeds_and_is_recorded_when_it_is_back(server):
    server.stop()

    run, seconds = train()
    in_production(run.version)
    with pytest.raises(tracking.NotRecorded, match="Connection refused"):
        reconciling.reconcile()
    server.start()

    assert "Not recorded: MLflow at" in run.outcome
    assert seconds < FROZEN_SECONDS
    assert [done.what for done in reconciling.reconcile()] == ["recorded", "followed"]
    assert registered() == [1] == [tracking.registry().alias]


def test_a_wiped_mlflow_gets_everything_again(server):
    versions = [in_production(train()[0].version), make_trained(small_fit().model)]
    reconciling.reconcile()
    server.wipe()

    done = reconciling.reconcile()

    assert [(one.what, one.version) for one in done] == [("recorded", 1), ("recorded", 2), ("put_back", 1)]
    for version in versions:
        version.refresh_from_db()
    assert tracking.registry().alias == versions[0].mlflow_version
    assert list(AliasMove.objects.order_by("pk").values_list("decision", flat=True)) == ["followed", "put_back"]
    with mlflow_client() as client:
        assert len(client.list_artifacts(versions[1].mlflow_run_id)) == 5
