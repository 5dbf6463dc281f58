"""TF-IDF by hand, equal to scikit-learn's and ten to twenty times faster for one text: nothing is set up per call.

The weights are fitted by scikit-learn (pipeline.py); what is made of the features is model.py.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from classifier.ml.text import normalise

WORD_PATTERN = r"(?u)\b\w\w+\b"  # scikit-learn's default, which the recipes use as it is
WORDS = re.compile(WORD_PATTERN).findall
# The words of customers are unbounded, the memory of a web process is not: at the 410 bytes a word that the shipped
# tickets take, 20,000 words are 8 MB. A full cache is emptied, not trimmed: the common words are back in a few tickets.
MEMO_WORDS = 20_000
MEMO_LETTERS = 40  # longer "words" are keys, links and scripts without spaces: they do not come again


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

    unknown: share of the text's words that the vocabulary lacks, 0.0 to 1.0; 1.0 for a text without any word. A number
    or code that it lacks is none.
    """

    columns: NDArray[np.int32]
    weights: NDArray[np.float64]
    unknown: float


class Word(NamedTuple):
    """What is known of a run of letters between two spaces, once and for all texts.

    columns: of its tokens, their pairs and its character n-grams, one for each occurrence. n_tokens, n_known: how many
    tokens count as words, which an unknown number or code does not, and how many of them the vocabulary knows. first:
    its first token, "" if none. followers: the tokens that make a known pair after its last token, and its column.
    """

    columns: NDArray[np.int32]
    n_tokens: int
    n_known: int
    first: str
    followers: dict[str, int]


@dataclass(frozen=True, eq=False)
class Tfidf:
    """The featuriser "tfidf": a word part and, if wanted, a character part, side by side.

    Columns are those of scikit-learn's FeatureUnion: first the words' terms, then the characters'.
    """

    word: Part
    character: Part | None = None
    _words: dict[str, int] = field(init=False, repr=False)
    _pairs: dict[str, dict[str, int]] = field(init=False, repr=False)
    _pieces: dict[str, int] = field(init=False, repr=False)
    idf: NDArray[np.float64] = field(init=False, repr=False)
    _memo: dict[str, Word] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.word.terms)
        pieces = self.character.terms if self.character else ()
        idf = [part.idf for part in self.parts]
        object.__setattr__(self, "_words", dict(zip(self.word.terms, range(count), strict=True)))
        object.__setattr__(self, "_pairs", _followers(self._words))
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
        arrays, pairs, unknown = self._read(text)
        columns, counts = _counted(np.concatenate([np.array(pairs, dtype=np.int32), *arrays]))
        weights = counts.astype(np.float64)
        edge = int(columns.searchsorted(len(self.word.terms)))
        for part, here in zip(self.parts, (slice(None, edge), slice(edge, None)), strict=False):
            found = weights[here]  # a view: what follows is written into weights
            if part.sublinear:
                np.log(found, out=found)
                found += 1.0
            found *= self.idf.take(columns[here])
            found /= sqrt(found.dot(found)) or 1.0
        return Features(columns, weights, unknown)

    def table(self, texts: Sequence[str]) -> tuple[csr_array, NDArray[np.float64]]:
        """The features of many texts, shape (n_texts, n_terms), and their shares of unknown words, shape (n_texts,).

        The same numbers as features() gives, but counted and weighted for all texts at once: for a batch of short
        texts numpy's cost per call is most of the time.
        """
        pairs: list[int] = []
        arrays: list[NDArray[np.int32]] = []
        n_pairs, n_columns, unknown = [], [], []
        for text in texts:
            found, paired, share = self._read(text)
            pairs += paired
            arrays += found
            n_pairs.append(len(paired))
            n_columns.append(sum(map(len, found)))
            unknown.append(share)
        place = np.arange(len(texts)) * self.n_terms  # one number for each cell of the table
        cells = np.concatenate([np.array(pairs, dtype=np.int32), *arrays]) + np.concatenate(
            [np.repeat(place, n_pairs), np.repeat(place, n_columns)]
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

    def _read(self, text: str) -> tuple[list[NDArray[np.int32]], list[int], float]:
        """The columns of each word of a text, those of pairs across words, and the share of unknown tokens.

        A token never reaches over a space, so all that does not depend on the neighbours is remembered by word. Read
        and written by several threads: each dict operation is whole under the GIL, and two threads that spell the same
        word write the same.
        """
        remembered = self._memo.get
        arrays, pairs = [], []
        tokens = known = 0
        followers: dict[str, int] = {}
        for word in normalise(text).split(" "):
            columns, n_tokens, n_known, first, next_followers = remembered(word) or self._spell(word)
            arrays.append(columns)
            tokens += n_tokens
            known += n_known
            if first:
                if first in followers:
                    pairs.append(followers[first])
                followers = next_followers
        return arrays, pairs, 1.0 - known / tokens if tokens else 1.0

    def _spell(self, word: str) -> Word:
        """What is known of a word, and a place in the memory for it."""
        tokens = [token for token in WORDS(word) if token not in self.word.stop_words]
        columns = _known(self._words, tokens)
        n_known = len(columns)
        columns += [self._pairs[a][b] for a, b in pairwise(tokens) if b in self._pairs.get(a, ())]
        if self.character:
            columns += _known(self._pieces, _pieces(word, self.character.shortest, self.character.longest))
        spelled = Word(
            columns=np.array(columns, dtype=np.int32),
            # An order number that was never seen says nothing of the language, so it counts neither way.
            n_tokens=n_known + sum(token not in self._words and not _has_digit(token) for token in tokens),
            n_known=n_known,
            first=tokens[0] if tokens else "",
            followers=self._pairs.get(tokens[-1], {}) if tokens else {},
        )
        if len(word) <= MEMO_LETTERS:
            if len(self._memo) >= MEMO_WORDS:
                self._memo.clear()
            self._memo[word] = spelled
        return spelled


def _has_digit(token: str) -> bool:
    return any(letter.isdigit() for letter in token)


def _known(columns: dict[str, int], terms: Iterable[str]) -> list[int]:
    """The columns of those terms that have one."""
    return [column for column in map(columns.get, terms) if column is not None]


def _pieces(word: str, shortest: int, longest: int) -> Iterator[str]:
    """The character n-grams of one word, as scikit-learn's char_wb cuts it.

    The word is padded with one space on either side; a padded word not longer than n counts once, as a whole, and no
    longer n-gram is cut from it. An empty word has none.

    >>> list(_pieces("ab", 2, 5))
    [' a', 'ab', 'b ', ' ab', 'ab ', ' ab ']
    """
    padded = f" {word} "
    for length in range(shortest, longest + 1) if word else ():
        yield from (padded[start : start + length] for start in range(max(len(padded) - length, 0) + 1))
        if len(padded) <= length:
            return


def _followers(words: dict[str, int]) -> dict[str, dict[str, int]]:
    """The columns of pairs by their first and then their second token: no string is built to look a pair up.

    >>> _followers({"card": 0, "card lost": 1, "card gone": 2})
    {'card': {'lost': 1, 'gone': 2}}
    """
    pairs: dict[str, dict[str, int]] = {}
    for term, column in words.items():
        first, space, second = term.partition(" ")
        if space:
            pairs.setdefault(first, {})[second] = column
    return pairs


def _counted(columns: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct numbers in ascending order, and how often each occurs: np.unique without its overhead."""
    columns.sort()
    fresh = np.ones(len(columns) + 1, dtype=bool)
    np.not_equal(columns[1:], columns[:-1], out=fresh[1:-1])
    starts = fresh.nonzero()[0]
    return columns[starts[:-1]], starts[1:] - starts[:-1]
