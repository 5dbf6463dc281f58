"""The fitted pipeline as MLflow keeps it. It goes along with the recorded model, so it needs nothing but scikit-learn.

Only tracking.py imports this, and only where it records: scikit-learn takes 1.5 s.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer


class Terms:
    """A vocabulary as one array of bytes, iterated over in the order of its columns.

    skops writes a dictionary value by value: 92,000 terms took it 17 s, and an array takes it no time. An array of
    strings would do as well, if one ticket with a word of 5,000 letters did not make all its rows that wide.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        self.joined = np.frombuffer("\n".join(terms).encode(), dtype=np.uint8)  # no term holds a line break

    def __iter__(self) -> Iterator[str]:
        return iter(self.joined.tobytes().decode().split("\n"))


def flavour(pipeline: Pipeline, *, temperature: float) -> Pipeline:
    """The pipeline that answers as the version which serves does, with its probabilities, whatever a client sends.

    Its first step takes the texts out of a list, an array, or a table of one column (`mlflow models serve` and Spark
    send tables). The temperature, which scikit-learn does not know, is divided into the coefficients.
    """
    classifier = copy.copy(pipeline["classifier"])
    # float32: half the size, and what the coefficients were fitted in.
    classifier.coef_ = (classifier.coef_ / temperature).astype(np.float32)
    classifier.intercept_ = classifier.intercept_ / temperature
    features = _packed(pipeline["features"])
    return Pipeline([("column", FunctionTransformer(np.ravel)), ("features", features), ("classifier", classifier)])


def _packed(features: Any) -> Any:
    """The same vectorisers with their vocabulary as a parameter: they make the dictionary of it at first use."""
    if isinstance(features, FeatureUnion):
        parts = [(name, _packed(part)) for name, part in features.transformer_list]
        return copy.copy(features).set_params(transformer_list=parts)
    packed: TfidfVectorizer = copy.copy(features)
    packed.vocabulary = Terms(list(packed.get_feature_names_out()))
    del packed.vocabulary_
    return packed
