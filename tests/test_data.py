"""The shipped tickets are what data/README.md says of them."""

from __future__ import annotations

import collections
import csv
import math
import re
import unicodedata
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATEGORIES = {"billing", "technical", "account", "shipping", "general"}
README = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
NEAR = 0.8  # Jaccard of character 5-grams; the design's measure, computed here without the code that trains
CLAIMS = ("They are invented", "No customer wrote them", "language model", "no row comes from another data set")
INVENTED_NUMBERS = ("+00", "+44 20 7946 0")  # no country, and a block that is set aside for films


@cache
def rows() -> list[tuple[str, str]]:
    with (ROOT / "data" / "raw" / "support_tickets.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["text", "label"]
        return [(row["text"], row["label"]) for row in reader]


def words(text: str) -> int:
    return len(text.split())


def claimed_counts() -> dict[str, list[int]]:
    """The README's table: category to its numbers."""
    lines = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", README, re.MULTILINE)
    return {name: [int(number.replace(",", "")) for number in numbers] for name, *numbers in lines}


def counted(texts: list[str]) -> list[int]:
    return [len(texts), sum(words(text) <= 10 for text in texts), sum(words(text) > 60 for text in texts)]


def test_counts_are_those_of_the_table() -> None:
    counts = {category: counted([text for text, label in rows() if label == category]) for category in CATEGORIES}

    assert claimed_counts() == {**counts, "all": counted([text for text, _label in rows()])}
    assert f"holds {len(rows()):,} support tickets" in README


def test_there_are_enough_in_five_categories() -> None:
    assert len(rows()) >= 1500
    assert {label for _text, label in rows()} == CATEGORIES


def test_smallest_category_is_at_least_half_the_largest() -> None:
    sizes = collections.Counter(label for _text, label in rows()).values()

    assert min(sizes) * 2 >= max(sizes)


def test_a_quarter_is_longer_than_60_words_and_some_are_two_words() -> None:
    lengths = [words(text) for text, _label in rows()]

    assert sum(length > 60 for length in lengths) >= len(lengths) / 4
    assert min(lengths) == 2


def test_text_is_clean() -> None:
    for text, label in rows():
        assert text == text.strip()
        assert unicodedata.is_normalized("NFC", text), text
        assert not [letter for letter in text if letter != "\n" and unicodedata.category(letter) in {"Cc", "Co"}], text
        assert label in CATEGORIES


# --- Near-duplicates ------------------------------------------------------------------------------
def shingles(text: str) -> frozenset[str]:
    folded = re.sub(r"\d", "0", " ".join(unicodedata.normalize("NFC", text).casefold().split()))
    return frozenset(folded[start : start + 5] for start in range(max(1, len(folded) - 4)))


def with_near_duplicate(texts: list[str]) -> set[int]:
    """Indices of the texts that have a near-duplicate among the others, found exactly.

    Two sets whose Jaccard is at least 0.8 share at least 0.8 of the larger one, so they must share one of the rarest
    fifth of either (Bayardo et al. 2007, Scaling up all pairs similarity search): only those are looked up.
    """
    found, sets = set(), [shingles(text) for text in texts]
    rarity = collections.Counter(shingle for each in sets for shingle in each)
    where: dict[str, list[int]] = collections.defaultdict(list)
    for index, each in enumerate(sets):
        rarest = sorted(each, key=lambda shingle: (rarity[shingle], shingle))
        prefix = rarest[: len(each) - math.ceil(NEAR * len(each)) + 1]
        for other in {other for shingle in prefix for other in where[shingle]}:
            if len(each & sets[other]) >= NEAR * len(each | sets[other]):
                found |= {index, other}
        for shingle in prefix:
            where[shingle].append(index)
    return found


def test_near_duplicates_are_found_by_the_test_itself() -> None:
    texts = ["my order 1234 has not arrived", "My order 9876  has not arrived", "something else", "something else!"]

    assert with_near_duplicate(texts) == {0, 1, 2, 3}
    assert with_near_duplicate(["the card was refused", "the parcel was refused"]) == set()


def test_at_most_2_percent_have_a_near_duplicate() -> None:
    assert len(with_near_duplicate([text for text, _label in rows()])) <= 0.02 * len(rows())


# --- Nobody's data --------------------------------------------------------------------------------
def test_mail_addresses_are_example_ones() -> None:
    addresses = [found for text, _label in rows() for found in re.findall(r"[\w.+-]+@([\w.-]*\w)", text)]

    assert addresses
    assert set(addresses) <= {"example.com", "example.org"}


def test_there_are_no_web_addresses() -> None:
    assert [text for text, _label in rows() if re.search(r"https?://|www\.", text)] == []


def test_international_telephone_numbers_are_invented_ones() -> None:
    numbers = [found for text, _label in rows() for found in re.findall(r"\+\d[\d ()-]{6,}", text)]

    assert [number for number in numbers if not number.startswith(INVENTED_NUMBERS)] == []


def is_card_number(digits: str) -> bool:
    """Whether the digits pass the Luhn check that every payment card's number passes."""
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(value // 10 + value % 10 for value in doubled)) % 10 == 0


def test_there_is_no_payment_card_number() -> None:
    assert is_card_number("4111111111111111"), "a test number of the card networks"
    runs = [re.sub(r"\D", "", found) for text, _ in rows() for found in re.findall(r"(?:\d[ -]?){13,19}", text)]

    assert [run for run in runs if is_card_number(run)] == []


# --- What the README says in words ----------------------------------------------------------------
def test_readme_says_that_they_are_invented_and_free() -> None:
    said = " ".join(README.split())

    for claim in CLAIMS:
        assert claim in said, claim
    assert "CC0-1.0" in README
    for category in CATEGORIES:
        assert f"- **{category}**: " in README
