"""Normalising, fingerprints and near-duplicates."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.ml import text as texts_module
from classifier.ml.text import bands, fingerprint, folded, groups, near, near_pairs, normalise, shingles, similarity

# Characters that fold, compose or vanish in odd ways come up more often than by chance.
ODD = (
    "\u0130\u0131ß\u017f\u0390\u0149\u01f0\u1e9e\u0345\u0301\u0323\ufb03\u212bÅ\uff21\u2460\u200b\u200d\ufeff\u00ad\ufe0f\u034f\u3164"
    "\x00\x1b\x7f\x85\u2028 \t\r\n👩\u200d💻\u02bcn\uac00\uac01\u1100\u1161\ud800"
)
texts = st.text(st.one_of(st.sampled_from(ODD), st.characters()), max_size=40)
ROOT = Path(__file__).resolve().parents[3]
SENTENCE = "my parcel number {} has not arrived and nobody answers my calls about it"


# --- normalise ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\r\n\x0b\x0c\x1c\x85\u00a0\u2003\u2028\u3000", ""),
        ("App\tkeeps\r\n CRASHING", "app keeps crashing"),
        ("pass\u200bword re\u00adset\ufeff", "password reset"),
        ("a\x00b \x1b c", "ab c"),
        ("\u202eevil\u202c \ud800", "evil"),
        ("❤\ufe0f thanks", "❤ thanks"),
        ("Straße ΣΊΣΥΦΟΣ", "strasse σίσυφοσ"),
        ("cafe\u0301", "café"),
        ("e\u200d\u0301", "é"),
        ("£40 “quoted”", "£40 “quoted”"),
    ],
)
def test_normalise_gives_what_a_reader_sees(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(texts)
def test_normalise_is_idempotent(text: str) -> None:
    once = normalise(text)

    assert normalise(once) == once


@given(texts)
def test_normalised_text_is_composed_folded_and_has_no_invisible_characters(text: str) -> None:
    found = normalise(text)

    assert unicodedata.is_normalized("NFC", found)
    assert not {unicodedata.category(letter) for letter in found} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert found == " ".join(found.split())
    found.encode()


def test_normalise_is_idempotent_for_every_character() -> None:
    for start in range(0, 0x20000, 256):  # beyond are CJK characters, private use, and what the test above draws
        once = normalise(" ".join(f"a{chr(code)}\u0301" for code in range(start, start + 256)))
        assert normalise(once) == once


@given(st.text(st.characters(max_codepoint=127)))
def test_normalise_of_ascii_takes_the_short_way_to_the_same_end(text: str) -> None:
    assert normalise(text + " é")[: -len(" é")].strip() == normalise(text)


# --- fingerprint ----------------------------------------------------------------------------------
ROWS = [("Where is my card?", "shipping"), ("Refund", "billing"), ("Refund", "billing")]


def test_fingerprint_does_not_depend_on_the_order() -> None:
    assert fingerprint(ROWS) == fingerprint(reversed(ROWS))


def test_fingerprint_is_that_of_the_normalised_text() -> None:
    assert fingerprint([("  REFUND\u200b ", "billing")]) == fingerprint([("refund", "billing")])


@pytest.mark.parametrize(
    "other",
    [
        ROWS[:2],
        [*ROWS, ROWS[0]],
        [("Where is my card", "?shipping"), *ROWS[1:]],
        [("Where is my card?", "Shipping"), *ROWS[1:]],
        [("Refund", "shipping"), ("Where is my card?", "billing"), ROWS[2]],
    ],
)
def test_fingerprint_differs_when_rows_do(other: list[tuple[str, str]]) -> None:
    assert fingerprint(other) != fingerprint(ROWS)


def test_fingerprint_of_nothing_is_the_hash_of_nothing() -> None:
    assert fingerprint([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_fingerprint_takes_a_label_with_half_a_character() -> None:
    assert len(fingerprint([("text", "\ud800")])) == 64


# --- similarity -----------------------------------------------------------------------------------
def test_digits_are_folded() -> None:
    assert folded("Order 4711, ٣ items") == "order 0000, 0 items"


@pytest.mark.parametrize(
    ("text", "expected"), [("", {""}), ("Hi", {"hi"}), ("12345", {"00000"}), ("aaaaaaa", {"aaaaa"})]
)
def test_shingles_of_short_texts(text: str, expected: set[str]) -> None:
    assert shingles(text) == expected


def test_similarity_counts_shared_over_all_shingles() -> None:
    # abcde bcdef cdefg defgh of the first, abcde bcdef cdefg defgx of the second: 3 of 5
    assert similarity("abcdefgh", "abcdefgx") == 3 / 5


def test_near_starts_at_four_fifths() -> None:
    assert near("abcdefghijklm", "abcdefghijklmno")  # 9 shingles of 11: 0.82
    assert near("abcdefgh", "abcdefghi")  # 4 of 5: 0.8
    assert not near("abcdefg", "abcdefgh")  # 3 of 4
    assert near("", " ")


# --- bands ----------------------------------------------------------------------------------------
def test_bands_are_sixteen_different_signed_numbers() -> None:
    found = bands("my card was swallowed by the machine")

    assert len(set(found)) == 16
    assert all(-(2**63) <= number < 2**63 for number in found)
    assert min(found) < 0 < max(found)


def test_bands_are_the_same_in_every_process() -> None:
    script = "from classifier.ml.text import bands; print(*bands('Where is my card?'), *bands('ok'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert tuple(map(int, done.stdout.split())) == bands("Where is my card?") + bands("ok")


def test_bands_are_pinned_because_they_are_stored() -> None:
    assert bands("Where is my card?")[:2] == (-1067454035380736544, 7247157427222668727)


def test_equal_shingles_give_equal_bands() -> None:
    assert bands("aaaaaaaa 1") == bands("AAAAAAAAAA  2")


def test_bands_of_an_empty_and_of_a_huge_text() -> None:
    assert len(bands("")) == 16
    assert bands("x" * 30_000 + "tail") == bands("x" * 25_000)


def test_texts_of_jaccard_four_fifths_share_a_band_as_often_as_the_formula_says() -> None:
    chance = random.Random(1)
    letters = [chr(code) for code in range(0x4E00, 0x4E00 + 5000)]
    shared = []
    for _ in range(400):
        base = "".join(chance.sample(letters, 54))  # 50 windows, all different
        other = base[:-6] + "".join(chance.sample(letters, 6))  # 44 in common, 6 changed: 44 / 56
        shared.append(bool(set(bands(base)) & set(bands(other))))

    expected = 1 - (1 - (44 / 56) ** 5) ** 16  # 0.997
    assert abs(np.mean(shared) - expected) < 0.01


def test_one_band_agrees_as_often_as_its_five_minima_should() -> None:
    chance = random.Random(2)
    letters = [chr(code) for code in range(0x4E00, 0x4E00 + 5000)]
    agreed = []
    for _ in range(400):
        base = "".join(chance.sample(letters, 54))
        other = base[:-6] + "".join(chance.sample(letters, 6))
        agreed.append(len(set(bands(base)) & set(bands(other))) / 16)

    assert abs(np.mean(agreed) - (44 / 56) ** 5) < 0.03  # 0.299


# --- groups ---------------------------------------------------------------------------------------
def test_groups_name_the_first_text() -> None:
    found = groups(["Refund please!", SENTENCE.format(1), "hello", SENTENCE.format(22), "refund PLEASE!"])

    assert found == [0, 1, 2, 1, 0]


def test_groups_follow_a_chain_of_near_pairs() -> None:
    words = re.findall(
        r"\w+", "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    )
    chain = [" ".join(words[shift : shift + 12]) for shift in range(4)]

    assert near(chain[0], chain[1])
    assert not near(chain[0], chain[3])
    assert groups(chain) == [0, 0, 0, 0]


@pytest.mark.parametrize(("given_texts", "expected"), [([], []), (["only"], [0]), (["", " "], [0, 0])])
def test_groups_of_little(given_texts: list[str], expected: list[int]) -> None:
    assert groups(given_texts) == expected


@given(st.lists(st.text("ab ", max_size=14), max_size=25))
def test_groups_join_no_texts_without_a_chain_of_near_pairs(some: list[str]) -> None:
    expected = list(range(len(some)))
    for i, one in enumerate(some):
        for j, other in enumerate(some[:i]):
            if near(one, other):
                old, new = max(expected[i], expected[j]), min(expected[i], expected[j])
                expected = [new if group == old else group for group in expected]

    found = groups(some)

    # Bands may miss a pair (one in 500 at 0.8), so a found group may be part of an expected one, but never mixed.
    assert {(group, expected[group]) for group in found} == {
        (group, expected[index]) for index, group in enumerate(found)
    }
    assert all(found[i] == found[j] for i in range(len(some)) for j in range(i) if folded(some[i]) == folded(some[j]))


def test_groups_of_thousands_of_variants_compare_neighbours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    template = "dear team, my name is {} and my order {} is late, please help me"
    words = ["".join(chance.choices("abcdefghijklmnop", k=14)) for _ in range(6_000)]
    some = [template.format(name, order) for name, order in zip(words[::2], words[1::2], strict=True)]
    compared = 0
    verify = texts_module._verified

    def counting(sets: Any, left: Any, right: Any) -> Any:
        nonlocal compared
        compared += len(left)
        return verify(sets, left, right)

    monkeypatch.setattr(texts_module, "_verified", counting)
    groups(some)

    assert compared <= len(some) * 16 * 50  # all pairs would be 4.5 million in each of the 16 bands


# --- near_pairs -----------------------------------------------------------------------------------
def test_near_pairs_stand_on_different_sides() -> None:
    some = [SENTENCE.format(1), "something else", SENTENCE.format(2), SENTENCE.format(345)]

    assert near_pairs(some, sides=["test", "test", "train", "train"]) == [(0, 2), (0, 3)]
    assert near_pairs(some, sides=["train"] * 4) == []
    assert near_pairs([], sides=[]) == []
