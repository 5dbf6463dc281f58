"""Which version answers, and that only whole models are loaded."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from classifier import inference
from classifier.ml.artifact import DamagedModel
from classifier.ml.model import load as load_model
from classifier.ml.pipeline import refit
from classifier.models import Category, ModelArtifact
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _models_folder(settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"


def loaded() -> float | None:
    """The version that /metrics says this process has loaded."""
    return REGISTRY.get_sample_value("ticket_model_loaded_version", {"pid": str(os.getpid())})


def test_process_shows_which_version_it_has_loaded(production):
    inference.serving()

    assert loaded() == production.number


def test_process_shows_that_it_has_no_version_any_more(production):
    inference.serving()
    inference.forget_serving()
    type(production).objects.update(status="archived")

    with pytest.raises(inference.NoModelInProduction):
        inference.serving()

    assert loaded() == 0


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


def test_load_takes_the_good_file_when_the_row_is_damaged_and_mends_it(production):
    inference.load(production)
    whole = bytes(ModelArtifact.objects.get().content)
    ModelArtifact.objects.update(content=b"nothing", n_bytes=7)

    assert inference.load(production).categories == factories.SLUGS

    row = ModelArtifact.objects.get()
    assert (bytes(row.content), row.n_bytes) == (whole, len(whole))


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_no_flipped_bit_ever_answers():
    """Two hundred bits of a model, in the file, in the row and in both: repaired from the good copy or refused."""
    texts = ["I was charged twice", "Refund me", "Where is my parcel?", "It has not come"]
    fitted = refit(texts, ["billing"] * 2 + ["shipping"] * 2, recipe="word_char", c=1.0, temperature=1.0)
    version = factories.make_version(model=fitted.model)
    inference.load(version)
    whole = version.path.read_bytes()
    for bit in range(0, len(whole) * 8, len(whole) * 8 // 200):
        bad = flipped(whole, bit)

        version.path.write_bytes(bad)
        assert inference.load(version).to_bytes() == whole
        assert version.path.read_bytes() == whole

        ModelArtifact.objects.update(content=bad)
        assert inference.load(version).to_bytes() == whole
        assert bytes(ModelArtifact.objects.get().content) == whole

        version.path.write_bytes(bad)
        ModelArtifact.objects.update(content=bad)
        with pytest.raises(DamagedModel):
            inference.load(version)
        version.path.write_bytes(whole)
        ModelArtifact.objects.update(content=whole)


def test_the_file_of_another_version_under_the_right_name_is_refused_and_mended(production):
    other = factories.make_version(model=factories.small_model(("billing", "account")))
    inference.load(other)
    inference.load(production)
    production.path.write_bytes(other.path.read_bytes())

    assert inference.load(production).categories == factories.SLUGS
    assert load_model(production.path, sha256=production.artifact_id)


def test_the_last_good_version_goes_on_answering_when_the_new_one_is_damaged(production, monkeypatch, caplog):
    clock = [inference.time.monotonic()]
    monkeypatch.setattr(inference.time, "monotonic", lambda: clock[0])
    assert inference.serving().number == 1
    type(production).objects.update(status="archived")
    damaged = factories.make_version(status="production", model=factories.small_model(("billing", "account")))
    ModelArtifact.objects.filter(pk=damaged.artifact_id).update(content=b"no model")

    clock[0] += 1
    answered = inference.answer(["I was charged twice"])

    assert (answered.serving.number, answered.labels) == (1, ["billing"])
    assert "version 1 goes on answering, the one in production cannot" in caplog.text
    assert loaded() == 1
    assert "Neither" in answered.serving.stands_in or "damaged" in answered.serving.stands_in


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


def test_a_model_that_answers_no_numbers_never_meets_a_ticket():
    whole = factories.small_model()
    broken = replace(whole, temperature=1e-308, coefficients=whole.coefficients * 1e20)  # each number is finite
    factories.make_version(status="production", model=broken)

    with pytest.raises(DamagedModel, match="numbers that are none"):
        inference.serving()
