"""TF-IDF by hand, equal to scikit-learn's and ten to twenty times faster for one text: nothing is set up per call.

The weights are fitted by scikit-learn (pipeline.py); what is made of the features is model.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from classifier.ml.text import normalise

WORD_PATTERN = r"(?u)\b\w\w+\b"  # scikit-learn's default, which the recipes use as it is
WORDS = re.compile(WORD_PATTERN).findall
# The words of customers are unbounded, the memory of a web process is not: 20,000 words with some 20 n-grams each are
# about 8 MB. A full cache is emptied, not trimmed: the common words are back within a few tickets.
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

    @property
    def has_distinct_terms(self) -> bool:
        return len(self._words) + len(self._pieces) == sum(len(part.terms) for part in self.parts)

    def describe(self, column: int) -> tuple[str, str]:
        """The kind ("word" or "characters") and the text of a column's term."""
        if self.character and column >= len(self.word.terms):
            return "characters", self.character.terms[column - len(self.word.terms)]
        return "word", self.word.terms[column]

    def features(self, text: str) -> Features:
        """What the text holds of the vocabulary, weighted as the fitted vectorisers do: tf x idf, length 1 per part."""
        clean = normalise(text)
        words, unknown = self._word_columns(clean)
        columns = np.array(words, dtype=np.int32)
        if self.character:
            columns = np.concatenate([columns, *self._character_columns(clean)])
        columns, counts = _counted(columns)
        weights = counts.astype(np.float64)
        edge = int(columns.searchsorted(len(self.word.terms)))
        for part, here in zip(self.parts, (slice(None, edge), slice(edge, None)), strict=False):
            found = weights[here]  # a view: what follows is written into weights
            if part.sublinear:
                np.log(found, out=found)
                found += 1.0
            found *= self.idf[columns[here]]
            found /= sqrt(found @ found) or 1.0
        return Features(columns, weights, unknown)

    def table(self, texts: Sequence[str]) -> tuple[csr_array, NDArray[np.float64]]:
        """The features of many texts, shape (n_texts, n_terms), and their shares of unknown words, shape (n_texts,).

        The same numbers as features() gives, but counted and weighted for all texts at once: for a batch of short
        texts numpy's cost per call is most of the time.
        """
        words: list[int] = []
        pieces: list[NDArray[np.int32]] = []
        n_words, n_pieces, unknown = [], [], []
        for text in texts:
            clean = normalise(text)
            known, share = self._word_columns(clean)
            found = self._character_columns(clean) if self.character else []
            words += known
            pieces += found
            n_words.append(len(known))
            n_pieces.append(sum(map(len, found)))
            unknown.append(share)
        place = np.arange(len(texts)) * self.n_terms  # one number for each cell of the table
        cells = np.concatenate([np.array(words, dtype=np.int32), *pieces]) + np.concatenate(
            [np.repeat(place, n_words), np.repeat(place, n_pieces)]
        )
        cells, counts = _counted(cells)
        rows, columns = np.divmod(cells, self.n_terms)
        weights = self._weighed(rows, columns, counts=counts)
        ends = np.searchsorted(rows, np.arange(len(texts) + 1))
        return csr_array((weights, columns, ends), shape=(len(texts), self.n_terms)), np.array(unknown)

    def _weighed(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], *, counts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The weights, tf x idf, of the cells of a table, of Euclidean length 1 in each row and part."""
        weights = counts.astype(np.float64)
        is_word = columns < len(self.word.terms)
        for part, here in zip(self.parts, (is_word, ~is_word), strict=False):
            found = weights[here]
            if part.sublinear:
                found = np.log(found) + 1.0
            found *= self.idf[columns[here]]
            lengths = np.sqrt(np.bincount(rows[here], weights=found * found))
            weights[here] = found / lengths[rows[here]]
        return weights

    def _word_columns(self, clean: str) -> tuple[list[int], float]:
        """Columns of the word n-grams, one for each occurrence, and the share of words that have none."""
        known = self._words.get
        tokens = WORDS(clean)
        if self.word.stop_words:
            tokens = [token for token in tokens if token not in self.word.stop_words]
        columns = [column for column in map(known, tokens) if column is not None]
        unknown = 1.0 - len(columns) / len(tokens) if tokens else 1.0
        if self.word.longest == 2:
            pairs = [f"{a} {b}" for a, b in pairwise(tokens)]
            columns += [column for column in map(known, pairs) if column is not None]
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
            pieces = [padded[start : start + length] for start in starts]
            columns += [column for column in map(known, pieces) if column is not None]
            if len(starts) == 1:
                break
        return np.array(columns, dtype=np.int32)


def _counted(columns: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct numbers in ascending order, and how often each occurs: np.unique without its overhead."""
    columns.sort()
    fresh = np.ones(len(columns) + 1, dtype=bool)
    np.not_equal(columns[1:], columns[:-1], out=fresh[1:-1])
    starts = fresh.nonzero()[0]
    return columns[starts[:-1]], starts[1:] - starts[:-1]
