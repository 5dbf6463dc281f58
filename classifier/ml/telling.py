"""Whether two windows of texts can be told apart, and by which words: a domain classifier with its own chance level."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from classifier.ml.featurise import WORD_PATTERN
from classifier.ml.profile import Indices, Numbers
from classifier.ml.shift import LEAST_STRATUM, SEED, Signal, limit
from classifier.ml.text import groups, normalise

MOST_TEXTS = 1_000  # of each side: the classifier's matrix is then 32 MB
PERMUTATIONS = 1_500  # five of them lie beyond the threshold
# Against texts of length 1. Of 48 windows of 200 with 40 foreign tickets of four sources among the shipped ones, with
# near-duplicates on one side, the correlation found 33 % with 3 and words of two letters and more alone, and 46 % with
# 30; with all tokens 35 % with 3, 56 % with 10, 65 % with 30. Among the tickets of the four sources it makes no odds.
RIDGE = 30.0
TOKENS = r"\w+|[^\w\s]"  # how tickets are punctuated tells their sender; the model's character pieces see it, too
TOLD = 10  # words that are shown for each side
LEAST_RATIO = 2.0  # of the shares of the two sides: what everybody says a little more often tells nobody anything
LEAST_TEXTS = 3  # that a word must stand in to be shown: names and numbers tell one text, not a window


@dataclass(frozen=True)
class TellingWord:
    """A word that tells the sides apart, and the share of the texts of each that have it."""

    word: str
    side: str  # "recent" or "reference"
    recent: float
    reference: float


@dataclass(frozen=True)
class Told:
    """How well the texts of two windows can be told apart, and the words that do."""

    signal: Signal
    words: tuple[TellingWord, ...]


def tell_apart(
    reference: Sequence[str],
    recent: Sequence[str],
    *,
    reference_strata: Indices,
    recent_strata: Indices,
    is_enough: bool,
) -> Told | None:
    """Tells two windows of texts apart within their strata; None if there is too little to try.

    The signal's value is the correlation of being recent with a score of the text, both within the stratum: 0 is
    chance, 1 would be told apart without fault. Scores are those of a ridge regression on TF-IDF weights of words and
    punctuation that has not seen the text (leave-one-out, in closed form). The threshold comes from shuffling who is
    recent within each stratum, which changes nothing but that. Of near-duplicates on a side one counts: that a form
    letter is sent often is a matter of shares, and a validation set that happens to hold ten of a kind must not look
    like another world.
    Source: Golub, Heath & Wahba, Generalized cross-validation, Technometrics 21, 1979 (the leave-one-out formula).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # 1.5 s to import, which only a comparison needs

    sides = np.repeat([0.0, 1.0], [len(reference), len(recent)])
    strata = np.concatenate([reference_strata, recent_strata])
    usable = _usable(strata, sides) & _first([*reference, *recent], sides)
    usable = usable & _usable(np.where(usable, strata, -1), sides)
    if not usable.any():
        return None
    texts = [text for text, keep in zip([*reference, *recent], usable.tolist(), strict=True) if keep]
    sides, strata = sides[usable], strata[usable]
    vectoriser = TfidfVectorizer(
        preprocessor=normalise, lowercase=False, token_pattern=TOKENS, sublinear_tf=True, min_df=2, dtype=np.float64
    )
    try:
        table = vectoriser.fit_transform(texts)
    except ValueError:  # nothing stands in two texts
        return None
    inverse = np.linalg.inv((table @ table.T).toarray() + RIDGE * np.eye(len(texts)))
    shuffled = _shuffled(sides, strata, times=PERMUTATIONS if is_enough else 0)
    found = _correlations(inverse, shuffled, strata)
    threshold = limit("text", found[1:]) if is_enough else None
    weights = table.T @ (inverse @ _centred(sides[:, None], strata)[:, 0])
    words = _telling(vectoriser.get_feature_names_out(), weights, (table > 0), sides == 1)
    return Told(signal=Signal(name="text", value=float(found[0]), threshold=threshold), words=words)


def _first(texts: Sequence[str], sides: Numbers) -> NDArray[np.bool_]:
    """Which texts are the first of their near-duplicates on their side."""
    first = np.zeros(len(texts), dtype=bool)
    for side in (0.0, 1.0):
        own = np.flatnonzero(sides == side)
        found = np.array(groups([texts[index] for index in own.tolist()]), dtype=np.int64)
        first[own[found == np.arange(len(own))]] = True
    return first


def _usable(strata: Indices, sides: Numbers) -> NDArray[np.bool_]:
    """Which texts are of a stratum that has enough of both sides."""
    usable = np.zeros(len(strata), dtype=bool)
    for stratum in np.unique(strata[strata >= 0]).tolist():
        own = strata == stratum
        if min((sides[own] == 1).sum(), (sides[own] == 0).sum()) >= LEAST_STRATUM:
            usable |= own
    return usable


def _shuffled(sides: Numbers, strata: Indices, *, times: int) -> Numbers:
    """The sides, and then so many shufflings of them within strata: shape (n_texts, 1 + times)."""
    chance = np.random.RandomState(SEED)
    columns = np.repeat(sides[:, None], 1 + times, axis=1)
    for stratum in np.unique(strata).tolist():
        own = np.flatnonzero(strata == stratum)
        order = chance.rand(times, len(own)).argsort(axis=1)
        columns[own, 1:] = sides[own][order].T
    return columns


def _centred(columns: Numbers, strata: Indices) -> Numbers:
    """Each column less its mean within each stratum: so a stratum's share of recent texts says nothing."""
    centred = columns.copy()
    for stratum in np.unique(strata).tolist():
        own = strata == stratum
        centred[own] -= columns[own].mean(axis=0)
    return centred


def _correlations(inverse: Numbers, columns: Numbers, strata: Indices) -> Numbers:
    """The correlations of leave-one-out scores with who is recent, shape (n_columns,), both centred within strata."""
    wanted = _centred(columns, strata)
    scores = _centred(wanted - (inverse @ wanted) / inverse.diagonal()[:, None], strata)
    spread = np.sqrt((scores**2).sum(axis=0) * (wanted**2).sum(axis=0))
    found: Numbers = (scores * wanted).sum(axis=0) / np.maximum(spread, np.finfo(np.float64).tiny)
    return found


def _telling(
    names: NDArray[np.str_], weights: Numbers, holds: csr_array, is_recent: NDArray[np.bool_]
) -> tuple[TellingWord, ...]:
    """The words with the largest weight for each side, among those that stand in enough of its texts."""
    sides = {"recent": is_recent, "reference": ~is_recent}
    counts = {side: np.asarray(holds[rows].sum(axis=0), dtype=np.float64).ravel() for side, rows in sides.items()}
    shares = {side: counts[side] / rows.sum() for side, rows in sides.items()}
    is_word = np.array([re.fullmatch(WORD_PATTERN, name) is not None for name in names.tolist()])
    told = []
    for side, other, sign in (("recent", "reference", 1.0), ("reference", "recent", -1.0)):
        is_frequent = is_word & (counts[side] >= LEAST_TEXTS) & (shares[side] >= LEAST_RATIO * shares[other])
        candidates = np.flatnonzero(is_frequent & (sign * weights > 0))
        for index in candidates[np.argsort(-sign * weights[candidates], kind="stable")][:TOLD].tolist():
            by_side = {name: float(share[index]) for name, share in shares.items()}
            told.append(TellingWord(word=str(names[index]), side=side, **by_side))
    return tuple(told)
