"""Questions that may hang: side by side, none waited for past the deadline, none asked twice at once."""

from __future__ import annotations

import threading
import time

import pytest
from structlog.contextvars import bound_contextvars, get_contextvars

from mlops import asking
from mlops.asking import ask


@pytest.fixture
def hanging() -> threading.Event:
    """What a question waits for that hangs until the test is over."""
    return threading.Event()


def test_questions_are_asked_side_by_side() -> None:
    both = threading.Barrier(2, timeout=5)  # alone, neither would come through

    found = ask({"one": lambda: both.wait() >= 0, "other": lambda: both.wait() >= 0}, seconds=5)

    assert found == {"one": True, "other": True}


def test_question_is_asked_in_the_context_of_the_caller() -> None:
    with bound_contextvars(request_id="4711"):
        found = ask({"id": lambda: get_contextvars()["request_id"]}, seconds=5)

    assert found == {"id": "4711"}


def test_late_answer_is_missing_and_the_others_are_there(hanging: threading.Event) -> None:
    begun = time.monotonic()

    found = ask({"quick": lambda: True, "late": lambda: hanging.wait(10)}, seconds=0.2)

    assert found == {"quick": True}
    assert time.monotonic() - begun < 2
    hanging.set()


def test_what_a_question_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        ask({"failing": fail}, seconds=5)


def test_question_that_hangs_is_not_asked_again_at_once(hanging: threading.Event) -> None:
    asked = []

    def hang() -> bool:
        asked.append(1)
        return hanging.wait(10)

    for _ in range(3):
        ask({"hanging": hang}, seconds=0.01)
    hanging.set()

    assert ask({"hanging": hang}, seconds=5) == {"hanging": True}
    assert len(asked) <= 2  # the one that hung, and the last where that one was over by then


def test_question_that_hangs_for_long_is_asked_anew(hanging: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    ask({"dead": lambda: hanging.wait(10)}, seconds=0.01)
    monkeypatch.setattr(asking, "SHARED_SECONDS", 0.0)

    assert ask({"dead": lambda: True}, seconds=5) == {"dead": True}
    hanging.set()
