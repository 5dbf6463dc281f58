"""The TextModel: its answers, its explanations, its bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline

from classifier.ml import artifact
from classifier.ml.artifact import DamagedModel
from classifier.ml.featurise import Part, Tfidf
from classifier.ml.model import Term, TextModel, from_bytes, from_pipeline, load, softened
from classifier.ml.pipeline import Fitted, disagreement
from classifier.ml.text import normalise

WORD: dict[str, Any] = {"analyzer": "word", "shortest": 1, "longest": 1, "sublinear": False, "stop_words": frozenset()}


def by_hand(**changes: Any) -> TextModel:
    """Two terms, "fee" for billing and "parcel" for shipping, and a dislike of general."""
    fields: dict[str, Any] = {
        "categories": ("billing", "general", "shipping"),
        "features": Tfidf(Part(**WORD, terms=("fee", "parcel"), idf=np.array([1.0, 1.0]))),
        "coefficients": np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 6.0]]),
        "intercepts": np.array([0.0, -1.0, 0.0]),
        "temperature": 2.0,
    }
    return TextModel(**fields | changes)


def reread(model: TextModel) -> TextModel:
    data = model.to_bytes()
    return from_bytes(data, sha256=sha256(data).hexdigest())


# --- predict --------------------------------------------------------------------------------------
def test_predict_softens_the_logits_by_the_temperature() -> None:
    answers = by_hand().predict(["A fee?"])

    odds = np.exp([3 / 2, -1 / 2, 0])
    np.testing.assert_allclose(answers.probabilities, [odds / odds.sum()], rtol=1e-12)
    assert answers.labels == ["billing"]
    assert answers.confidences == [pytest.approx(float(odds[0] / odds.sum()))]


def test_predict_answers_each_text_in_order() -> None:
    answers = by_hand().predict(["parcel", "fee", "", "nothing known"])

    assert answers.labels == ["shipping", "billing", "billing", "billing"]
    assert answers.unknown.tolist() == [0.0, 0.0, 1.0, 1.0]
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1.0)


def test_predict_of_nothing_answers_nothing() -> None:
    answers = by_hand().predict([])

    assert answers.probabilities.shape == (0, 3)
    assert (answers.labels, answers.confidences) == ([], [])


def test_probabilities_stay_finite_far_from_zero() -> None:
    found = softened(np.array([[2000.0, -2000.0, 0.0]]), temperature=0.05)

    assert found.tolist() == [[1.0, 0.0, 0.0]]


@given(some=st.lists(st.text("aeprst .chgdouk", max_size=50), min_size=2, max_size=6))
def test_a_texts_answer_does_not_depend_on_its_batch(fitted: Fitted, some: list[str]) -> None:
    together = fitted.model.predict(some).probabilities
    alone = np.vstack([fitted.model.predict([text]).probabilities for text in some])

    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)


def test_a_batch_larger_than_its_chunks_keeps_the_order(
    fitted: Fitted, tickets: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, _ = tickets
    whole = fitted.model.predict(texts)
    monkeypatch.setattr("classifier.ml.model.BATCH", 7)

    chunked = fitted.model.predict(texts)

    np.testing.assert_allclose(chunked.probabilities, whole.probabilities, rtol=0, atol=1e-12)
    assert chunked.unknown.tolist() == whole.unknown.tolist()


# --- behaviour ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I was double charged", "billing"),
        ("App keeps crashing", "technical"),
        ("I can't log into my account", "account"),
        ("WHERE is my parcel??", "shipping"),
        ("opening hours", "general"),
    ],
)
def test_a_plain_ticket_of_each_category_is_right(fitted: Fitted, text: str, expected: str) -> None:
    assert fitted.model.predict([text]).labels == [expected]


@pytest.mark.parametrize("name", ["Ada", "Mr. Okonkwo", "Zoë"])
def test_a_changed_name_does_not_change_the_category(fitted: Fitted, name: str) -> None:
    assert fitted.model.predict([f"Hi, {name} here, the courier lost my package"]).labels == ["shipping"]


# --- explain --------------------------------------------------------------------------------------
def test_explain_weighs_a_term_against_the_mean_over_categories() -> None:
    found = by_hand().explain("fee parcel")

    each = 1 / np.sqrt(2) / 2  # both weights are 1 over root 2, and the temperature is 2
    assert [term.term for term in found] == ["parcel", "fee"]
    assert [term.weight for term in found] == [pytest.approx((6 - 2) * each), pytest.approx((0 - 1) * each)]


def test_explain_speaks_of_the_category_asked_for() -> None:
    found = by_hand().explain("fee", "shipping")

    assert found == (Term(term="fee", kind="word", weight=-0.5),)


def test_explain_shows_words_and_characters(fitted: Fitted) -> None:
    found = fitted.model.explain("where is my parcel", "shipping", limit=40)

    assert {term.kind for term in found} == {"word", "characters"}
    assert {"parcel", "where is", " parc"} <= {term.term for term in found}
    assert max(found, key=lambda term: term.weight).term.strip() in "where is my parcel"


def test_explanation_and_intercepts_add_up_to_the_log_odds(fitted: Fitted) -> None:
    model, text = fitted.model, "please refund my parcel"

    terms = model.explain(text, "billing", limit=10_000)

    logs = np.log(model.predict([text]).probabilities[0])
    place = model.categories.index("billing")
    own = (model.intercepts[place] - model.intercepts.mean()) / model.temperature
    assert sum(term.weight for term in terms) + own == pytest.approx(float(logs[place] - logs.mean()))


def test_explain_gives_as_many_terms_as_asked(fitted: Fitted) -> None:
    assert len(fitted.model.explain("where is my parcel", limit=3)) == 3
    assert fitted.model.explain("") == ()


def test_explain_refuses_a_category_it_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"billing, general, shipping.*'legal' is none of them"):
        by_hand().explain("fee", "legal")


# --- bytes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("recipe", ["fitted", "fitted_original", "fitted_binary"])
def test_a_model_read_back_answers_the_same(
    request: pytest.FixtureRequest, recipe: str, tickets: tuple[list[str], list[str]]
) -> None:
    model = request.getfixturevalue(recipe).model

    again = reread(model)

    assert again.categories == model.categories
    assert (again.temperature, again.format, again.featuriser) == (model.temperature, 1, "tfidf")
    assert np.array_equal(again.predict(tickets[0]).probabilities, model.predict(tickets[0]).probabilities)
    assert again.explain(tickets[0][0]) == model.explain(tickets[0][0])


def test_the_same_model_gives_the_same_bytes(fitted: Fitted) -> None:
    assert fitted.model.to_bytes() == reread(fitted.model).to_bytes()


def test_save_and_load(fitted: Fitted, tmp_path: Path) -> None:
    digest = fitted.model.save(tmp_path / "model.npz")

    assert digest == sha256(fitted.model.to_bytes()).hexdigest()
    assert load(tmp_path / "model.npz", sha256=digest).categories == fitted.model.categories


def test_load_refuses_another_file(fitted: Fitted, tmp_path: Path) -> None:
    digest = fitted.model.save(tmp_path / "model.npz")
    (tmp_path / "model.npz").write_bytes(by_hand().to_bytes())

    with pytest.raises(DamagedModel, match="damaged, or another one"):
        load(tmp_path / "model.npz", sha256=digest)


def tampered(*, header: Callable[[dict[str, Any]], object] = lambda _: None, **arrays: Any) -> bytes:
    """The hand-made model's bytes with its header or arrays changed, and whole as a file."""
    data = by_hand().to_bytes()
    told, found = artifact.unpack(data, sha256_hex=sha256(data).hexdigest())
    header(told)
    return artifact.pack(told, {name: array for name, array in {**found, **arrays}.items() if array is not None})


def terms(*words: str) -> np.ndarray:
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)


NAN = np.array([[np.nan, 0, 0], [0, 0, 6]], dtype=np.float32)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tampered(header=lambda told: told.update(format=2)), "has format 2"),
        (tampered(header=lambda told: told.update(featuriser="minilm")), "'minilm'"),
        (tampered(header=lambda told: told.pop("featuriser")), "'tfidf'"),
        (tampered(header=lambda told: told.pop("categories")), "KeyError"),
        (tampered(header=lambda told: told.update(parts=[])), "terms"),
        (tampered(header=lambda told: told.update(parts=5)), "TypeError"),
        (tampered(header=lambda told: told["parts"][0].update(n_terms=1)), "the parts have 1 terms, the vocabulary 2"),
        (tampered(header=lambda told: told["parts"][0].update(analyzer="char")), "not word and char_wb"),
        (tampered(header=lambda told: told["parts"][0].update(ngrams=[0, 1])), "lengths of n-grams"),
        (tampered(header=lambda told: told.update(categories=["a", "a", "b"])), "a category occurs twice"),
        (tampered(header=lambda told: told.update(categories=["a", "", "b"])), "a category is not a name"),
        (tampered(header=lambda told: told.update(categories=["a"])), "fewer than two categories.*another shape"),
        (tampered(header=lambda told: told.update(temperature=0.0)), "the temperature is not above 0"),
        (tampered(header=lambda told: told.update(temperature="warm")), "ValueError"),
        (tampered(coefficients=None), "KeyError"),
        (tampered(coefficients=NAN), "a number is not finite"),
        (tampered(coefficients=np.ones((3, 3), dtype=np.float32)), "coefficients have another shape"),
        (tampered(coefficients=np.array(["x"])), "ValueError"),
        (tampered(intercepts=np.zeros(2)), "intercepts have another shape"),
        (tampered(intercepts=np.array([0.0, np.inf, 0.0])), "a number is not finite"),
        (tampered(idf=np.ones(3)), "vocabulary 2, weights 3"),
        (tampered(idf=np.array([1.0, 0.0])), "a weight is not above 0"),
        (tampered(terms=terms("fee", "fee")), "a term occurs twice"),
        (tampered(terms=np.array([0xFF, 0x0A], dtype=np.uint8)), "UnicodeDecodeError"),
    ],
)
def test_a_whole_file_with_an_unsound_model_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(DamagedModel, match=words):
        from_bytes(data, sha256=sha256(data).hexdigest())


def test_tampering_with_nothing_changes_nothing() -> None:
    assert tampered() == by_hand().to_bytes()


def test_the_header_can_be_read_by_eye() -> None:
    data = by_hand().to_bytes()

    header, _ = artifact.unpack(data, sha256_hex=sha256(data).hexdigest())

    assert json.loads(json.dumps(header)) == {
        "format": 1,
        "featuriser": "tfidf",
        "categories": ["billing", "general", "shipping"],
        "temperature": 2.0,
        "parts": [{"analyzer": "word", "n_terms": 2, "ngrams": [1, 1], "stop_words": [], "sublinear": False}],
    }


# --- from_pipeline --------------------------------------------------------------------------------
def pipeline_of(*vectorisers: TfidfVectorizer) -> Pipeline:
    union = FeatureUnion([(str(place), vectoriser) for place, vectoriser in enumerate(vectorisers)])
    pipeline = Pipeline([("features", union), ("classifier", LogisticRegression())])
    return pipeline.fit(["fee refund", "parcel late", "hello there"], ["billing", "shipping", "general"])


@pytest.mark.parametrize(
    "settings",
    [
        {"preprocessor": None},
        {"preprocessor": normalise, "norm": "l1"},
        {"preprocessor": normalise, "binary": True},
        {"preprocessor": normalise, "use_idf": False},
        {"preprocessor": normalise, "ngram_range": (1, 3)},
        {"preprocessor": normalise, "token_pattern": r"\S+"},
    ],
)
def test_from_pipeline_refuses_settings_it_does_not_follow(settings: dict[str, Any]) -> None:
    pipeline = pipeline_of(TfidfVectorizer(lowercase=False, **settings))

    with pytest.raises(ValueError, match=f"{list(settings)[-1]} differ"):
        from_pipeline(pipeline, temperature=1.0)


def test_from_pipeline_refuses_parts_in_another_order() -> None:
    character = TfidfVectorizer(preprocessor=normalise, lowercase=False, analyzer="char_wb")

    with pytest.raises(ValueError, match=r"the pipeline has \['char_wb'\]"):
        from_pipeline(pipeline_of(character), temperature=1.0)


def test_a_pipeline_in_float64_is_followed_to_float32(tickets: tuple[list[str], list[str]]) -> None:
    pipeline = pipeline_of(TfidfVectorizer(preprocessor=normalise, lowercase=False))

    model = from_pipeline(pipeline, temperature=0.5)

    assert 0 < disagreement(model, pipeline, ["fee", "late hello"]) < 1e-6
    assert reread(model).coefficients.tolist() == model.coefficients.tolist()


def test_a_model_is_not_changed_by_its_use(fitted: Fitted) -> None:
    before = fitted.model.to_bytes()
    fitted.model.predict(["one", "two"])
    fitted.model.explain("three")

    assert fitted.model.to_bytes() == before
    assert replace(fitted.model, temperature=3.0).to_bytes() != before
