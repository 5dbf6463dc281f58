"""From labelled tickets to a candidate: what each step leaves behind, and what stops it."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import pytest

from classifier import inference
from classifier.ml import pipeline
from classifier.ml.model import load
from classifier.models import Category, ModelArtifact, ModelVersion, Ticket
from classifier.reading import UnreadableFile
from mlops import figures, runs, training
from mlops.evaluation import evaluate_tickets, own_tickets
from mlops.models import Dataset, TrainingRun
from tests.factories import make_categories, make_user
from tests.mlops.making import NOW, label_tickets, noon, rows_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
Status = TrainingRun.Status
REPORTS = {
    "val_classification_report.json",
    "val_confusion_matrix.png",
    "test_classification_report.json",
    "test_confusion_matrix.png",
    "validation_report.json",
}


def train(**options) -> TrainingRun:
    return training.train(**{"trigger": "command", "clock": noon, **options})


def write_csv(path: Path, rows) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture
def tickets():
    label_tickets()


# --- What it leaves behind ------------------------------------------------------------------------
def test_train_leaves_a_candidate_that_is_recorded_everywhere(tickets, mlflow_home, settings):
    ada, steps = make_user(), []

    run = train(by=ada, progress=steps.append)

    version = ModelVersion.objects.get()
    assert (run.status, run.version, run.by, run.started_at) == (Status.SUCCEEDED, version, ada, NOW)
    assert (version.number, version.status) == (1, "candidate")
    assert version.categories == ["billing", "shipping", "technical"]
    assert load(version.path, sha256=version.artifact_id).categories == tuple(version.categories)
    assert {path.name for path in (settings.REPORTS_DIR / "version-1").iterdir()} == REPORTS
    check_parameters(version)
    check_mlflow(run, version, settings)
    assert [step for step in steps if not step.startswith(" ")] == [
        "validate 42 tickets in 3 categories",
        "fit word_char on 30 tickets",
        "refit on 36 tickets, with validation",
        "score 6 validation and 6 test tickets",
        "solve thresholds for a precision of 0.95",
        "keep version 1",
        "record in MLflow",
    ]
    assert run.log.startswith("09:30:00 validate 42 tickets")
    assert "C=1: log-loss" in run.log


def check_parameters(version: ModelVersion) -> None:
    found = version.parameters
    assert found["recipe"] == "word_char"
    assert (found["n_train"], found["n_validation"], found["n_test"]) == (30, 6, 6)
    assert found["c"] in [c for c, _ in found["tried"]]
    assert found["temperature"] > 0
    assert found["seed"] == 0
    assert set(found) >= {"scikit-learn", "numpy", "scipy", "python", "n_features", "n_categories", "seconds"}


def check_mlflow(run: TrainingRun, version: ModelVersion, settings) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=settings.MLFLOW_TRACKING_URI)
        recorded = client.get_run(run.mlflow_run_id)
        files = {file.path for file in client.list_artifacts(run.mlflow_run_id)}
        registered = client.get_model_version(settings.MODEL_NAME, str(version.mlflow_version))
    assert recorded.data.tags["dataset_fingerprint"] == run.dataset.fingerprint
    assert recorded.data.metrics["test_macro_f1"] == version.metrics["test"]["macro_f1"]
    assert recorded.data.metrics["val_log_loss"] == version.metrics["validation"]["log_loss"]
    assert (
        recorded.data.metrics["test_category/billing/recall"]
        == (version.metrics["test"]["per_category"]["billing"]["recall"])
    )
    assert {f"{split}_{name}" for split in ("val", "test") for name in figures.AGGREGATES} <= set(recorded.data.metrics)
    assert set(version.parameters) <= set(recorded.data.params)
    assert files == REPORTS
    assert registered.run_id == version.mlflow_run_id == run.mlflow_run_id


def test_evaluating_the_version_gives_its_stored_test_numbers_again(tickets):
    version = train().version

    assert evaluate_tickets(inference.load(version), own_tickets(version, "test")).as_dict() == version.metrics["test"]


def test_the_validation_report_and_the_scores_are_in_the_files(tickets, settings):
    run = train()

    folder = settings.REPORTS_DIR / "version-1"
    report = json.loads((folder / "validation_report.json").read_text("utf-8"))
    scores = json.loads((folder / "val_classification_report.json").read_text("utf-8"))
    assert report == run.validation
    assert scores["macro_f1"] == run.version.metrics["validation"]["macro_f1"]


def test_the_same_tickets_and_seed_give_the_same_model_and_scores(tickets):
    first, second = train().version, train().version

    assert second.number == 2
    assert second.artifact == first.artifact
    assert second.metrics == first.metrics
    assert (ModelArtifact.objects.count(), Dataset.objects.count()) == (1, 1)


def test_a_damaged_row_is_mended_by_a_training_that_makes_the_same_model(tickets):
    first = train().version
    whole = bytes(first.artifact.content)
    ModelArtifact.objects.update(content=b"nothing")

    train()

    assert bytes(ModelArtifact.objects.get().content) == whole


def test_train_with_the_recipe_original(tickets):
    version = train(recipe="original").version

    assert (version.recipe, version.parameters["c"], version.parameters["tried"][0][0]) == ("original", 1.0, 1.0)


def test_recipes_are_those_of_the_pipeline():
    assert set(training.RECIPES) == set(pipeline.RECIPES)


def test_train_leaves_out_a_small_category_and_says_so(tickets):
    Category.objects.create(slug="complaints", name="Complaints")

    run = train()

    (finding,) = run.validation["findings"]
    assert (finding["level"], finding["code"]) == ("warning", "category_left_out")
    assert "'complaints' needs 7" in finding["message"]
    assert "complaints" not in run.version.categories


# --- MLflow that is not there ---------------------------------------------------------------------
@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "sqlite:////proc/nowhere/mlflow.sqlite3"])
def test_train_goes_on_without_mlflow_and_says_so(tickets, settings, uri):
    settings.MLFLOW_TRACKING_URI = uri
    told = []

    run = train(progress=told.append)

    assert run.status == Status.SUCCEEDED
    assert (run.mlflow_run_id, run.version.mlflow_run_id, run.version.mlflow_version) == ("", "", None)
    assert "Not recorded: MLflow at" in run.outcome
    assert told[-1].startswith("  not recorded: MLflow at")
    assert "/proc/" not in run.outcome + run.log  # the API shows them


# --- What stops it --------------------------------------------------------------------------------
def test_train_without_tickets_is_rejected_with_the_report():
    run = train()

    assert (run.status, run.version, run.dataset) == (Status.REJECTED, None, None)
    assert run.validation["ok"] is False
    assert "at least two categories" in run.outcome
    assert not ModelVersion.objects.exists()


def test_train_on_contradicting_labels_is_rejected():
    label_tickets(7, categories=("billing", "shipping"))
    text = rows_of("billing", 1)[0]
    other = Ticket.objects.create(text=text, split="train", group=0)
    other.labels.create(category=Category.objects.get(slug="shipping"), source="agent")

    run = train()

    assert run.status == Status.REJECTED
    assert "must have one label" in run.outcome


def test_train_on_tickets_without_a_word_in_common_fails_in_words():
    for mark, category in zip("+-", make_categories(("billing", "shipping")), strict=True):
        for number in range(7):
            ticket = Ticket.objects.create(
                text=f"!{mark}{'?' * number}", split=("train", "validation", "test")[number % 3], group=0
            )
            ticket.labels.create(category=category, source="import")

    with pytest.raises(training.CannotLearn, match="share words"):
        train(recipe="original")

    run = TrainingRun.objects.get()
    assert run.status == Status.FAILED
    assert "share words" in run.outcome


def test_train_refuses_a_model_that_does_not_answer_as_its_pipeline(tickets, monkeypatch):
    monkeypatch.setattr(training, "MAX_DISAGREEMENT", -1.0)

    with pytest.raises(training.UnfaithfulModel, match="they differ by"):
        train()

    assert TrainingRun.objects.get().status == Status.FAILED
    assert not ModelVersion.objects.exists()


def test_train_that_cannot_write_the_model_fails_and_leaves_no_version(tickets, home, settings):
    (home / "file").write_text("")
    settings.MODELS_DIR = home / "file" / "models"

    with pytest.raises(OSError, match="Not a directory"):
        train()

    assert TrainingRun.objects.get().status == Status.FAILED
    assert not ModelVersion.objects.exists()


def test_train_while_another_trains_is_refused(tickets):
    with runs.running(runs.Order(kind="train", trigger="api", recipe="word_char"), clock=noon) as other:
        with pytest.raises(runs.RunInProgress, match=f"run {other.pk}"):
            train()
        runs.end(other, Status.REJECTED, outcome="Done.", now=NOW)


# --- Tickets from a file --------------------------------------------------------------------------
def test_train_imports_the_file_first_and_trains_on_all(tmp_path):
    label_tickets(14, categories=("billing", "shipping"))
    texts = rows_of("billing", 20)[14:] + rows_of("billing", 1)
    path = write_csv(tmp_path / "more.csv", [(text, "Billing") for text in texts])

    run = train(data=path)

    assert run.status == Status.SUCCEEDED
    assert sum(run.dataset.counts[split]["billing"] for split in ("train", "validation", "test")) == 20


def test_train_with_a_file_that_is_refused_imports_nothing_and_is_rejected(tmp_path):
    label_tickets(7, categories=("billing", "shipping"))
    path = write_csv(tmp_path / "bad.csv", [("Where is it?", "shipping"), ("Hello", "greetings"), ("", "billing")])

    run = train(data=path)

    assert run.status == Status.REJECTED
    assert {finding["code"] for finding in run.validation["findings"] if finding["level"] == "error"} == {
        "unknown_label",
        "empty_text",
    }
    assert "Line 3" in run.outcome
    assert Ticket.objects.count() == 14


def test_train_with_a_file_that_cannot_be_read_begins_no_run(tmp_path):
    with pytest.raises(UnreadableFile):
        train(data=tmp_path / "missing.csv")

    assert not TrainingRun.objects.exists()
