"""TF-IDF by hand, equal to scikit-learn's and twenty times faster for one text, because nothing is set up per call.

The weights are fitted by scikit-learn (pipeline.py); what is made of the features is model.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from classifier.ml.text import normalise

TOKEN_PATTERN = r"(?u)\b\w\w+\b"  # scikit-learn's default, which the recipes use as it is
TOKENS = re.compile(TOKEN_PATTERN).findall
# The words of customers are unbounded, the memory of a web process is not: 20,000 words with some 20 n-grams each are
# about 6 MB. A full cache is emptied, not trimmed: the common words are back within a few tickets.
MEMO_WORDS = 20_000
MEMO_LETTERS = 40  # longer "words" are keys, links and scripts without spaces: they do not come again
NO_COLUMNS: NDArray[np.int32] = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One fitted vectoriser: what it counts, the terms it knows and their weights.

    analyzer: "word" or "char_wb", as scikit-learn names them. shortest, longest: the n of its n-grams.
    idf: the terms' inverse document frequencies, shape (n_terms,).
    """

    analyzer: str
    shortest: int
    longest: int
    sublinear: bool
    stop_words: frozenset[str]
    terms: tuple[str, ...]
    idf: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Features:
    """One text's features: columns in ascending order, shape (n,), their weights, shape (n,), and unknown words.

    unknown: share of the text's words that the vocabulary lacks, 0.0 to 1.0; 1.0 for a text without any word.
    """

    columns: NDArray[np.int32]
    weights: NDArray[np.float64]
    unknown: float


@dataclass(frozen=True, eq=False)
class Tfidf:
    """The featuriser "tfidf": a word part and, if wanted, a character part, side by side.

    Columns are those of scikit-learn's FeatureUnion: first the words' terms, then the characters'.
    """

    word: Part
    character: Part | None = None
    _words: dict[str, int] = field(init=False, repr=False)
    _pieces: dict[str, int] = field(init=False, repr=False)
    idf: NDArray[np.float64] = field(init=False, repr=False)
    _memo: dict[str, NDArray[np.int32]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.word.terms)
        pieces = self.character.terms if self.character else ()
        idf = [part.idf for part in self.parts]
        object.__setattr__(self, "_words", dict(zip(self.word.terms, range(count), strict=True)))
        object.__setattr__(self, "_pieces", dict(zip(pieces, range(count, count + len(pieces)), strict=True)))
        object.__setattr__(self, "idf", np.concatenate(idf))

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.word, self.character) if self.character else (self.word,)

    @property
    def n_terms(self) -> int:
        return len(self.idf)

    def describe(self, column: int) -> tuple[str, str]:
        """The kind ("word" or "characters") and the text of a column's term."""
        if self.character and column >= len(self.word.terms):
            return "characters", self.character.terms[column - len(self.word.terms)]
        return "word", self.word.terms[column]

    def features(self, text: str) -> Features:
        """What the text holds of the vocabulary, weighted as the fitted vectorisers do: tf x idf, length 1 per part."""
        clean = normalise(text)
        words, unknown = self._word_columns(clean)
        found = [np.array(words, dtype=np.int32)]
        if self.character:
            found += self._character_columns(clean)
        columns = np.concatenate(found)
        if not len(columns):
            return Features(columns, np.empty(0), unknown)
        columns, counts = _counted(columns)
        weights = counts.astype(np.float64)
        edge = int(np.searchsorted(columns, len(self.word.terms)))
        for part, here in zip(self.parts, (slice(None, edge), slice(edge, None)), strict=False):
            _weigh(weights[here], idf=self.idf[columns[here]], sublinear=part.sublinear)
        return Features(columns, weights, unknown)

    def _word_columns(self, clean: str) -> tuple[list[int], float]:
        """Columns of the word n-grams, one for each occurrence, and the share of words that have none."""
        known = self._words.get
        tokens = TOKENS(clean)
        if self.word.stop_words:
            tokens = [token for token in tokens if token not in self.word.stop_words]
        columns = [column for token in tokens if (column := known(token)) is not None]
        unknown = 1.0 - len(columns) / len(tokens) if tokens else 1.0
        if self.word.longest == 2:
            columns += [column for a, b in pairwise(tokens) if (column := known(f"{a} {b}")) is not None]
        return columns, unknown

    def _character_columns(self, clean: str) -> list[NDArray[np.int32]]:
        """For each word of the text, the columns of its character n-grams.

        Read and written by several threads: each dict operation is whole under the GIL, and two threads that compute
        the same word write the same array.
        """
        memo = self._memo
        found = []
        for word in clean.split(" "):
            columns = memo.get(word)
            if columns is None:
                columns = self._spell(word)
                if len(word) <= MEMO_LETTERS:
                    if len(memo) >= MEMO_WORDS:
                        memo.clear()
                    memo[word] = columns
            found.append(columns)
        return found

    def _spell(self, word: str) -> NDArray[np.int32]:
        """Columns of the character n-grams of one word, one for each occurrence, as scikit-learn's char_wb cuts it.

        The word is padded with one space on either side; a padded word not longer than n counts once, as a whole, and
        no longer n-gram is cut from it.
        """
        if not word or not self.character:  # an empty text has no words, though split(" ") gives one
            return NO_COLUMNS
        padded = f" {word} "
        known = self._pieces.get
        columns = []
        for length in range(self.character.shortest, self.character.longest + 1):
            starts = range(max(len(padded) - length, 0) + 1)
            pieces = (padded[start : start + length] for start in starts)
            columns += [column for piece in pieces if (column := known(piece)) is not None]
            if len(starts) == 1:
                break
        return np.array(columns, dtype=np.int32)


def stacked(rows: Sequence[Features]) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]:
    """The features of many texts as the three arrays of a sparse row matrix: weights, columns, row ends."""
    ends = np.cumsum([0, *(len(row.columns) for row in rows)])
    return np.concatenate([row.weights for row in rows]), np.concatenate([row.columns for row in rows]), ends


def _counted(columns: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The distinct columns in ascending order, and how often each occurs: np.unique without its overhead."""
    columns.sort()
    fresh = np.empty(len(columns) + 1, dtype=bool)
    fresh[0] = fresh[-1] = True
    np.not_equal(columns[1:], columns[:-1], out=fresh[1:-1])
    starts = np.flatnonzero(fresh)
    return columns[starts[:-1]], starts[1:] - starts[:-1]


def _weigh(counts: NDArray[np.float64], *, idf: NDArray[np.float64], sublinear: bool) -> None:
    """Turns the counts of one part into tf x idf of Euclidean length 1, in place."""
    if sublinear:
        np.log(counts, out=counts)
        counts += 1.0
    counts *= idf
    length = float(np.sqrt(counts @ counts))
    if length:
        counts /= length
