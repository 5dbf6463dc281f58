"""The pipeline made again from a serving model: it answers as the one that was fitted did, for every recipe."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from classifier.ml import model as models
from classifier.ml.model import from_pipeline
from classifier.ml.pipeline import Fitted, disagreement
from classifier.ml.rebuilding import rebuild

Tickets = tuple[list[str], list[str]]
ODD = ["", "?!", "unheard of", "Zoë 24", "the and of", "Посылка не пришла", "refund " * 500]
RECIPES = ["fitted", "fitted_original", "fitted_binary"]


@pytest.fixture(params=RECIPES)
def made(request: pytest.FixtureRequest) -> Fitted:
    found: Fitted = request.getfixturevalue(request.param)
    return found


def test_rebuilt_pipeline_answers_as_the_model_does(made: Fitted, tickets: Tickets) -> None:
    assert disagreement(made.model, rebuild(made.model), [*tickets[0], *ODD]) <= 1e-12


def test_rebuilt_pipeline_has_the_vocabulary_weights_and_coefficients_of_the_fitted_one(made: Fitted) -> None:
    fitted, rebuilt = made.pipeline, rebuild(made.model)

    names = fitted["features"].get_feature_names_out().tolist()
    assert rebuilt["features"].get_feature_names_out().tolist() == names
    assert (rebuilt["classifier"].classes_ == fitted["classifier"].classes_).all()
    assert rebuilt["classifier"].coef_.shape == fitted["classifier"].coef_.shape
    assert (rebuilt["classifier"].coef_ == fitted["classifier"].coef_).all()
    np.testing.assert_array_equal(rebuilt["classifier"].intercept_, fitted["classifier"].intercept_)


def test_model_of_a_rebuilt_pipeline_is_the_same_model_byte_by_byte(made: Fitted) -> None:
    again = from_pipeline(rebuild(made.model), temperature=made.temperature)

    assert again.to_bytes() == made.model.to_bytes()


def test_model_read_from_its_bytes_can_be_rebuilt(made: Fitted, tickets: Tickets) -> None:
    content = made.model.to_bytes()
    read = models.from_bytes(content, sha256=sha256(content).hexdigest())

    assert disagreement(made.model, rebuild(read), [*tickets[0], *ODD]) <= 1e-6


def test_two_categories_whose_first_row_is_not_zero_are_rebuilt_too(fitted_binary: Fitted, tickets: Tickets) -> None:
    shifted = replace(
        fitted_binary.model,
        coefficients=fitted_binary.model.coefficients + 0.5,  # a softmax does not see what all categories share
        intercepts=fitted_binary.model.intercepts - 2.0,
    )

    assert disagreement(shifted, rebuild(shifted), [*tickets[0], *ODD]) <= 1e-9


def test_rebuilding_leaves_the_model_as_it_was(fitted: Fitted) -> None:
    before = fitted.model.to_bytes()

    rebuild(fitted.model)["classifier"].coef_ *= 0

    assert fitted.model.to_bytes() == before
