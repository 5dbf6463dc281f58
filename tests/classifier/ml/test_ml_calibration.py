"""Log-loss and the temperature."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.ml.calibration import best_temperature, log_loss
from classifier.ml.model import softened


def test_log_loss_is_the_mean_of_minus_log_probability() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))

    assert log_loss(logits, np.array([1, 2])) == pytest.approx((np.log(4) - np.log(0.8)) / 2)


def test_temperature_brings_confidence_to_accuracy() -> None:
    # 1,000 answers of odds 9 to 1, of which three quarters are right: odds 3 to 1 would be honest.
    logits = np.tile([np.log(9.0), 0.0], (1000, 1))
    truth = np.array([0] * 750 + [1] * 250)

    found = best_temperature(logits, truth)

    assert found == pytest.approx(2.0, rel=0.01)  # log 9 / 2 = log 3
    assert softened(logits, temperature=found)[0, 0] == pytest.approx(0.75, abs=0.002)


def test_temperature_falls_when_the_model_is_too_timid() -> None:
    logits = np.tile([0.2, 0.0], (1000, 1))
    truth = np.array([0] * 900 + [1] * 100)

    assert best_temperature(logits, truth) == pytest.approx(0.2 / np.log(9.0), rel=0.05)


def test_a_few_faultless_answers_do_not_make_a_model_certain() -> None:
    logits, truth = np.tile([2.0, 0.0], (7, 1)), np.zeros(7, dtype=np.int64)

    found = best_temperature(logits, truth)

    assert 0.3 < found < 1.0
    assert softened(logits, temperature=found)[0, 0] < 0.999
