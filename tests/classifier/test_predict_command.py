"""`manage.py predict`: where the texts come from, what is printed, and what is refused."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command

from classifier.management.base import BadUsage, Refused
from classifier.management.commands import predict
from classifier.models import Category, ModelArtifact, Prediction, Ticket
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _models_folder(settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"


def run(*arguments, **options):
    out = io.StringIO()
    call_command("predict", *arguments, stdout=out, **options)
    return out.getvalue()


def given(monkeypatch, content, *, is_terminal=False):
    stdin = io.StringIO(content)
    stdin.isatty = lambda: is_terminal
    monkeypatch.setattr("sys.stdin", stdin)


def test_predict_prints_category_confidence_and_text_of_each(production):
    lines = run("I was double charged", "App keeps crashing").splitlines()

    assert [line.split()[0] for line in lines] == ["billing", "technical"]
    assert lines[0].startswith("billing    0.")
    assert lines[0].endswith("  I was double charged")


def test_predict_prints_each_decision_and_why_it_is_for_review(production):
    production.thresholds = {"per_category": {"billing": {"threshold": 0.5}}}
    production.save()

    lines = run("I was double charged", "fee", "App keeps crashing").splitlines()
    found = json.loads(run("I was double charged", "fee", json=True))["results"]

    assert [line.split()[2:4] for line in lines] == [
        ["auto", "I"],
        ["review:", "unknown_words"],
        ["review:", "below_threshold"],
    ]
    assert [(result["decision"], result.get("reason")) for result in found] == [
        ("auto", None),
        ("review", "unknown_words"),
    ]


def test_predict_json_is_one_object_with_the_version(production):
    found = json.loads(run("I was double charged", json=True))

    (result,) = found["results"]
    assert found["model_version"] == production.number
    assert result["text"] == "I was double charged"
    assert result["predicted_label"] == "billing"
    assert 0 < result["confidence"] <= 1
    assert result["model_version"] == production.number


def test_predict_stores_nothing(production):
    run("I was double charged")

    assert not Ticket.objects.exists()
    assert not Prediction.objects.exists()


def test_predict_reads_the_lines_of_a_file_and_leaves_out_blank_ones(production, tmp_path):
    path = tmp_path / "tickets.txt"
    path.write_text("I was double charged\n\n  \nApp keeps crashing\n", "utf-8")

    assert len(json.loads(run(file=path, json=True))["results"]) == 2


def test_predict_reads_the_lines_of_standard_input(production, monkeypatch):
    given(monkeypatch, "I was double charged\nApp keeps crashing\n")

    assert len(run().splitlines()) == 2


def test_predict_answers_many_lines_in_parts(production, monkeypatch):
    monkeypatch.setattr(predict, "BATCH", 2)
    given(monkeypatch, "I was double charged\n" * 5)

    assert len(run().splitlines()) == 5


def test_predict_at_a_terminal_without_texts_does_not_wait(production, monkeypatch):
    given(monkeypatch, "never read", is_terminal=True)

    with pytest.raises(BadUsage, match="at least one text"):
        run()


def test_predict_with_texts_and_a_file_is_refused(production, tmp_path):
    with pytest.raises(BadUsage, match="either texts or --file"):
        run("text", file=tmp_path / "tickets.txt")


def test_predict_without_the_file_says_so(production, tmp_path):
    with pytest.raises(BadUsage, match="No such file"):
        run(file=tmp_path / "missing.txt")


def test_predict_a_file_that_is_not_utf_8_is_refused(production, tmp_path):
    path = tmp_path / "tickets.txt"
    path.write_bytes("Où est mon colis".encode("latin-1"))

    with pytest.raises(BadUsage, match="must be UTF-8; byte 1"):
        run(file=path)


def test_predict_takes_bytes_that_were_no_text_on_the_command_line(production):
    assert "?" in run("charged twice \udcff")


def test_predict_without_a_model_names_the_command_to_run():
    with pytest.raises(Refused, match="Train one"):
        run("I was double charged")


def test_predict_with_a_damaged_model_answers_nothing(production):
    ModelArtifact.objects.update(content=b"nothing")

    with pytest.raises(Refused, match="damaged"):
        run("I was double charged")


def test_predict_with_every_category_retired_says_so(production):
    Category.objects.update(active=False)

    with pytest.raises(Refused, match="no active category"):
        run("I was double charged")


def test_predict_help_says_that_nothing_is_stored():
    factories.make_categories()

    assert "Nothing is stored" in predict.Command.help
