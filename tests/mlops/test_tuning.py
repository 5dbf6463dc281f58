"""Thresholds in the life of a version: solved by its training, kept, solved again, shown."""

from __future__ import annotations

import warnings

import pytest
from django.urls import reverse

from classifier import inference
from classifier.ml.deciding import Rules
from classifier.ml.thresholds import Held, measure
from classifier.models import Category, ModelVersion
from mlops import training, tuning
from mlops.admin import reports
from mlops.evaluation import dataset_of, frozen_tickets
from tests import factories
from tests.mlops.making import label_tickets, noon
from tests.mlops.test_commands_mlops import Ended

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
SURE = 0.99


@pytest.fixture
def version():
    """The version of a training on 600 tickets of three categories: enough for thresholds that let some pass."""
    label_tickets(200)
    return training.train(trigger="command", clock=noon).version


def held(count: int = 80, **confidences: float) -> dict:
    """Answers to so many validation tickets of each category, all right, as a version keeps them."""
    categories = sorted(confidences)
    n = count * len(categories)
    numbers = [index for index in range(len(categories)) for _ in range(count)]
    return {
        "categories": categories,
        "truth": numbers,
        "guess": numbers,
        "confidence": [confidences[categories[index]] for index in numbers],
        "margin": [0.9] * n,
        "unknown": [0.0] * n,
        "letters": [9] * n,
    }


def make_version(**fields) -> ModelVersion:
    fields = {"status": "production", "validation_answers": held(billing=SURE, shipping=0.9), **fields}
    return factories.make_version(**fields)


# --- In a training --------------------------------------------------------------------------------
def test_train_keeps_thresholds_with_what_they_give(version, settings):
    kept = ModelVersion.objects.get(pk=version.pk)

    assert kept.thresholds["target"] == settings.TARGET_PRECISION == 0.95
    assert set(kept.thresholds["per_category"]) == set(kept.categories)
    assert kept.thresholds["whole"]["n_answers"] == kept.parameters["n_validation"]
    assert kept.metrics["automatic"]["validation"] == kept.thresholds["whole"]
    assert kept.parameters["target_precision"] == 0.95
    # 28 validation tickets a category: too few for thresholds of their own.
    assert {row["pooled"] for row in kept.thresholds["per_category"].values()} == {True}
    assert 0 < kept.metrics["automatic"]["test"]["coverage"] < 1


def test_train_solves_thresholds_on_a_fit_that_has_not_seen_validation(version):
    tickets = frozen_tickets(dataset_of(version), ("validation",))
    serving = Held.of(inference.load(version).predict(tickets.texts), texts=tickets.texts, truth=tickets.truth)

    kept = tuning.held_of(version)

    assert kept.truth.tolist() == serving.truth.tolist()
    assert kept.confidence.mean() < serving.confidence.mean()  # what serves was fitted on them, and is surer


def test_train_counts_once_on_test_with_the_thresholds_that_it_keeps(version):
    tickets = frozen_tickets(dataset_of(version), ("test",))
    model = inference.load(version)
    asked = Held.of(model.predict(tickets.texts), texts=tickets.texts, truth=tickets.truth)

    whole, _ = measure(asked, Rules.of(version.thresholds, model.categories))

    assert version.metrics["automatic"]["test"] == whole.as_dict()


def test_train_tells_mlflow_what_is_automatic(mlflow_home, settings):
    label_tickets()
    version = training.train(trigger="command", clock=noon).version

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        recorded = MlflowClient(tracking_uri=settings.MLFLOW_TRACKING_URI).get_run(version.mlflow_run_id).data
    # Six validation tickets: nothing is automatic, so there is no precision to tell.
    assert (recorded.metrics["val_auto_coverage"], recorded.metrics["test_auto_coverage"]) == (0.0, 0.0)
    assert "test_auto_precision" not in recorded.metrics
    assert recorded.params["target_precision"] == "0.95"


def test_train_on_few_tickets_leaves_all_to_review_and_says_so(settings):
    label_tickets()

    ended = Ended("train")

    assert "0.000 of the test tickets" in ended.out.getvalue()
    assert inference.answer(["I was charged twice"]).decisions == ["review"]


def test_a_category_is_held_to_its_own_target(settings):
    label_tickets()
    Category.objects.filter(slug="billing").update(target_precision=0.99)

    version = training.train(trigger="command", clock=noon).version

    targets = {slug: row["target"] for slug, row in version.thresholds["per_category"].items()}
    assert targets == {"billing": 0.99, "shipping": 0.95, "technical": 0.95}


# --- tune_thresholds ------------------------------------------------------------------------------
def test_tune_thresholds_shows_the_trade_and_changes_nothing():
    version = make_version()

    ended = Ended("tune_thresholds", "--target-precision", "0.95")

    lines = ended.out.getvalue().splitlines()
    assert ended.code == 0
    assert lines[0] == "Version 1 (production), on 160 validation tickets, for a precision of 0.95"
    assert lines[1].split() == ["category", "threshold", "coverage", "precision", "tickets"]
    assert lines[2].split() == ["billing", "0.990", "1.000", "1.000", "80"]
    assert lines[3].split() == ["shipping", "-", "0.000", "-", "80", "review", "only"]
    assert lines[4].split() == ["all", "together", "0.500", "1.000", "160"]
    table = [line.split() for line in lines[7:-2]]
    assert ["0.9", "0.500", "1.000"] in table  # 0.9 promised, less 0.03
    assert ["0.8", "1.000", "1.000"] in table
    assert ["0.95", "0.500", "1.000", "asked", "for"] in table
    assert lines[-1] == "Not saved; --save stores them."
    version.refresh_from_db()
    assert version.thresholds == {}


def test_tune_thresholds_saves_when_told(monkeypatch):
    version = make_version()
    clock = [1000.0]
    monkeypatch.setattr(inference.time, "monotonic", lambda: clock[0])
    inference.forget_serving()
    assert inference.serving().rules.thresholds.min() == float("inf")

    ended = Ended("tune_thresholds", "--target-precision", "0.8", "--save")

    clock[0] += 0.51
    version.refresh_from_db()
    assert "Saved" in ended.out.getvalue()
    assert version.thresholds["per_category"]["shipping"]["threshold"] == 0.9
    assert inference.serving().rules.thresholds.min() == 0.9  # the others, that were not tuned, stay for review
    assert (
        "These are the version's thresholds now."
        in Ended("tune_thresholds", "--target-precision", "0.8").out.getvalue()
    )
    inference.forget_serving()


def test_tune_thresholds_json_is_one_object(settings):
    settings.TARGET_PRECISION = 0.85
    make_version()
    Category.objects.filter(slug="billing").update(target_precision=0.97)

    found = Ended("tune_thresholds", "--json").found

    assert (found["version"], found["saved"], found["target"]) == (1, False, 0.85)
    assert found["per_category"]["billing"]["target"] == 0.97
    assert found["per_category"]["shipping"]["threshold"] == 0.9
    assert [row["target"] for row in found["targets"]] == [0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99]
    assert found["whole"]["coverage"] == 1.0


def test_tune_thresholds_marks_what_is_pooled_and_what_has_its_own_target():
    make_version(validation_answers=held(59, billing=SURE, shipping=SURE))
    Category.objects.filter(slug="billing").update(target_precision=0.97)

    lines = Ended("tune_thresholds").out.getvalue().splitlines()

    assert lines[2].endswith("59  pooled, target 0.97")
    assert lines[3].endswith("59  pooled")


def test_tune_thresholds_takes_production_else_the_newest_candidate_or_the_one_named():
    make_version(status="archived")
    make_version(status="candidate")
    assert Ended("tune_thresholds", "--json").found["version"] == 2
    make_version()

    assert Ended("tune_thresholds", "--json").found["version"] == 3
    assert Ended("tune_thresholds", "--json", "--version", 1).found["version"] == 1


def test_tune_thresholds_without_any_version_says_what_to_do():
    ended = Ended("tune_thresholds")

    assert ended.code == 1
    assert "manage.py train" in ended.error.getvalue()


def test_tune_thresholds_of_an_unknown_version_is_bad_usage():
    make_version()

    ended = Ended("tune_thresholds", "--version", 7)

    assert ended.code == 2
    assert "no version 7. The newest ones: 1." in ended.error.getvalue()


@pytest.mark.parametrize("target", ["0", "1", "95", "-0.5", "nan", "much"])
def test_tune_thresholds_for_no_share_is_bad_usage(target):
    make_version()

    ended = Ended("tune_thresholds", f"--target-precision={target}")

    assert ended.code == 2


def test_tune_thresholds_of_a_version_that_kept_no_answers_is_refused():
    make_version(validation_answers={})

    ended = Ended("tune_thresholds", "--save")

    assert ended.code == 1
    assert "version 1 kept nothing" in ended.error.getvalue()
    assert "manage.py train" in ended.error.getvalue()


# --- The page of a version ------------------------------------------------------------------------
def test_page_of_a_version_shows_its_thresholds(client):
    version = make_version()
    tuning.keep(version, tuning.tune_again(version, target=0.95))
    ModelVersion.objects.update(metrics={"automatic": {"test": {"coverage": 0.75, "precision": 0.96}}})
    client.force_login(factories.make_user(is_superuser=True))

    sheet = client.get(reverse("admin:classifier_modelversion_change", args=[version.pk])).context["sheet"]

    (table,) = [table for table in sheet.tables if table.title == "Automatic or for review"]
    assert [[cell.value for cell in row] for row in table.cells] == [
        ["billing", "0.990", "its own", "95.0 %", "100.0 %", "100.0 %", "80"],
        ["shipping", "review only", "its own", "95.0 %", "0.0 %", "-", "80"],
        ["All", "-", "-", "95.0 %", "50.0 %", "100.0 %", "160"],
    ]
    (figure,) = [figure for figure in sheet.figures if figure.name == "Automatic"]
    assert figure.value == "75.0 %"
    assert "96.0 % right" in figure.note


def test_figure_of_a_version_that_lets_nothing_pass_has_no_precision():
    (figure,) = reports.automatic({"automatic": {"test": {"coverage": 0.0, "precision": None}}})

    assert "none right" not in figure.note


@pytest.mark.parametrize(
    "page", ["classifier_modelversion", "mlops_trainingrun", "mlops_promotion", "classifier_prediction"]
)
def test_lists_do_not_read_what_thresholds_were_solved_on(client, page, django_assert_max_num_queries):
    make_version()
    client.force_login(factories.make_user(is_superuser=True))

    with django_assert_max_num_queries(15) as looked:
        client.get(reverse(f"admin:{page}_changelist"))

    assert not [query["sql"] for query in looked.captured_queries if "validation_answers" in query["sql"]]
