"""What was done about drift: the decisions on retraining of a range of time, with the runs that they began."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from classifier.wording import counted, local
from mlops.models import RetrainDecision

LOOKED_AT = 200  # newest decisions: a week of hourly snapshots, and no more is read however many there are
STARTED = 50  # newest of those that began a run, which are few and never left out before others
MOST = 30  # lines
TONES = {"started": "good", "switched_off": "warn"}
WORDS = {
    "started": "begun",
    "not_needed": "not needed",
    "switched_off": "switched off",
    "in_progress": "one was at work",
    "cooling_down": "too soon",
    "enough_for_today": "enough for today",
    "unchanged": "nothing new to learn",
}


@dataclass(frozen=True)
class Doing:
    """One decision, or several alike in a row, of which the newest is shown."""

    at: datetime
    moment: str
    decision: str
    tone: str
    words: str
    run: int | None
    before: str  # how many alike came before it


def doings(since: datetime) -> list[Doing]:
    """The decisions since then, newest first; alike ones in a row are one line."""
    return _folded(_decisions(since))[:MOST]


def _decisions(since: datetime) -> list[RetrainDecision]:
    """The newest of all and the newest that began a run, both by their index."""
    rows = RetrainDecision.objects.defer("figures")
    started = rows.filter(run__isnull=False).order_by("-run")[:STARTED]
    found = {row.pk: row for row in (*rows.order_by("-pk")[:LOOKED_AT], *started) if row.created_at >= since}
    return [found[pk] for pk in sorted(found, reverse=True)]


def _folded(decisions: Iterable[RetrainDecision]) -> list[Doing]:
    # A run is one of a kind; what began none is like its neighbour of the same cause and answer.
    alike = groupby(decisions, key=lambda row: (row.run_id, row.cause, row.decision))
    return [_told(list(rows)) for _, rows in alike]


def _told(rows: Sequence[RetrainDecision]) -> Doing:
    newest, n_before = rows[0], len(rows) - 1
    before = f"{counted(n_before, 'time')} the same before, since {_moment(rows[-1])}" if n_before else ""
    return Doing(
        at=newest.created_at,
        moment=_moment(newest),
        decision=WORDS.get(newest.decision, newest.decision.replace("_", " ")),
        tone=TONES.get(newest.decision, ""),
        words=newest.words,
        run=newest.run_id,
        before=before,
    )


def _moment(row: RetrainDecision) -> str:
    return f"{local(row.created_at):%b %-d, %H:%M}"
