"""The study of drift at a smaller size, on the shipped tickets: `make drift-study` is the whole."""

from __future__ import annotations

from typing import Any

import pytest

from classifier.ml.shift import SIGNALS
from tests.bench import drift_study


@pytest.fixture(scope="module")
def found() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TICKETCLF_SHARED_DATA", raising=False)
        return drift_study.study(windows=10, fits=1, is_slow_told=False)


def test_unchanged_windows_are_not_called_drifted(found: Any) -> None:
    assert found["streams"]["unchanged"]["drifted"] <= 0.1


@pytest.mark.parametrize("stream", ["foreign", "shares", "off-topic"])
def test_changed_windows_are_called_drifted(found: Any, stream: str) -> None:
    assert found["streams"][stream]["drifted"] >= 0.9


def test_pure_change_of_shares_is_named_as_such(found: Any) -> None:
    assert found["streams"]["shares"]["signals"]["category_shares"] >= 0.9
    assert found["streams"]["shares"]["only_shares"] >= 0.8


def test_word_counts_alone_would_call_off_topic_text_healthy(found: Any) -> None:
    row = found["streams"]["off-topic"]

    assert (row["original"], row["signals"]["word_count_ks"]) == (0.0, 0.0)
    assert row["signals"]["text"] >= 0.9


def test_study_tells_in_a_table_what_it_found_and_names_what_it_missed(found: Any) -> None:
    never = dict.fromkeys(SIGNALS, 0.0)
    worse = {name: {**row, "drifted": 0.5, "signals": never} for name, row in found["streams"].items()}

    lines = drift_study.table(found)

    assert lines[2].split()[:3] == ["stream", "windows", "any"]
    assert [line.split(":")[0] for line in drift_study.missed({**found, "streams": worse})] == [
        "unchanged",
        "foreign",
        "shares",
        "off-topic",
    ]
