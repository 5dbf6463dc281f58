"""The hand-written TF-IDF gives what scikit-learn's gives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from classifier.ml import featurise
from classifier.ml.featurise import WORD_PATTERN, Part, Tfidf
from classifier.ml.pipeline import Fitted

WORDS = re.findall(
    r"\S+", "charged twice parcel router password hours i a 24 éclair naïve don't ok re-fund 你好吗 👩\u200d💻 _x_"
)
texts = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text("aeprst .,'", max_size=60),
)


def dense(features: Tfidf, text: str) -> np.ndarray:
    row = features.features(text)
    full = np.zeros(features.n_terms)
    full[row.columns] = row.weights
    return full


def test_word_pattern_is_that_of_scikit_learn() -> None:
    assert TfidfVectorizer().token_pattern == WORD_PATTERN


@given(text=texts)
@pytest.mark.parametrize("recipe", ["fitted", "fitted_original"])
def test_features_equal_those_of_the_fitted_vectoriser(request: pytest.FixtureRequest, recipe: str, text: str) -> None:
    fitted: Fitted = request.getfixturevalue(recipe)

    expected = fitted.pipeline["features"].transform([text]).toarray()[0]

    np.testing.assert_allclose(dense(fitted.model.features, text), expected, rtol=0, atol=1e-12)


@given(some=st.lists(texts, min_size=2, max_size=8))
@pytest.mark.parametrize("recipe", ["fitted", "fitted_original"])
def test_a_table_holds_each_text_as_it_is_alone(request: pytest.FixtureRequest, recipe: str, some: list[str]) -> None:
    features = request.getfixturevalue(recipe).model.features

    table, unknown = features.table(some)

    np.testing.assert_allclose(table.toarray(), [dense(features, text) for text in some], rtol=0, atol=1e-14)
    assert unknown.tolist() == [features.features(text).unknown for text in some]


def small(**changes: Any) -> Tfidf:
    """Knows "card", "lost", "card lost" and the pieces " a", "ab"; idf 1, 2, 1 and 1, 3."""
    part: dict[str, Any] = {"shortest": 1, "longest": 2, "sublinear": False, "stop_words": frozenset()}
    words = {**part, "terms": ("card", "lost", "card lost"), "idf": np.array([1.0, 2.0, 1.0]), **changes}
    pieces = {**part, "shortest": 2, "sublinear": True, "terms": (" a", "ab"), "idf": np.array([1.0, 3.0])}
    return Tfidf(Part(analyzer="word", **words), Part(analyzer="char_wb", **pieces))


def test_weights_are_counts_times_idf_of_length_one_in_each_part() -> None:
    row = small().features("Card card LOST! ab")

    # words: card 2 x 1, lost 1 x 2, "card lost" 1 x 1, length 3; pieces: " a" 1 x 1, "ab" 1 x 3, length sqrt 10
    assert row.columns.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(row.weights, [2 / 3, 2 / 3, 1 / 3, 1 / 10**0.5, 3 / 10**0.5])


def test_sublinear_counts_are_one_plus_their_logarithm() -> None:
    row = small(sublinear=True).features("card card xx lost lost lost")

    one, two, three = 1.0, 1 + np.log(2), 1 + np.log(3)
    raw = np.array([two, 2 * three])
    assert one == 1 + np.log(1)
    np.testing.assert_allclose(row.weights, raw / np.sqrt(raw @ raw))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("card lost", 0.0),
        ("card gone", 0.5),
        ("gone gone card", 2 / 3),
        ("", 1.0),
        ("? a 1", 1.0),
        ("card 123456", 0.0),  # a number or a code counts neither way
        ("card lost #A1B2-77 gone", 1 / 3),
        ("123456 A1B2", 1.0),
    ],
)
def test_unknown_is_the_share_of_words_outside_the_vocabulary(text: str, expected: float) -> None:
    assert small().features(text).unknown == pytest.approx(expected)


def test_stop_words_are_left_out_before_pairs_are_made() -> None:
    row = small(stop_words=frozenset({"was"})).features("card was lost")

    assert row.columns.tolist() == [0, 1, 2]
    assert row.unknown == 0.0


def test_unigrams_alone_make_no_pairs() -> None:
    alone = small(longest=1, terms=("card", "lost"), idf=np.ones(2))

    assert alone.features("card lost").columns.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("card lost", [0, 1, 2]),
        ("card-lost", [0, 1, 2]),
        ("card, (lost)", [0, 1, 2]),
        ("card ! lost", [0, 1, 2]),
        ("lost card", [0, 1]),
        ("card my lost", [0, 1]),
    ],
)
def test_pairs_are_of_neighbouring_words(text: str, expected: list[int]) -> None:
    assert small().features(text).columns.tolist() == expected


def test_a_text_without_known_terms_has_no_features() -> None:
    assert small().features("zzz").columns.tolist() == []
    assert small().table(["zzz", ""])[0].nnz == 0


def test_describe_tells_words_from_characters() -> None:
    assert [small().describe(column) for column in (2, 3)] == [("word", "card lost"), ("characters", " a")]


def test_memo_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(featurise, "MEMO_WORDS", 3)
    features = small()
    text = "ab abab ba aab ab " + "ab" * 50

    first, second = features.features(text), features.features(text)

    assert len(features._memo) <= 3
    assert not any(len(word) > featurise.MEMO_LETTERS for word in features._memo)
    assert first.columns.tolist() == second.columns.tolist()
    assert first.weights.tolist() == second.weights.tolist()
