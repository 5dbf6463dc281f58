"""What a text is to the models: its normalised form, its fingerprint, and which other texts are nearly the same."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

NEAR = 0.8  # Jaccard similarity from which two texts count as the same ticket; the design's decision 5
SHINGLE = 5  # characters of a shingle
N_BANDS = 16  # with 5 rows each, two texts of similarity s share a band with probability 1 - (1 - s^5)^16:
N_ROWS = 5  # 0.998 at 0.8, 0.40 at 0.5, 0.005 at 0.2
_PRIME = np.uint64(2**31 - 1)
_DIGITS = re.compile(r"\d")
_PLAIN = re.compile(r"[!-@\[-~a-z]+(?: [!-@\[-~a-z]+)*")  # nothing to do: lower-case ASCII, single spaces
_CONTROLS = {code: (" " if chr(code).isspace() else None) for code in (*range(32), *range(127, 160))}


def normalise(text: str) -> str:
    """The text as the vectorisers see it: NFC, no control or zero-width characters, casefolded, single spaces.

    Control characters that are white space become a space. Normalising twice changes nothing.

    >>> normalise("  My\\u200b CAF\\u0065\\u0301\\tis\\x00 closed ")
    'my café is closed'
    """
    if _PLAIN.fullmatch(text):
        return text
    if text.isascii():
        return " ".join(text.translate(_CONTROLS).lower().split())
    for _ in range(2):  # casefolding can take a text out of NFC; a second pass is where it comes to rest
        visible = "".join(
            character
            for character in unicodedata.normalize("NFC", text).translate(_CONTROLS)
            if unicodedata.category(character) not in ("Cf", "Cc")
        )
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", visible).casefold())
    return " ".join(text.split())


def fingerprint(rows: Iterable[tuple[str, str]]) -> str:
    """SHA-256, in hex, of a set of (text, label) rows in whatever order; a row that stands twice counts twice.

    The text is normalised first. Same rows, same fingerprint, on every machine.

    >>> fingerprint([("a", "x"), ("b", "y")]) == fingerprint([("B", "y"), ("a", "x")])
    True
    >>> fingerprint([("a", "bx")]) == fingerprint([("ab", "x")])
    False
    """
    digests = sorted(
        hashlib.sha256(hashlib.sha256(normalise(text).encode()).digest() + label.encode()).digest()
        for text, label in rows
    )
    return hashlib.sha256(b"".join(digests)).hexdigest()


def folded(text: str) -> str:
    """The normalised text with every digit as 0: order numbers and dates do not tell tickets apart.

    >>> folded("Order 4711")
    'order 0000'
    """
    return _DIGITS.sub("0", normalise(text))


def shingles(text: str) -> frozenset[str]:
    """The character 5-grams of the folded text; of a shorter one, the text itself.

    >>> sorted(shingles("Order 1"))
    ['der 0', 'order', 'rder ']
    """
    plain = folded(text)
    return frozenset(plain[start : start + SHINGLE] for start in range(max(1, len(plain) - SHINGLE + 1)))


def similarity(first: str, second: str) -> float:
    """The Jaccard similarity of two texts' shingles, 0 to 1.

    >>> similarity("abcdef", "abcdeg")  # abcde in both, bcdef and bcdeg in one each
    0.3333333333333333
    """
    one, other = shingles(first), shingles(second)
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def near(first: str, second: str) -> bool:
    """Whether two texts are near-duplicates: similarity of at least 0.8.

    >>> near("Where is order 12345?", "where is  order 99817?")
    True
    """
    return similarity(first, second) >= NEAR


def _multipliers() -> tuple[np.ndarray, np.ndarray]:
    """The fixed coefficients of the hash functions, drawn from SHA-256: the same on every machine and version of numpy."""
    drawn = [
        int.from_bytes(hashlib.sha256(f"ticketclf band {index}".encode()).digest()[:8], "big") % (2**31 - 2) + 1
        for index in range(2 * N_BANDS * N_ROWS)
    ]
    values = np.array(drawn, dtype=np.uint64)
    return values[: N_BANDS * N_ROWS, None], values[N_BANDS * N_ROWS :, None]


_FACTORS, _OFFSETS = _multipliers()
_POWERS = np.array([pow(1_000_003, power, 2**61 - 1) for power in range(SHINGLE)], dtype=np.uint64)
_MIX = np.array([pow(0x9E3779B97F4A7C15, row + 1, 2**64) for row in range(N_ROWS)], dtype=np.uint64)
_BAND_NUMBERS = np.arange(1, N_BANDS + 1, dtype=np.uint64) * np.uint64(0xD6E8FEB86659FD93)


def bands(text: str) -> tuple[int, ...]:
    """The text's MinHash in 16 bands, each one signed 64-bit integer that includes the band's number.

    Texts of similarity s share at least one band with probability 1 - (1 - s^5)^16: 0.998 at 0.8.
    Source: Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, section 3.4.

    >>> len(bands("Where is my parcel?")), bands("Where is order 1?") == bands("where is order 2?")
    (16, True)
    """
    codes = np.frombuffer(folded(text).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if len(codes) < SHINGLE:
        codes = np.concatenate([codes, np.zeros(SHINGLE - len(codes), dtype=np.uint64)])
    windows = np.lib.stride_tricks.sliding_window_view(codes, SHINGLE)
    # Wraps around 2^64, on purpose; the fold mixes the high bits into the 31 that are kept.
    hashes = (windows * _POWERS).sum(axis=1, dtype=np.uint64)
    hashes = (hashes ^ (hashes >> np.uint64(29))) % _PRIME
    lowest = ((_FACTORS * hashes + _OFFSETS) % _PRIME).min(axis=1).reshape(N_BANDS, N_ROWS)
    mixed = (lowest * _MIX).sum(axis=1, dtype=np.uint64) + _BAND_NUMBERS
    mixed ^= mixed >> np.uint64(31)
    return tuple(mixed.view(np.int64).tolist())


def groups(texts: Sequence[str]) -> list[int]:
    """For each text the index of the first text of its near-duplicate group (its own, if it stands alone).

    Groups are the connected components of verified near pairs that share a band.

    >>> groups(["Where is order 1?", "Thanks", "where is order 2?"])
    [0, 1, 0]
    """
    parents = list(range(len(texts)))
    first_of: dict[str, int] = {}  # texts that fold to the same need no comparison
    standing_for: dict[int, list[int]] = defaultdict(list)  # band -> one text of each group met there
    for index, text in enumerate(texts):
        plain = folded(text)
        same = first_of.setdefault(plain, index)
        if same != index:
            _join(parents, same, index)
            continue
        for band in bands(text):
            _meet(parents, standing_for[band], index, texts)
    return [_root(parents, index) for index in range(len(texts))]


def _meet(parents: list[int], met: list[int], index: int, texts: Sequence[str]) -> None:
    """Joins a text to the groups among those it met in one band."""
    joined = False
    for other in met:
        if _root(parents, other) == _root(parents, index):
            joined = True
        elif near(texts[other], texts[index]):
            _join(parents, other, index)
            joined = True
    if not joined or len(met) < 8:  # a few of a group are enough to be met by: a band of thousands stays short
        met.append(index)


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def _join(parents: list[int], first: int, second: int) -> None:
    one, other = _root(parents, first), _root(parents, second)
    parents[max(one, other)] = min(one, other)
