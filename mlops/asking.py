"""Questions that may hang, asked side by side: each in a thread of its own, none waited for past a deadline."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from django.db import connections

T = TypeVar("T")
SHARED_SECONDS = (
    10.0  # a question that hangs longer is asked anew: its connection may be the dead thing, not the server
)

_lock = threading.Lock()
_open: dict[str, tuple[float, Future[Any]]] = {}


def ask(questions: Mapping[str, Callable[[], T]], *, seconds: float) -> dict[str, T]:
    """What each question answers within the seconds; one that is late is missing. What a question raises is raised.

    A question of a name that is still open is not asked twice but waited for by both: of a server that hangs, one
    thread hangs, however often somebody asks.
    """
    futures = {name: _asked(name, question) for name, question in questions.items()}
    wait(futures.values(), timeout=seconds)
    return {name: future.result() for name, future in futures.items() if future.done()}


def _asked(name: str, question: Callable[[], T]) -> Future[T]:
    with _lock:
        begun, future = _open.get(name, (0.0, None))
        if future is None or future.done() or time.monotonic() - begun > SHARED_SECONDS:
            future = Future()
            _open[name] = (time.monotonic(), future)
            # No pool: its threads are waited for at the end of the process, and these may hang for good.
            # The context of the caller is copied: what is logged over there carries the id of the request.
            run = contextvars.copy_context().run
            threading.Thread(target=run, args=(_answer, question, future), name=f"ask {name}", daemon=True).start()
        return future


def _answer(question: Callable[[], T], future: Future[T]) -> None:
    try:
        try:
            found = question()
        finally:
            connections.close_all()  # this thread's: the next question has a thread of its own
    except BaseException as error:  # noqa: BLE001 -- raised again where it was asked
        future.set_exception(error)
    else:
        future.set_result(found)
