"""Fitting: the recipes, the choice of C, what is refused, and that the served model answers as the pipeline does."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from classifier.ml import pipeline as fitting
from classifier.ml.pipeline import (
    RECIPES,
    Fitted,
    Recipe,
    TooFewTickets,
    UnknownCategory,
    UnknownRecipe,
    disagreement,
    fit,
    refit,
)
from classifier.ml.text import normalise

Tickets = tuple[list[str], list[str]]


def fit_all(tickets: Tickets, **changes: Any) -> Fitted:
    texts, categories = tickets
    given: dict[str, Any] = {"validation_texts": texts[::3], "validation_categories": categories[::3], "seed": 0}
    return fit(texts, categories, **given | changes)


def recipe_with(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """A third recipe, "trial": the default one with changes."""
    fields: dict[str, Any] = {"features": RECIPES["word_char"].features, "grid": (1.0, 10.0)}
    monkeypatch.setattr(fitting, "RECIPES", MappingProxyType({**RECIPES, "trial": Recipe(**fields | changes)}))


# --- recipes --------------------------------------------------------------------------------------
def test_default_recipe_is_word_and_character_tfidf() -> None:
    word, character = (vectoriser for _, vectoriser in RECIPES["word_char"].features().transformer_list)

    assert (word.analyzer, word.ngram_range, word.sublinear_tf, word.stop_words) == ("word", (1, 2), True, None)
    assert (character.analyzer, character.ngram_range, character.sublinear_tf) == ("char_wb", (2, 5), True)


def test_original_recipe_is_the_originals() -> None:
    vectoriser = RECIPES["original"].features()

    assert (vectoriser.max_features, vectoriser.ngram_range) == (5000, (1, 2))
    assert (vectoriser.min_df, vectoriser.max_df, vectoriser.stop_words) == (2, 0.95, "english")
    assert RECIPES["original"].grid == (1.0,)


def test_training_and_serving_normalise_by_the_very_same_function(fitted: Fitted, fitted_original: Fitted) -> None:
    vectorisers = [vectoriser for _, vectoriser in fitted.pipeline["features"].transformer_list]

    assert all(
        vectoriser.preprocessor is normalise for vectoriser in (*vectorisers, fitted_original.pipeline["features"])
    )


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_classes_are_balanced(recipe: str, tickets: Tickets) -> None:
    assert fit_all(tickets, recipe=recipe).pipeline["classifier"].class_weight == "balanced"


# --- fit ------------------------------------------------------------------------------------------
def test_fit_takes_the_largest_c_that_the_log_loss_can_bear(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.5, 0.3, 0.3029, 0.3031, 0.1])  # 0.3031 costs more than 1 % of 0.3

    monkeypatch.setattr(fitting, "log_loss", lambda *_: next(losses))
    found = fit_all(tickets)

    assert found.c == 10.0
    assert found.tried == ((1.0, 0.5), (3.0, 0.3), (10.0, 0.3029), (30.0, 0.3031))  # the fifth is never tried


def test_fit_goes_to_the_end_of_the_grid_while_the_log_loss_falls(
    tickets: Tickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.7, 0.6, 0.5, 0.4, 0.3])
    monkeypatch.setattr(fitting, "log_loss", lambda *_: next(losses))

    assert fit_all(tickets).c == 100.0


def test_fit_judges_each_c_with_its_own_temperature(fitted: Fitted, tickets: Tickets) -> None:
    losses = [loss for _, loss in fitted.tried]

    assert min(losses) <= losses[0]
    assert fitted.temperature == fitted.model.temperature != 1.0


def test_fit_tells_what_it_tried(fitted: Fitted, tickets: Tickets) -> None:
    said: list[str] = []

    found = fit_all(tickets, progress=said.append)

    assert said[0].startswith("120 tickets, ")
    assert len(said) == 2 + len(found.tried)
    assert said[-1] == f"C={found.c:g} chosen, temperature {found.temperature:.3f}"
    assert found.tried == fitted.tried


def test_coefficients_chosen_are_those_of_the_chosen_c(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.5, 0.3, 0.4, 0.35])
    monkeypatch.setattr(fitting, "log_loss", lambda *_: next(losses))
    found = fit_all(tickets)

    expected = LogisticRegression(C=3.0, class_weight="balanced", tol=1e-6, max_iter=1000)
    expected.fit(found.pipeline["features"].transform(tickets[0]), tickets[1])

    np.testing.assert_allclose(found.pipeline["classifier"].coef_, expected.coef_, atol=2e-3)


def test_original_recipe_gives_what_scikit_learn_gives(fitted_original: Fitted, tickets: Tickets) -> None:
    features = fitted_original.pipeline["features"].transform(tickets[0])

    expected = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit(features, tickets[1])

    found = fitted_original.pipeline["classifier"].predict_proba(features)
    np.testing.assert_allclose(found, expected.predict_proba(features), atol=2e-3)
    assert fitted_original.tried[0][0] == fitted_original.c == 1.0


def test_same_tickets_and_seed_give_identical_coefficients(fitted: Fitted, tickets: Tickets) -> None:
    again = fit_all(tickets)

    assert np.array_equal(again.pipeline["classifier"].coef_, fitted.pipeline["classifier"].coef_)
    assert again.model.to_bytes() == fitted.model.to_bytes()


@pytest.mark.parametrize("recipe", ["fitted", "fitted_original", "fitted_binary"])
def test_served_model_answers_as_the_pipeline_does(
    request: pytest.FixtureRequest, recipe: str, tickets: Tickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: Fitted = request.getfixturevalue(recipe)
    monkeypatch.setattr(fitting, "BATCH", 50)

    assert disagreement(fitted.model, fitted.pipeline, [*tickets[0], "", "unheard of", "Zoë 24"]) < 1e-12


def test_disagreement_finds_the_one_text_that_differs(
    fitted: Fitted, fitted_original: Fitted, tickets: Tickets
) -> None:
    expected = fitted.pipeline.predict_log_proba(["where is my parcel"]) / fitted_original.temperature
    expected = np.exp(expected) / np.exp(expected).sum()
    answered = fitted_original.model.predict(["where is my parcel"]).probabilities

    found = disagreement(fitted_original.model, fitted.pipeline, ["where is my parcel"])

    assert found == pytest.approx(float(np.abs(answered - expected).max()))
    assert disagreement(fitted.model, fitted.pipeline, []) == 0.0


def test_disagreement_with_a_model_of_nan_is_infinite(fitted: Fitted) -> None:
    broken = replace(fitted.model, intercepts=np.full(5, np.nan))

    assert disagreement(broken, fitted.pipeline, ["where is my parcel"]) == float("inf")


def test_two_categories_have_two_logits(fitted_binary: Fitted) -> None:
    assert fitted_binary.pipeline["classifier"].coef_.shape[0] == 1
    assert fitted_binary.model.coefficients.shape[1] == 2
    assert fitted_binary.model.predict(["where is my parcel", "refund me"]).labels == ["shipping", "billing"]


def test_many_categories(tickets: Tickets) -> None:
    texts = [f"word{number} {opening}" for number in range(80) for opening in ("alpha", "beta", "gamma")]
    categories = [f"category-{number:02}" for number in range(80) for _ in range(3)]

    found = fit_all((texts, categories))

    assert len(found.model.categories) == 80
    assert found.model.predict(["word79 alpha"]).labels == ["category-79"]


def test_a_fit_that_does_not_converge_says_so_and_warns_nobody(
    tickets: Tickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_with(monkeypatch, iterations=1)
    said: list[str] = []

    found = fit_all(tickets, recipe="trial", progress=said.append)

    assert not found.converged
    assert said[1].endswith("not converged")


def test_a_fit_converges(fitted: Fitted, fitted_binary: Fitted) -> None:
    assert fitted.converged
    assert fitted_binary.converged


# --- refit ----------------------------------------------------------------------------------------
def test_refit_keeps_c_and_temperature(fitted: Fitted, tickets: Tickets) -> None:
    found = refit(*tickets, recipe="word_char", c=fitted.c, temperature=0.7)

    assert (found.c, found.temperature, found.model.temperature, found.tried) == (fitted.c, 0.7, 0.7, ())
    assert found.converged


def test_refit_on_the_same_tickets_finds_the_same_optimum(fitted: Fitted, tickets: Tickets) -> None:
    found = refit(*tickets, recipe="word_char", c=fitted.c, temperature=fitted.temperature)

    expected = fitted.model.predict(tickets[0]).probabilities
    np.testing.assert_allclose(found.model.predict(tickets[0]).probabilities, expected, atol=2e-3)


def test_refit_refuses_what_fit_refuses(tickets: Tickets) -> None:
    with pytest.raises(TooFewTickets, match="there are 0 tickets"):
        refit([], [], recipe="word_char", c=1.0, temperature=1.0)
    with pytest.raises(UnknownRecipe):
        refit(*tickets, recipe="magic", c=1.0, temperature=1.0)


# --- what is refused ------------------------------------------------------------------------------
def test_unknown_recipe_names_the_known_ones(tickets: Tickets) -> None:
    with pytest.raises(UnknownRecipe, match="word_char, original; 'magic' is not"):
        fit_all(tickets, recipe="magic")


@pytest.mark.parametrize(
    ("texts", "categories", "words"),
    [
        ([], [], r"at least 2 categories; there are 0 tickets of 0\."),
        (["one", "two"], ["billing", "billing"], r"there are 2 tickets of 1 \(billing\)"),
        (["", " \u200b", "?!", "."], ["a", "b", "a", "b"], r"finds none to count \(empty vocabulary"),
    ],
)
def test_too_few_tickets_are_refused_with_words(texts: list[str], categories: list[str], words: str) -> None:
    with pytest.raises(TooFewTickets, match=words):
        fit(texts, categories, validation_texts=["x"], validation_categories=["a"])


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_texts_without_a_shared_term_are_refused_with_words(recipe: str) -> None:
    with pytest.raises(TooFewTickets, match="share words; in these 2 the recipe finds none"):
        fit(["abc", "xyz"], ["a", "b"], validation_texts=["abc"], validation_categories=["a"], recipe=recipe)


def test_six_tickets_can_be_fitted() -> None:
    texts = ["my refund", "the refund fee", "a wrong fee", "my parcel", "the parcel is late", "late again"]

    found = fit(
        texts, ["billing"] * 3 + ["shipping"] * 3, validation_texts=["refund"], validation_categories=["billing"]
    )

    assert found.model.predict(["refund fee", "late parcel"]).labels == ["billing", "shipping"]


def test_categories_of_validation_alone_are_refused(tickets: Tickets) -> None:
    with pytest.raises(UnknownCategory, match="'fraud', 'legal' occur in validation alone"):
        fit_all(tickets, validation_texts=["x", "y", "z"], validation_categories=["legal", "fraud", "billing"])


def test_validation_without_tickets_is_refused(tickets: Tickets) -> None:
    with pytest.raises(TooFewTickets, match=r"Validation needs labelled tickets of at least 1 category"):
        fit_all(tickets, validation_texts=[], validation_categories=[])


def test_lists_of_different_length_are_refused(tickets: Tickets) -> None:
    with pytest.raises(ValueError, match="there are 120 texts and 119 categories"):
        fit_all((tickets[0], tickets[1][:-1]))
