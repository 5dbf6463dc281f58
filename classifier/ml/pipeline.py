"""Fits the scikit-learn pipeline of a recipe, and the TextModel that serves its answers.

Which tickets are given is decided by split.py and the database; judging the result is scoring.py.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline

from classifier.ml.calibration import best_temperature, log_loss
from classifier.ml.model import TextModel, from_pipeline, softened
from classifier.ml.text import normalise

# Each C is judged with its own temperature, which takes over most of what a larger C would do: on BANKING77 and on the
# shipped tickets the log-loss is then flat from 10 on. Accuracy still grows a little (by 0.003 there, by 0.006 on texts
# from elsewhere), so the largest C that the log-loss can bear is taken; beyond 100 only the seconds grow.
GRID = (1.0, 3.0, 10.0, 30.0, 100.0)
SLACK = 0.01  # share of the lowest log-loss so far that a larger C may cost; the first that costs more ends the search
# The largest gradient that counts as converged is TOLERANCE / (C x tickets): that is how the penalty's own gradient
# shrinks. One fixed tolerance stops at once for a large C (1e-4: from C=30 on) or wastes minutes on a small one.
TOLERANCE = 3.0
LOOSEST = 1e-4
ITERATIONS = 200  # Newton steps; the hardest fit tried took 22
WARM_UP = (0.01, 0.1)  # a refit starts from these shares of its C: 16 s instead of 51 s for 77 categories
BATCH = 1_000  # texts compared at once; bounds the memory of the comparison


class TooFewTickets(ValueError):
    """The tickets given are too few, or too empty, to learn from."""


class UnknownCategory(ValueError):
    """The validation tickets hold a category that the training tickets do not."""


class UnknownRecipe(ValueError):
    """No recipe has this name."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a text becomes features, and which C are tried; features() gives a fresh, unfitted vectoriser."""

    features: Callable[[], FeatureUnion | TfidfVectorizer]
    grid: tuple[float, ...]
    iterations: int = ITERATIONS


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What a fit gives: the pipeline for MLflow, the model that serves, and how they came about.

    tried: (C, log-loss on validation) of each C, in order; empty after a refit. converged: whether the chosen fit
    reached its tolerance; if not, it is the best that ITERATIONS steps could do.
    """

    pipeline: Pipeline
    model: TextModel
    recipe: str
    c: float
    temperature: float
    tried: tuple[tuple[float, float], ...]
    converged: bool


def _word_char() -> FeatureUnion:
    word = TfidfVectorizer(preprocessor=normalise, lowercase=False, ngram_range=(1, 2), sublinear_tf=True)
    character = TfidfVectorizer(
        preprocessor=normalise,
        lowercase=False,
        analyzer="char_wb",
        ngram_range=(2, 5),
        min_df=2,  # a fifth fewer terms at no cost: BANKING77 0.893 with it, 0.891 without
        sublinear_tf=True,
    )
    return FeatureUnion([("word", word), ("character", character)])


def _original() -> TfidfVectorizer:
    """The features of the system this one re-creates, kept for comparison."""
    return TfidfVectorizer(
        preprocessor=normalise,
        lowercase=False,
        max_features=5000,
        ngram_range=(1, 2),
        min_df=2,
        max_df=0.95,
        stop_words="english",
    )


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {"word_char": Recipe(features=_word_char, grid=GRID), "original": Recipe(features=_original, grid=(1.0,))}
)


def _silent(_: str) -> None:
    """Says nothing of the progress."""


def fit(
    texts: Sequence[str],
    categories: Sequence[str],
    *,
    validation_texts: Sequence[str],
    validation_categories: Sequence[str],
    recipe: str = "word_char",
    seed: int = 0,
    progress: Callable[[str], None] = _silent,
) -> Fitted:
    """Fits a recipe on training tickets; validation tickets choose C and the temperature by log-loss.

    The same tickets, seed and number of threads give identical coefficients.
    Raises UnknownRecipe, TooFewTickets (none, one category, or nothing to count in the texts), UnknownCategory, and
    ValueError if texts and categories differ in length.
    """
    chosen = _recipe(recipe)
    _check(texts, categories, "Training")
    _check(validation_texts, validation_categories, "Validation", least=1)
    classes, truth = _places(categories, validation_categories)
    features, matrix = _counted(chosen, texts)
    progress(f"{matrix.shape[0]} tickets, {matrix.shape[1]} terms, {len(classes)} categories")
    held_out = features.transform(validation_texts)
    classifier = _classifier(chosen, seed=seed)
    best, temperature, converged, lowest = classifier, 1.0, False, np.inf
    tried: list[tuple[float, float]] = []
    for c in chosen.grid:
        reached = _solve(classifier, matrix, categories, c=c)
        logits = _logits(classifier, held_out)
        softness = best_temperature(logits, truth)
        loss = log_loss(logits / softness, truth)
        tried.append((c, loss))
        progress(f"C={c:g}: log-loss {loss:.4f} on validation{'' if reached else ', not converged'}")
        if loss > lowest * (1 + SLACK):
            break
        # A shallow copy will do: each fit makes new coefficients.
        best, temperature, converged, lowest = copy(classifier), softness, reached, min(loss, lowest)
    progress(f"C={best.C:g} chosen, temperature {temperature:.3f}")
    return _fitted(features, best, recipe=recipe, temperature=temperature, tried=tuple(tried), converged=converged)


def refit(
    texts: Sequence[str], categories: Sequence[str], *, recipe: str, c: float, temperature: float, seed: int = 0
) -> Fitted:
    """Fits a recipe anew on all given tickets, with the C and the temperature that an earlier fit chose.

    Raises UnknownRecipe, TooFewTickets and ValueError as fit does.
    """
    chosen = _recipe(recipe)
    _check(texts, categories, "Training")
    features, matrix = _counted(chosen, texts)
    classifier = _classifier(chosen, seed=seed)
    for share in WARM_UP:
        _solve(classifier, matrix, categories, c=c * share)
    converged = _solve(classifier, matrix, categories, c=c)
    return _fitted(features, classifier, recipe=recipe, temperature=temperature, tried=(), converged=converged)


def disagreement(model: TextModel, pipeline: Pipeline, texts: Sequence[str]) -> float:
    """The largest absolute difference between the probabilities of the model and of the pipeline, 0.0 to 1.0.

    The pipeline's are softened by the model's temperature. 0.0 if there are no texts; infinity, not NaN, if a
    probability is not a number, so that a bar on the result cannot be passed by it.
    """
    largest = 0.0
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        logits = _logits(pipeline["classifier"], pipeline["features"].transform(batch))
        expected = softened(logits, temperature=model.temperature)
        difference = np.abs(model.predict(batch).probabilities - expected)
        largest = max(largest, float(np.nan_to_num(difference, nan=np.inf).max()))
    return largest


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise UnknownRecipe(f"A recipe is one of {', '.join(RECIPES)}; {name!r} is not. Name one of these.")
    return RECIPES[name]


def _check(texts: Sequence[str], categories: Sequence[str], purpose: str, *, least: int = 2) -> None:
    if len(texts) != len(categories):
        raise ValueError(
            f"{purpose} needs one category for each text; there are {len(texts)} texts and {len(categories)} "
            "categories. Give both lists in the same order."
        )
    found = sorted(set(categories))
    if len(found) < least:
        raise TooFewTickets(
            f"{purpose} needs labelled tickets of at least {least} categor{'y' if least == 1 else 'ies'}; "
            f"there are {len(texts)} tickets of {len(found)}{f' ({found[0]})' if found else ''}. "
            "Import more with manage.py import_tickets, or label some."
        )


def _places(categories: Sequence[str], validation_categories: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The categories in scikit-learn's order, and the place of each validation ticket's among them."""
    classes = sorted(set(categories))
    unknown = sorted(set(validation_categories) - set(classes))
    if unknown:
        raise UnknownCategory(
            f"Validation can only judge categories that training knows; {', '.join(map(repr, unknown))} "
            "occur in validation alone. Label more tickets of them, or leave these rows out."
        )
    return classes, np.array([classes.index(category) for category in validation_categories])


def _counted(recipe: Recipe, texts: Sequence[str]) -> tuple[FeatureUnion | TfidfVectorizer, csr_array]:
    """The fitted vectoriser, and the features in float32: Newton's method then takes half the time and memory."""
    features = recipe.features()
    try:
        matrix = features.fit_transform(texts)
    except ValueError as error:  # scikit-learn's "empty vocabulary", "no terms remain", "max_df < min_df"
        raise TooFewTickets(
            f"Training needs texts that share words; in these {len(texts)} the recipe finds none to count ({error}). "
            "Import more tickets with manage.py import_tickets, or take the recipe word_char."
        ) from error
    return features, matrix.astype(np.float32)


def _classifier(recipe: Recipe, *, seed: int) -> LogisticRegression:
    # newton-cg in float32: measured against lbfgs on BANKING77 at the same loss, 32 s for 82 s and 0.4 GB for 1.1 GB.
    # Its coefficients are float32 from the start, so that the served file loses nothing.
    return LogisticRegression(
        class_weight="balanced", solver="newton-cg", max_iter=recipe.iterations, warm_start=True, random_state=seed
    )


def _solve(classifier: LogisticRegression, matrix: csr_array, categories: Sequence[str], *, c: float) -> bool:
    """Fits in place, from the coefficients it has; gives whether it converged."""
    classifier.set_params(C=c, tol=min(LOOSEST, TOLERANCE / (c * matrix.shape[0])))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        warnings.filterwarnings("always", message="Line Search failed")
        classifier.fit(matrix, categories)
    return not caught


def _logits(classifier: LogisticRegression, matrix: csr_array) -> NDArray[np.float64]:
    """The log-odds of all categories, shape (n, k); for two of them scikit-learn gives those of the second alone."""
    logits: NDArray[np.float64] = np.asarray(classifier.decision_function(matrix), dtype=np.float64)
    return logits if logits.ndim == 2 else np.stack([np.zeros_like(logits), logits], axis=1)


def _fitted(
    features: FeatureUnion | TfidfVectorizer,
    classifier: LogisticRegression,
    *,
    recipe: str,
    temperature: float,
    tried: tuple[tuple[float, float], ...],
    converged: bool,
) -> Fitted:
    """The pipeline of fitted steps. Its coefficients become float64, in which it then computes, as the model does."""
    classifier.coef_ = classifier.coef_.astype(np.float64)
    classifier.intercept_ = classifier.intercept_.astype(np.float64)
    pipeline = Pipeline([("features", features), ("classifier", classifier)])
    model = from_pipeline(pipeline, temperature=temperature)
    return Fitted(
        pipeline=pipeline,
        model=model,
        recipe=recipe,
        c=classifier.C,
        temperature=temperature,
        tried=tried,
        converged=converged,
    )
