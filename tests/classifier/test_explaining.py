"""The words that spoke for a category and against it."""

from __future__ import annotations

import pytest

from classifier.explaining import spoken
from tests.factories import small_model

TEXT = "Hello! I was charged twice, CHARGED twice, for order 4711."


def test_words_of_a_charge_speak_for_billing_and_not_for_shipping():
    for_it, _ = spoken(small_model(), TEXT, "billing")
    _, against = spoken(small_model(), TEXT, "shipping")

    assert for_it[0].word == "charged"
    assert "charged" in {word.word for word in against}


def test_weights_of_the_words_add_up_to_those_of_the_terms():
    model = small_model()

    for_it, against = spoken(model, TEXT, "billing", limit=1000)

    terms = model.explain(TEXT, "billing", limit=100_000)
    assert sum(word.weight for word in for_it + against) == pytest.approx(sum(term.weight for term in terms))
    assert len({word.word for word in for_it + against}) == len(for_it + against)


def test_text_that_the_model_knows_nothing_of_has_no_words():
    assert spoken(small_model(), "ξψω", "billing") == ([], [])


def test_unknown_category_is_refused():
    with pytest.raises(ValueError, match="needs one of the model's categories"):
        spoken(small_model(), TEXT, "kitchen")
