"""A ticket's text: how it is normalised, fingerprinted, and told from its near-duplicates.

What the vectorisers make of the text is featurise.py; which split a near-duplicate group goes to is split.py.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

NEAR = 0.8  # Jaccard from which two tickets are the same one reworded: a changed name, number or greeting
SHINGLE = 5  # characters: shorter ones are shared by unrelated texts, longer ones by no two
BANDS = 16  # x ROWS minima: two texts of Jaccard s share a band with probability 1 - (1 - s**5)**16
ROWS = 5
HEAD = 20_000  # characters that are banded; a text as long as a book must not ask for gigabytes of scratch
CHUNK = 100  # texts banded at once: half the time of 500, whose scratch outgrows the processor's cache
PARTNERS = 50  # alphabetical neighbours compared in one band: a template with 10,000 variants stays linear
PAIRS = 20_000  # pairs verified at once: bounds the scratch of the sparse products

# Control, format and lone surrogates: they are seen by no reader. ZWJ and ZWNJ are among the format characters.
INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
# Marks and fillers that have no width either, though Unicode files them under letters and marks (Default_Ignorable).
IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
DIGIT = re.compile(r"\d")


def normalise(text: str) -> str:
    r"""The text as the vectorisers see it: NFC, casefolded, no invisible characters, single spaces.

    White space of any kind becomes one space; zero-width, format and control characters and lone surrogates vanish.
    Idempotent: normalise(normalise(text)) == normalise(text).
    Source: canonical caseless matching, The Unicode Standard, section 3.13, D145, composed again at the end.

    >>> normalise("  My\tCARD\u200b was\r\n charged ")
    'my card was charged'
    >>> normalise("STRASSE") == normalise("Straße")
    True
    """
    text = " ".join(text.split())
    if not text.isprintable():
        seen = "".join(letter for letter in text if unicodedata.category(letter) not in INVISIBLE)
        text = " ".join(seen.split())
    if text.isascii():
        return text.lower()
    # Decomposed before folding: some capitals fold differently once their marks stand alone (U+0345).
    folded = unicodedata.normalize("NFD", IGNORABLE.sub("", text)).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def fingerprint(rows: Iterable[tuple[str, str]]) -> str:
    """The SHA-256, in hex, of a set of (text, label) rows, whatever their order.

    The normalised text and the label as it stands are hashed apart, so no character can wander between them
    unnoticed; a row given twice counts twice.

    >>> fingerprint([("Refund!", "billing"), ("Hello", "general")])[:16]
    '4a9e52de4cd5a3b6'
    >>> fingerprint([("hello ", "general"), ("REFUND!", "billing")])[:16]
    '4a9e52de4cd5a3b6'
    """
    digests = sorted(
        sha256(normalise(text).encode()).digest() + sha256(label.encode("utf-8", "surrogatepass")).digest()
        for text, label in rows
    )
    return sha256(b"".join(digests)).hexdigest()


def folded(text: str) -> str:
    """The text as near-duplicates are compared: normalised, every digit a 0.

    >>> folded("Order 4711 is LATE")
    'order 0000 is late'
    """
    return DIGIT.sub("0", normalise(text))


def shingles(text: str) -> frozenset[str]:
    """The distinct runs of five characters of the folded text; a shorter text is its own one shingle.

    >>> sorted(shingles("Pay 12"))
    ['ay 00', 'pay 0']
    """
    return _shingles(folded(text))


def similarity(a: str, b: str) -> float:
    """Jaccard similarity of two texts' shingles: shared over all, from 0.0 to 1.0.

    >>> similarity("abcdefg", "abcdefx")  # abcde and bcdef of abcde, bcdef, cdefg, cdefx
    0.5
    """
    left, right = shingles(a), shingles(b)
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def near(a: str, b: str) -> bool:
    """Whether two texts are near-duplicates.

    >>> near("Where is my parcel 1234567890?", "where is my parcel 9876543210?")
    True
    """
    return similarity(a, b) >= NEAR


def bands(text: str) -> tuple[int, ...]:
    """The MinHash of the text's shingles, as 16 signed 64-bit numbers for one indexed database column.

    Two texts of Jaccard similarity s share at least one number with probability 1 - (1 - s**5)**16: 0.998 at 0.8,
    0.40 at 0.5, 0.005 at 0.2. Each number carries its band's index, so that equal numbers mean equal bands. They are
    the same in every process and on every machine. Only the first 20,000 characters are looked at.
    Source: Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, chapter 3.

    >>> len(set(bands("where is my card")) & set(bands("Where is  MY card")))
    16
    """
    return tuple(_signatures([folded(text)])[0].tolist())


def banded(texts: Sequence[str]) -> NDArray[np.int64]:
    """The bands of many texts, shape (n_texts, 16): three times as fast as one by one.

    >>> banded(["where is my card"]).tolist() == [list(bands("where is my card"))]
    True
    """
    return _signatures([folded(text) for text in texts])


def groups(texts: Sequence[str]) -> list[int]:
    """The near-duplicate group of each text, named by the index of the group's first text.

    A group is a connected component over verified near pairs. Pairs are proposed by a shared band, and in a band held
    by more than 51 different texts each is compared with its 50 alphabetical followers only: time stays linear.

    >>> groups(["Where is my parcel 111?", "Refund please", "where is my parcel 222?"])
    [0, 1, 0]
    """
    keys = [folded(text) for text in texts]
    unique = sorted(set(keys))
    component = _components(unique)
    name = dict(zip(unique, component.tolist(), strict=True))
    first: dict[int, int] = {}
    return [first.setdefault(name[key], index) for index, key in enumerate(keys)]


def near_pairs(texts: Sequence[str], *, sides: Sequence[str]) -> list[tuple[int, int]]:
    """The near-duplicate pairs (i < j) of texts that stand on different sides, each once, in order.

    sides: one name for each text, such as its split. Bounded as groups is.

    >>> near_pairs(["parcel 1 lost", "Parcel 2 lost", "parcel 3 lost"], sides=["train", "train", "test"])
    [(0, 2), (1, 2)]
    """
    keys = [folded(text) for text in texts]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    ordered = [keys[index] for index in order]
    names = {side: number for number, side in enumerate(dict.fromkeys(sides))}
    side = np.array([names[sides[index]] for index in order], dtype=np.int64)
    found: set[tuple[int, int]] = set()
    sets = _sets(ordered)
    for left, right in _candidates(_signatures(ordered)):
        apart = side[left] != side[right]
        left, right = _verified(sets, left[apart], right[apart])
        for one, other in zip(left.tolist(), right.tolist(), strict=True):
            i, j = sorted((order[one], order[other]))
            found.add((i, j))
    return sorted(found)


# ---- below: shingles of many texts at once, as 64-bit hashes ------------------------------------------------------


def _shingles(key: str) -> frozenset[str]:
    if len(key) < SHINGLE:
        return frozenset({key})
    return frozenset(key[start : start + SHINGLE] for start in range(len(key) - SHINGLE + 1))


def _constants(count: int, *, seed: int) -> NDArray[np.uint64]:
    """Fixed odd 64-bit numbers, shape (count,): splitmix64, since numpy's generators may change their streams."""
    state = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return _mixed(state) | np.uint64(1)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: every bit of the input moves half the bits of the output."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


PLACE = _constants(SHINGLE, seed=1)
FACTOR = _constants(BANDS * ROWS, seed=2)[:, None]
OFFSET = _constants(BANDS * ROWS, seed=3)[:, None]
ROW = _constants(ROWS, seed=4)[None, :, None]
BAND = _constants(BANDS, seed=5)[:, None]
HIGH = np.uint64(32)


def _windows(keys: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of all shingles, text after text, shape (n_windows,), and how many each text has, shape (n_texts,)."""
    padded = [key.ljust(SHINGLE, "\0") for key in keys]  # no normalised text holds a NUL: a short text stays itself
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    counts = np.array([len(key) - SHINGLE + 1 for key in padded], dtype=np.int64)
    rolled = codes[: len(codes) - SHINGLE + 1] * PLACE[0]
    for place in range(1, SHINGLE):
        rolled += codes[place : len(codes) - SHINGLE + 1 + place] * PLACE[place]
    if len(padded) > 1:  # four windows after each text reach into the next one: step over them
        within = np.arange(int(counts.sum())) + np.repeat((SHINGLE - 1) * np.arange(len(padded)), counts)
        rolled = rolled[within]
    return _mixed(rolled), counts


def _signatures(keys: Sequence[str]) -> NDArray[np.int64]:
    """The bands of folded texts, shape (n_texts, 16)."""
    found = np.empty((len(keys), BANDS), dtype=np.int64)
    for start in range(0, len(keys), CHUNK):
        hashes, counts = _windows([key[:HEAD] for key in keys[start : start + CHUNK]])
        permuted = (FACTOR * hashes + OFFSET) >> HIGH
        minima = np.minimum.reduceat(permuted, np.cumsum(counts) - counts, axis=1)
        mixed = _mixed((minima.reshape(BANDS, ROWS, -1) * ROW).sum(axis=1) + BAND)
        found[start : start + CHUNK] = mixed.view(np.int64).T
    return found


def _sets(keys: Sequence[str]) -> csr_array:
    """The shingle sets as a matrix of ones, shape (n_texts, 2**31 - 1).

    A shingle's column is 31 bits of its hash: numbering the shingles that occur would take twice the time and memory,
    and of two texts with 1,000 shingles each, one pair in 1,000 has two that meet, which moves its Jaccard by 0.001.
    """
    columns, counts = [], []
    for start in range(0, len(keys), CHUNK):
        hashes, count = _windows(keys[start : start + CHUNK])
        columns.append((hashes % np.uint64(2**31 - 1)).astype(np.int32))
        counts.append(count)
    held = np.concatenate([*columns, np.empty(0, dtype=np.int32)])
    del columns
    starts = np.concatenate([[0], *counts]).cumsum().astype(np.int32)
    sets = csr_array((np.ones(len(held), dtype=np.int32), held, starts), shape=(len(keys), 2**31 - 1))
    sets.sum_duplicates()
    sets.data[:] = 1
    return sets


def _candidates(signatures: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Index pairs (left < right) that share a band, some arrays for each band; texts come in alphabetical order."""
    for column in signatures.T:
        order = np.argsort(column, kind="stable")
        held = column[order]
        for shift in range(1, min(PARTNERS, len(order) - 1) + 1):
            same = held[shift:] == held[:-shift]
            if not same.any():
                break
            yield order[:-shift][same], order[shift:][same]


def _verified(
    sets: csr_array, left: NDArray[np.int64], right: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those of the pairs whose Jaccard similarity is at least NEAR."""
    size = np.diff(sets.indptr)
    smaller, larger = np.minimum(size[left], size[right]), np.maximum(size[left], size[right])
    possible = smaller >= NEAR * larger  # no set can share more than the smaller one holds
    left, right = left[possible], right[possible]
    keep = np.zeros(len(left), dtype=bool)
    for start in range(0, len(left), PAIRS):
        here = slice(start, start + PAIRS)
        shared = np.asarray(sets[left[here]].multiply(sets[right[here]]).sum(axis=1)).ravel()
        keep[here] = shared / (size[left[here]] + size[right[here]] - shared) >= NEAR
    return left[keep], right[keep]


def _components(keys: Sequence[str]) -> NDArray[np.int64]:
    """The component of each of the alphabetically ordered, different folded texts, shape (n_texts,)."""
    component = np.arange(len(keys))
    if len(keys) < 2:
        return component
    sets = _sets(keys)
    for left, right in _candidates(_signatures(keys)):
        apart = component[left] != component[right]  # a pair that is joined already need not be compared
        left, right = _verified(sets, left[apart], right[apart])
        if len(left):
            edges = (np.ones(len(left), dtype=bool), (component[left], component[right]))
            merged = connected_components(coo_array(edges, shape=(len(keys), len(keys))), directed=False)[1]
            component = merged[component]
    return component
