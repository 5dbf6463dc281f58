"""The scikit-learn pipeline of a model that serves, made again from it: the inverse of model.from_pipeline.

Needed where a pipeline is wanted and only the model was kept, as by MLflow's scikit-learn flavour.
"""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline

from classifier.ml.featurise import WORD_PATTERN, Part
from classifier.ml.model import TextModel
from classifier.ml.text import normalise


def rebuild(model: TextModel) -> Pipeline:
    """A fitted pipeline, steps "features" and "classifier", that answers as the model does before its temperature.

    Its hyper-parameters that only a fit reads (C, min_df, the seed) are scikit-learn's defaults, whatever the model was
    fitted with. `disagreement` of pipeline.py says how near the two are; the coefficients are the very same numbers.
    """
    parts = [_vectoriser(part) for part in model.features.parts]
    features = parts[0] if len(parts) == 1 else FeatureUnion([("word", parts[0]), ("character", parts[1])])
    return Pipeline([("features", features), ("classifier", _classifier(model))])


def _vectoriser(part: Part) -> TfidfVectorizer:
    vectoriser = TfidfVectorizer(
        preprocessor=normalise,
        lowercase=False,
        analyzer=part.analyzer,
        token_pattern=WORD_PATTERN,
        ngram_range=(part.shortest, part.longest),
        stop_words=sorted(part.stop_words) or None,
        sublinear_tf=part.sublinear,
    )
    # As a fit leaves them; a vocabulary given as a parameter would be kept, and written to a file, twice.
    vectoriser.vocabulary_ = {term: column for column, term in enumerate(part.terms)}
    vectoriser.fixed_vocabulary_ = False
    vectoriser.idf_ = np.array(part.idf, dtype=np.float64)
    return vectoriser


def _classifier(model: TextModel) -> LogisticRegression:
    classifier = LogisticRegression(class_weight="balanced", solver="newton-cg")
    rows, intercepts = np.array(model.coefficients.T, order="C"), np.array(model.intercepts)
    if len(rows) == 2:  # scikit-learn keeps the second one's log-odds against the first alone
        rows, intercepts = rows[1:] - rows[:1], intercepts[1:] - intercepts[:1]
    classifier.classes_ = np.array(model.categories)
    classifier.coef_, classifier.intercept_ = rows, intercepts
    classifier.n_features_in_ = rows.shape[1]
    return classifier
