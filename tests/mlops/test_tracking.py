"""What MLflow holds of a training, looked at with its own client; and that nothing fails when it is not there."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.test import override_settings

from mlops import surroundings, tracking
from mlops.flavour import flavour
from tests.mlops.making import good_fit, mlflow_client, rows_of, small_fit

MANY = {f"test_category/c{number}/f1": 0.5 for number in range(tracking.METRICS_A_CALL + 1)}
LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path[:] = [path for path in sys.path if path]  # not the checkout: the model must bring what it needs
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
served = mlflow.pyfunc.load_model(sys.argv[2])
table = pandas.DataFrame({"text": ["I was double charged", "App keeps crashing"]})
print(*served.predict(table), *served.predict(["I was double charged"]))
assert "classifier" in sys.modules and "/code/" in sys.modules["classifier"].__file__, sys.modules["classifier"]
"""


def facts_of(reports: Path, **fields: Any) -> tracking.Facts:
    reports.mkdir(exist_ok=True)
    for name in ("val_classification_report.json", "validation_report.json"):
        (reports / name).write_text("{}")
    return tracking.Facts(
        **{
            "name": "version-1",
            "parameters": {"recipe": "word_char", "c": 100.0, "tried": [[1.0, 0.5]], "long": "x" * 10_000},
            "metrics": {"test_macro_f1": 0.75, **MANY},
            "tags": {"dataset_fingerprint": "ab" * 32},
            "reports": reports,
            "model": small_fit().model,
            **fields,
        }
    )


@dataclass(frozen=True)
class Made:
    """One recording, looked at by many tests, and this process before and after it."""

    run_id: str
    version: int
    uri: str
    environment: tuple[dict[str, str], dict[str, str]]
    path: tuple[list[str], list[str]]


@pytest.fixture(scope="module")
def made(mlflow_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("recorded")
    shutil.copyfile(mlflow_tables, folder / "mlflow.sqlite3")
    facts = facts_of(folder / "reports")
    with override_settings(
        MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.sqlite3", MLFLOW_ARTIFACTS=folder / "artifacts"
    ):
        environment, path = dict(os.environ), list(sys.path)
        recorded = tracking.record(facts)
        yield Made(
            **vars(recorded),
            uri=settings.MLFLOW_TRACKING_URI,
            environment=(environment, dict(os.environ)),
            path=(path, list(sys.path)),
        )


@pytest.fixture
def facts(tmp_path: Path) -> tracking.Facts:
    return facts_of(tmp_path / "reports")


def test_record_leaves_run_metrics_files_and_a_registered_version(made):
    with mlflow_client(made.uri) as client:
        run = client.get_run(made.run_id)
        files = {file.path for file in client.list_artifacts(made.run_id)}
        version = client.get_model_version(settings.MODEL_NAME, str(made.version))
    assert (run.info.status, run.info.run_name) == ("FINISHED", "version-1")
    assert run.info.artifact_uri.startswith(settings.MLFLOW_ARTIFACTS.as_uri())
    assert {name: run.data.params[name] for name in ("recipe", "c", "tried")} == {
        "recipe": "word_char",
        "c": "100.0",
        "tried": "[[1.0, 0.5]]",
    }
    assert run.data.metrics["test_macro_f1"] == 0.75
    assert run.data.tags["dataset_fingerprint"] == "ab" * 32
    assert files == {"val_classification_report.json", "validation_report.json"}
    assert version.run_id == made.run_id


def test_more_metrics_than_mlflow_takes_at_once_are_sent_in_parts(made):
    with mlflow_client(made.uri) as client:
        assert set(client.get_run(made.run_id).data.metrics) >= set(MANY)


def test_the_model_stands_in_our_experiment_with_parameters_and_metrics(made):
    with mlflow_client(made.uri) as client:
        version = client.get_model_version(settings.MODEL_NAME, str(made.version))
        model = client.get_logged_model(version.source.rpartition("/")[2])
        run = client.get_run(made.run_id)
    assert {metric.key for metric in model.metrics} >= {"test_macro_f1", *MANY}
    assert model.params["c"] == "100.0"
    assert (model.experiment_id, model.source_run_id) == (run.info.experiment_id, made.run_id)


def test_everything_that_is_recorded_lies_below_the_folder_of_the_settings(mlflow_home, facts, monkeypatch, tmp_path):
    somewhere = tmp_path / "somewhere"
    somewhere.mkdir()
    monkeypatch.chdir(somewhere)

    recorded = tracking.record(facts)

    with mlflow_client() as client:
        version = client.get_model_version(settings.MODEL_NAME, str(recorded.version))
        model = client.get_logged_model(version.source.rpartition("/")[2])
    assert list(somewhere.iterdir()) == []
    assert model.artifact_location.startswith(settings.MLFLOW_ARTIFACTS.as_uri())
    assert list(settings.MLFLOW_ARTIFACTS.rglob("model.skops"))


def test_a_long_parameter_is_cut(made):
    with mlflow_client(made.uri) as client:
        assert len(client.get_run(made.run_id).data.params["long"]) == tracking.PARAMETER_CHARACTERS


def test_record_leaves_nothing_behind_in_this_process(made):
    import mlflow

    assert mlflow.active_run() is None
    assert made.environment[1] == made.environment[0]
    assert made.path[1] == made.path[0]


def test_mlflow_prints_nothing(mlflow_home, capfd):
    tracking.recorded_before({"version": "1"})

    assert capfd.readouterr() == ("", "")


def test_recorded_model_answers_in_a_process_that_has_only_what_it_brings(made, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOAD, made.uri, f"models:/{settings.MODEL_NAME}/{made.version}"],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=False,
    )

    assert done.stdout.split() == ["billing", "technical", "billing"], done.stderr


def test_alias_is_none_until_it_is_set(made):
    before = tracking.registry().alias

    tracking.set_production_alias(made.version)

    assert (before, tracking.registry().alias) == (None, made.version)


def test_runs_that_mlflow_never_had_are_gone(mlflow_home):
    assert tracking.gone(["0" * 32]) == {"0" * 32}


def test_alias_without_any_registered_model_is_none(mlflow_home):
    assert tracking.registry().alias is None


def test_flavour_gives_the_probabilities_of_the_model_that_serves():
    fitted = good_fit()
    texts = rows_of("shipping", 20)

    found = flavour(fitted.pipeline, temperature=fitted.temperature).predict_proba(texts)

    assert np.abs(found - fitted.model.predict(texts).probabilities).max() < 1e-6


def test_flavour_leaves_the_pipeline_as_it_was():
    before = good_fit().pipeline["classifier"].coef_.copy()

    flavour(good_fit().pipeline, temperature=0.5)

    assert (good_fit().pipeline["classifier"].coef_ == before).all()
    assert good_fit().pipeline["features"].transformer_list[0][1].vocabulary is None


def test_flavour_of_the_recipe_original_answers_as_well():
    from classifier.ml.pipeline import refit

    texts = rows_of("billing", 30) + rows_of("shipping", 30)
    fitted = refit(texts, ["billing"] * 30 + ["shipping"] * 30, recipe="original", c=1.0, temperature=1.0)

    found = flavour(fitted.pipeline, temperature=1.0).predict_proba(np.array(texts))

    assert np.abs(found - fitted.model.predict(texts).probabilities).max() < 1e-6


def test_a_recording_that_breaks_off_is_marked_failed_in_mlflow(mlflow_home, caplog):
    with_a_name_that_mlflow_refuses = facts_of(mlflow_home / "reports", parameters={"what?": 1})

    with pytest.raises(tracking.NotRecorded):
        tracking.record(with_a_name_that_mlflow_refuses)

    assert "Traceback" in caplog.text  # a refusal is nobody's network: the place is of use
    with mlflow_client(settings.MLFLOW_TRACKING_URI) as client:
        runs = client.search_runs([client.get_experiment_by_name(settings.MLFLOW_EXPERIMENT_NAME).experiment_id])
    assert [run.info.status for run in runs] == ["FAILED"]


def test_a_recording_that_is_too_slow_is_given_up_and_marked_failed(mlflow_home, facts, monkeypatch):
    monkeypatch.setattr(tracking, "SLOW_SECONDS", 0.0)

    with pytest.raises(tracking.NotRecorded, match=r"did not record the training: It took \d+ s for what takes it 1 s"):
        tracking.record(facts)

    with mlflow_client() as client:
        runs = client.search_runs([client.get_experiment_by_name(settings.MLFLOW_EXPERIMENT_NAME).experiment_id])
    assert [run.info.status for run in runs] == ["FAILED"]
    assert tracking.registry().runs == {}


def test_a_database_that_was_removed_is_made_anew_by_a_process_that_had_it_open(mlflow_home, facts):
    tracking.registry()
    shutil.rmtree(mlflow_home / "mlflow")

    recorded = tracking.record(facts)

    assert (mlflow_home / "mlflow" / "mlflow.sqlite3").exists()
    assert tracking.registry().runs == {recorded.version: recorded.run_id}


@pytest.mark.parametrize(
    ("uri", "told", "words"),
    [
        ("http://127.0.0.1:1", "http://127.0.0.1:1", "Connection refused"),
        ("http://someone:hidden@127.0.0.1:1/a/path", "http://127.0.0.1:1", "Connection refused"),
        ("sqlite:////proc/there-is-no-such-folder/mlflow.sqlite3", "its SQLite file", "No such file"),
        ("postgresql://someone:hidden@127.0.0.1:1/mlflow", "postgresql://127.0.0.1:1", "refused"),
    ],
)
def test_an_mlflow_that_is_not_there_is_told_in_words_within_seconds(home, facts, settings, caplog, uri, told, words):
    settings.MLFLOW_TRACKING_URI = uri
    caplog.set_level(logging.DEBUG, logger="mlops.tracking")
    began = time.monotonic()

    with pytest.raises(tracking.NotRecorded, match=words) as caught:
        tracking.record(facts)

    assert time.monotonic() - began < 10
    assert "hidden" not in f"{caught.value} {caplog.text}"
    assert str(caught.value).startswith(f"MLflow at {told} did not record the training: ")
    assert f"MLflow at {uri.replace('someone:hidden@', '')} did not record the training" in caplog.text
    logged = {record.levelname for record in caplog.records if record.name == "mlops.tracking"}
    assert logged == {"DEBUG", "INFO"}


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("https://someone:hid/den@mlflow.example:5000/team/a?key=x", "https://mlflow.example:5000"),
        ("postgresql://someone:hidden@[::1]:5432/mlflow", "postgresql://[::1]:5432"),
        ("postgresql:///mlflow", "what MLFLOW_TRACKING_URI names"),
    ],
)
def test_address_that_rows_may_hold_is_scheme_and_host_alone(settings, uri, told):
    settings.MLFLOW_TRACKING_URI = uri

    assert surroundings.address() == told


def test_what_mlflow_says_is_told_without_the_places_it_names(home, settings):
    settings.MLFLOW_TRACKING_URI = "sqlite:////srv/a folder/mlflow.sqlite3"
    said = f"No model at /srv/a folder/mlflow.sqlite3, {home}/models nor 's3://store/a/b'; see file:/x/y and 1/2, n/a."

    found = surroundings.without_places(said)

    assert found == "No model at …, … nor '…'; see … and 1/2, n/a."


def test_an_mlflow_that_accepts_and_does_not_answer_is_given_up(home, facts, settings, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{server.getsockname()[1]}"

        with pytest.raises(tracking.NotRecorded, match="timed out"):
            tracking.registry()


def test_the_environment_decides_over_the_timeouts(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "17")

    with surroundings.undisturbed():
        inside = os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"], os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]

    assert inside == ("17", "1")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "17"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
