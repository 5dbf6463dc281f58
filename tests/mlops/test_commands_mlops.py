"""The commands of mlops: what they print for people and for machines, and their exit codes."""

from __future__ import annotations

import csv
import io
import json
import signal

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from classifier.inference import load
from classifier.management.base import BadUsage, Refused
from classifier.models import Label, ModelVersion, Ticket
from mlops import evaluation, runs
from mlops.management.telling import failures_in_one_line, stopped_by_hand
from mlops.models import Dataset, Promotion, TrainingRun
from tests import factories
from tests.mlops.making import label_tickets, make_trained, poor_fit, small_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
SCORES = {"accuracy", "macro_f1", "weighted_f1", "log_loss", "calibration_error", "per_category"}


class Ended:
    """How a command ended: what it wrote, and the exit code that a shell would see."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.out, self.error, self.code = io.StringIO(), io.StringIO(), 0
        try:
            call_command(name, *map(str, arguments), stdout=self.out, stderr=self.error)
        except (Refused, BadUsage) as error:
            self.code = error.exit_code
            self.error.write(str(error))
        except CommandError as error:  # argparse's
            self.code = 2
            self.error.write(str(error))

    @property
    def found(self):
        return json.loads(self.out.getvalue())


@pytest.fixture
def tickets():
    label_tickets()


# --- train ----------------------------------------------------------------------------------------
def test_train_prints_the_version_and_promotes_the_first(tickets):
    ended = Ended("train")

    text = ended.out.getvalue()
    assert ended.code == 0
    assert "Version 1 (production)" in text
    assert "30 train, 6 validation, 6 test" in text
    assert "not recorded" in text
    assert "macro F1" in text
    assert "fit word_char on 30 tickets" in ended.error.getvalue()


def test_train_json_is_one_object_with_the_scores(tickets):
    make_trained(status="production")

    found = Ended("train", "--json").found

    assert (found["version"], found["version_status"], found["status"]) == (2, "candidate", "succeeded")
    assert set(found["test"]) >= SCORES
    assert set(found["validation"]) >= SCORES
    assert found["parameters"]["n_train"] == 30
    assert found["model_file"].endswith(".npz")
    assert found["data_report"]["ok"] is True


def test_train_on_nothing_ends_with_1_and_the_report(tickets):
    Label.objects.all().delete()

    ended = Ended("train", "--json")

    assert ended.code == 1
    assert ended.found["status"] == "rejected"
    assert ended.found["data_report"]["findings"]
    assert "cannot be trained on" in ended.error.getvalue()


def test_train_with_a_missing_file_ends_with_2(tmp_path):
    ended = Ended("train", "--data", tmp_path / "missing.csv")

    assert ended.code == 2
    assert "there is none" in ended.error.getvalue()


@pytest.mark.parametrize("name", ["train", "retrain"])
def test_a_second_training_ends_with_1_and_names_the_first(tickets, name):
    with runs.running(runs.Order(kind="train", trigger="api", recipe="word_char"), clock=timezone.now) as other:
        ended = Ended(name)
        runs.end(other, TrainingRun.Status.REJECTED, outcome="Done.", now=timezone.now())

    assert ended.code == 1
    assert f"run {other.pk} is at it" in ended.error.getvalue()


@pytest.mark.parametrize("name", ["train", "retrain"])
def test_a_training_without_room_to_write_ends_with_2(tickets, home, settings, name):
    (home / "file").write_text("")
    settings.MODELS_DIR = home / "file" / "models"

    ended = Ended(name)

    assert ended.code == 2
    assert "must be a folder with room" in ended.error.getvalue()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_polite_stop_of_a_training_is_one_by_hand(number):
    before = signal.getsignal(number)

    with pytest.raises(KeyboardInterrupt), stopped_by_hand():
        signal.raise_signal(number)

    assert signal.getsignal(number) is before


def test_output_that_nobody_reads_is_no_full_disk():
    with pytest.raises(BrokenPipeError), failures_in_one_line():
        raise BrokenPipeError


def test_train_with_an_unknown_recipe_is_bad_usage():
    with pytest.raises(CommandError, match="word_char"):
        call_command("train", "--recipe", "magic")


# --- evaluate -------------------------------------------------------------------------------------
def test_evaluate_split_means_test_and_gives_the_stored_numbers(tickets, settings):
    version = make_trained(status="production")

    found = Ended("evaluate", "--split", "--json").found

    assert (found["version"], found["split"], found["includes_training_rows"]) == (1, "test", False)
    assert {name: found[name] for name in version.metrics["test"]} == version.metrics["test"]
    assert sorted(path.name for path in settings.REPORTS_DIR.iterdir()) == [
        "test_classification_report.json",
        "test_confusion_matrix.png",
    ]


def test_evaluate_without_split_scores_all_and_marks_it(tickets, home):
    make_trained(status="production")

    ended = Ended("evaluate", "--output", home / "here", "--json")
    text = Ended("evaluate").out.getvalue()

    assert (ended.found["split"], ended.found["includes_training_rows"], ended.found["n_tickets"]) == ("all", True, 42)
    assert (home / "here" / "all_classification_report.json").exists()
    assert "42 tickets (includes training rows" in text
    assert "billing" in text


def test_evaluate_takes_the_version_named_else_production_else_the_newest_candidate(tickets):
    make_trained(poor_fit().model)
    make_trained(poor_fit().model)
    newest = Ended("evaluate", "--json").found["version"]
    ModelVersion.objects.filter(number=1).update(status="production")

    assert newest == 2
    assert Ended("evaluate", "--json").found["version"] == 1
    assert Ended("evaluate", "--version", 2, "--json").found["version"] == 2


def test_evaluate_a_file(tickets, tmp_path):
    make_trained(status="production")
    path = tmp_path / "other.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body", "kind"), ("I was double charged", "billing"), ("Where is it", "general")])

    found = Ended("evaluate", "--data", path, "--text-column", "body", "--label-column", "kind", "--json").found

    assert (found["n_tickets"], found["split"], found["includes_training_rows"]) == (2, str(path), False)
    assert found["files"][0].endswith("test_classification_report.json")


def test_evaluate_tells_of_tickets_that_are_gone(tickets):
    make_trained(status="production")
    Ticket.objects.filter(split="test").first().delete()

    found, text = Ended("evaluate", "--split", "--json").found, Ended("evaluate", "--split").out.getvalue()

    assert (found["n_tickets"], found["left_out"]) == (5, 1)
    assert "1 left out: these tickets were deleted since" in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--version", "9"), 2, "There is no version 9. The newest ones: 1."),
        (("--data", "missing.csv"), 2, "there is none"),
        (("--data", "missing.csv", "--split"), 2, "exclude each other"),
        (("--output", "/proc/nowhere"), 2, "can be written"),
    ],
)
def test_evaluate_refuses_in_one_line(tickets, arguments, code, words):
    make_trained(status="production")

    ended = Ended("evaluate", *arguments)

    assert ended.code == code
    assert words in ended.error.getvalue()


def test_evaluate_a_file_says_how_many_rows_it_was_trained_on(tickets, tmp_path):
    version = make_trained(status="production")
    seen = evaluation.own_tickets(version, "train")
    path = tmp_path / "mixed.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), (seen.texts[0], seen.truth[0]), ("Never asked", "billing")])

    found, text = Ended("evaluate", "--data", path, "--json").found, Ended("evaluate", "--data", path).out.getvalue()

    assert (found["includes_training_rows"], found["training_rows"]) == (True, 1)
    assert "2 tickets (includes training rows, 1 of them" in text


def test_evaluate_a_version_without_tickets_of_its_own_on_a_file(tmp_path):
    factories.make_version(model=small_fit().model)
    (tmp_path / "other.csv").write_text("text,label\nI was double charged,billing\n", encoding="utf-8")

    found = Ended("evaluate", "--data", tmp_path / "other.csv", "--json").found

    assert (found["version"], found["n_tickets"], found["includes_training_rows"]) == (1, 1, None)


def test_evaluate_shows_the_intervals(tickets):
    make_trained(status="production")

    text = Ended("evaluate", "--split").out.getvalue()

    assert "95 % interval" in text
    assert "1.000  1.000 to 1.000" in text


def test_evaluate_by_mlflow_run_needs_no_mlflow(tickets):
    make_trained(status="production")
    make_trained(poor_fit().model, mlflow_run_id="abc123")

    assert Ended("evaluate", "--mlflow-run-id", "abc123", "--json").found["version"] == 2


def test_evaluate_a_copied_model_file_on_a_file_of_tickets(tmp_path):
    content = small_fit().model.to_bytes()
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied" / f"version-9-{factories.sha256_of(content)[:12]}.npz").write_bytes(content)
    (tmp_path / "other.csv").write_text("text,label\nI was double charged,billing\n", encoding="utf-8")
    arguments = ("--model-dir", tmp_path / "copied", "--data", tmp_path / "other.csv", "--output", tmp_path / "out")

    found, text = Ended("evaluate", *arguments, "--json").found, Ended("evaluate", *arguments).out.getvalue()

    assert (found["version"], found["n_tickets"], found["accuracy"]) == (None, 1, 1.0)
    assert found["includes_training_rows"] is None
    assert found["sha256"] == factories.sha256_of(content)
    assert "their SHA-256 is the one in the file's name" in text
    assert "whether it was trained on some of them is unknown" in text
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_evaluate_the_model_file_of_a_version_takes_its_tickets(tickets, settings, tmp_path):
    version = make_trained()
    load(version)  # writes the file

    found = Ended("evaluate", "--model-dir", settings.MODELS_DIR, "--split", "--json").found

    assert found["version"] == 1
    assert {name: found[name] for name in version.metrics["test"]} == version.metrics["test"]


def test_evaluate_with_another_scikit_learn_warns(tickets):
    make_trained(parameters={"scikit-learn": "0.1"})

    found, text = Ended("evaluate", "--json").found, Ended("evaluate").out.getvalue()

    assert found["warnings"][0].startswith("Version 1 was made with scikit-learn 0.1")
    assert "Warning: Version 1 was made with scikit-learn 0.1" in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--mlflow-run-id", "nope"), 2, "no version of the MLflow run 'nope'"),
        (("--mlflow-run-id", ""), 2, "no version of the MLflow run ''"),
        (("--model-dir", "{folder}"), 2, "Name some with --data"),
        (("--model-dir", "{folder}/nowhere"), 2, "is no folder"),
        (("--model-dir", "{folder}/broken"), 1, "should be a model file"),
        (("--model-dir", "{folder}", "--version", "1"), 2, "not allowed with"),
        (("--mlflow-run-id", "x", "--version", "1"), 2, "not allowed with"),
    ],
)
def test_evaluate_refuses_a_model_that_cannot_be_had(tickets, tmp_path, arguments, code, words):
    make_trained(status="production")
    folder = tmp_path / "folder"
    (folder / "broken").mkdir(parents=True)
    (folder / "model.npz").write_bytes(small_fit().model.to_bytes())
    (folder / "broken" / "model.npz").write_bytes(b"nothing")

    ended = Ended("evaluate", *(argument.format(folder=folder) for argument in arguments))

    assert (ended.code, ended.out.getvalue()) == (code, "")
    assert words in ended.error.getvalue()


def test_evaluate_with_nothing_trained_names_the_command():
    ended = Ended("evaluate")

    assert ended.code == 1
    assert "manage.py train" in ended.error.getvalue()


def test_evaluate_a_version_without_tickets_of_its_own_ends_with_1():
    factories.make_version()

    assert Ended("evaluate").code == 1


# --- promote --------------------------------------------------------------------------------------
def test_promote_puts_a_version_into_production(tickets):
    make_trained(poor_fit().model, status="production")
    make_trained()

    ended = Ended("promote", 2, "--reason", "Better.")

    text = ended.out.getvalue()
    assert ended.code == 0
    assert "Version 2 is in production, instead of version 1." in text
    assert "met      On the same 6 test tickets" in text
    dataset = Dataset.objects.get()  # both were trained from the same tickets
    assert f"judged on 6 test tickets of {dataset}, 6 of them answered by both versions" in text
    assert Promotion.objects.get().reason == "Better."


def test_promote_json_tells_the_verdict(tickets):
    make_trained()

    found = Ended("promote", 1, "--reason", "First", "--json").found

    assert (found["promoted"], found["version"], found["replaced"], found["forced"]) == (True, 1, None, False)
    assert found["verdict"]["passed"] is True


def test_promote_refused_by_the_gate_ends_with_1_and_forced_with_0(tickets, settings):
    settings.GATE_MIN_MACRO_F1 = 1.0
    make_trained(poor_fit().model)

    refused = Ended("promote", 1, "--reason", "Hope", "--json")
    forced = Ended("promote", 1, "--reason", "A trial", "--force")

    assert (refused.code, refused.found["promoted"]) == (1, False)
    assert "is the least" in refused.error.getvalue()
    assert forced.code == 0
    assert "(forced)" in forced.out.getvalue()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("9", "--reason", "x"), 2, "There is no version 9"),
        (("1", "--reason", " "), 2, "is empty"),
        (("1", "--reason", "x" * 2001), 2, "at most 2,000 characters; it has 2,001"),
        (("1",), 2, "--reason"),
        (("1", "--reason", "Again"), 1, "in production already"),
    ],
)
def test_promote_refuses_in_one_line(tickets, arguments, code, words):
    make_trained(status="production")

    ended = Ended("promote", *arguments)

    assert ended.code == code
    assert words in ended.error.getvalue()


# --- retrain --------------------------------------------------------------------------------------
def test_retrain_promotes_and_then_skips(tickets):
    first = Ended("retrain", "--json").found
    second = Ended("retrain")

    assert (first["decision"], first["version"], first["version_status"]) == ("promoted", 1, "production")
    assert first["verdict"]["passed"] is True
    assert second.code == 0
    assert second.out.getvalue().startswith("Unchanged: ")


def test_retrain_that_keeps_the_candidate_ends_with_0(tickets):
    make_trained(status="production")

    ended = Ended("retrain")

    assert ended.code == 0
    assert "Kept as a candidate" in ended.out.getvalue()


def test_retrain_on_nothing_ends_with_1():
    ended = Ended("retrain", "--json")

    assert ended.code == 1
    assert ended.found["decision"] == "rejected"
