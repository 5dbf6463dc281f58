"""What a browser's session remembers of the label queue: what was skipped and what was done, for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib.sessions.backends.base import SessionBase

NAME = "label_queue"
SKIP_LASTS = timedelta(hours=24)
MOST_SKIPPED = 500  # tickets: the session is a row that is read with each page
MOST_STEPS = 20  # choices that can be undone, one after the other


@dataclass(frozen=True)
class Step:
    """One choice: the ids of its labels, the ticket's id first looked at, and the category's name."""

    label_ids: list[int]
    ticket_id: int
    category: str


@dataclass
class Sitting:
    """skipped: ids of tickets with the second of their skip, the first skipped in front. done: the last choice last."""

    skipped: dict[int, float] = field(default_factory=dict)
    done: list[Step] = field(default_factory=list)

    def skip(self, ticket_ids: list[int], *, now: datetime) -> None:
        """Puts tickets behind all others, those skipped before too."""
        for ticket_id in ticket_ids:
            self.skipped.pop(ticket_id, None)
            self.skipped[ticket_id] = now.timestamp()
        self.skipped = dict(list(self.skipped.items())[-MOST_SKIPPED:])

    def do(self, step: Step) -> None:
        self.done = [*self.done, step][-MOST_STEPS:]

    def save(self, session: SessionBase) -> None:
        session[NAME] = {
            "skipped": list(self.skipped.items()),
            "done": [[step.label_ids, step.ticket_id, step.category] for step in self.done],
        }


def read(session: SessionBase, *, now: datetime) -> Sitting:
    """What is remembered; skips of more than 24 hours ago are forgotten."""
    kept = session.get(NAME, {})
    earliest = (now - SKIP_LASTS).timestamp()
    return Sitting(
        skipped={ticket_id: at for ticket_id, at in kept.get("skipped", []) if at > earliest},
        done=[Step(*step) for step in kept.get("done", [])],
    )
