"""Fixtures of the tests of mlops: a var folder of their own, and MLflow on a SQLite file of its own."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mlops.up import Starter, manage, starting

# Our own modules are imported in the fixtures: this file is read before Django is ready.
NOWHERE = "sqlite:////proc/there-is-no-such-folder/mlflow.sqlite3"


@pytest.fixture
def home(settings: Any, tmp_path: Path) -> Path:
    """A var folder for this test alone. MLflow cannot be written: see `mlflow_home`."""
    settings.VAR = tmp_path
    settings.MODELS_DIR = tmp_path / "models"
    settings.REPORTS_DIR = tmp_path / "reports"
    settings.MLFLOW_TRACKING_URI = NOWHERE
    settings.MLFLOW_ARTIFACTS = tmp_path / "mlflow" / "artifacts"
    return tmp_path


@pytest.fixture(scope="session")
def mlflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables and nothing in them: making it takes 1.6 s, copying it nothing."""
    from django.test import override_settings

    from mlops import tracking

    folder = tmp_path_factory.mktemp("mlflow")
    with override_settings(
        MLFLOW_TRACKING_URI=f"sqlite:///{folder}/empty.sqlite3",
        MLFLOW_ARTIFACTS=folder / "artifacts",
        MLFLOW_EXPERIMENT_NAME="none",
    ):
        tracking.registry()  # whoever asks first makes the tables
    return folder / "empty.sqlite3"


@pytest.fixture
def mlflow_home(home: Path, settings: Any, mlflow_tables: Path) -> Path:
    """`home`, with an MLflow that works."""
    (home / "mlflow").mkdir()
    shutil.copyfile(mlflow_tables, home / "mlflow" / "mlflow.sqlite3")
    settings.MLFLOW_TRACKING_URI = f"sqlite:///{home}/mlflow/mlflow.sqlite3"
    return home


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What workers were called for: names of tasks, with the ids of runs."""
    from mlops import tasks

    found: list[tuple[str, int]] = []
    monkeypatch.setattr(tasks, "call", lambda task, run_id: found.append((task.name, run_id)))
    return found


# --- A running `manage.py up` (tests marked servers) ------------------------------------------------
@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var folder whose database has every migration."""
    var = tmp_path_factory.mktemp("up") / "a migrated var"  # with spaces, as folders have them
    done = manage("migrate", var=str(var))
    assert done.returncode == 0, done.stderr
    return var


@pytest.fixture
def var(migrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(migrated, tmp_path / "a var"))


@pytest.fixture
def start(var: Path, tmp_path: Path) -> Iterator[Starter]:
    yield from starting(var, tmp_path)


@pytest.fixture
def stocked(var: Path, tmp_path: Path) -> str:
    """A var folder with 600 labelled tickets and a key; a training on them takes some seconds."""
    from tests.factories import shipped

    file = tmp_path / "tickets.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *shipped()])
    done = manage("import_tickets", str(file), "--create-categories", var=str(var))
    assert done.returncode == 0, done.stderr
    scopes = [word for scope in ("run", "read", "predict", "promote") for word in ("--scope", scope)]
    made = manage("create_api_key", "test", *scopes, var=str(var))
    assert made.returncode == 0, made.stderr
    return made.stdout.split()[-1]
