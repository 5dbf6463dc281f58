"""Which version answers, and that only whole models are loaded."""

from __future__ import annotations

import threading

import pytest

from classifier import inference
from classifier.ml.artifact import DamagedModel
from classifier.ml.model import load as load_model
from classifier.models import Category, ModelArtifact
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _models_folder(settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"


def test_answer_stores_nothing(production, django_assert_num_queries):
    inference.serving()

    with django_assert_num_queries(0):
        answered = inference.answer(["I was charged twice"])

    assert answered.labels == ["billing"]
    assert answered.stored is None


def test_serving_without_a_version_says_what_to_do():
    with pytest.raises(inference.NoModelInProduction, match=r"manage\.py train"):
        inference.serving()


def test_serving_with_no_active_category_says_so(production):
    Category.objects.update(active=False)

    with pytest.raises(inference.NoActiveCategory, match="no active category"):
        inference.serving()


def test_load_writes_a_missing_file_from_the_row(production):
    assert not production.path.exists()

    inference.load(production)

    assert load_model(production.path, sha256=production.artifact_id).categories == factories.SLUGS


def test_load_takes_the_row_when_the_file_is_damaged_and_mends_it(production):
    inference.load(production)
    content = bytearray(production.path.read_bytes())
    content[len(content) // 2] ^= 1
    production.path.write_bytes(content)

    model = inference.load(production)

    assert model.predict(["Where is my parcel?"]).labels == ["shipping"]
    assert load_model(production.path, sha256=production.artifact_id)


def test_load_refuses_when_file_and_row_are_damaged(production):
    content = bytearray(ModelArtifact.objects.get().content)
    content[100] ^= 1
    ModelArtifact.objects.update(content=bytes(content))

    with pytest.raises(DamagedModel):
        inference.load(production)


def test_load_takes_the_good_file_when_the_row_is_damaged(production):
    inference.load(production)
    ModelArtifact.objects.update(content=b"nothing")

    assert inference.load(production).categories == factories.SLUGS


def test_load_serves_from_the_row_when_the_file_cannot_be_written(production, settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "file"
    settings.MODELS_DIR.write_text("in the way")

    assert inference.load(production).categories == factories.SLUGS


def test_serving_keeps_two_models_at_most(production, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(inference.time, "monotonic", lambda: clock[0])
    for cut in (("billing", "account"), ("billing", "shipping"), ("billing", "general")):
        clock[0] += 1
        type(production).objects.update(status="archived")
        factories.make_version(status="production", model=factories.small_model(cut))
        inference.serving()

    assert len(inference._models) == inference.MODELS_KEPT


@pytest.mark.django_db(transaction=True)
def test_threads_go_on_with_what_is_known_while_one_looks(production, monkeypatch):
    known = inference.serving()
    clock = [inference.time.monotonic() + 10]
    monkeypatch.setattr(inference.time, "monotonic", lambda: clock[0])
    answers = []

    with inference._lock:  # as if another thread were loading
        thread = threading.Thread(target=lambda: answers.append(inference.serving()))
        thread.start()
        thread.join(timeout=5)

    assert answers == [known]


def test_a_category_without_a_row_is_not_answered(production):
    Category.objects.filter(slug="billing").delete()

    assert inference.answer(["I was charged twice"]).labels != ["billing"]
