"""What the label queue shows: a ticket, what was guessed of it and why, and how far a person has come today."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from classifier.models import Category, Label, Prediction, Ticket, User
from classifier.waiting import COUNTED, Next
from classifier.wording import ago, counted, local, share
from mlops.dashboards.answers import choices, reason_in_words

SOURCES = {Ticket.Source.API: "sent to the API", Ticket.Source.PAGE: "typed in", Ticket.Source.IMPORT: "imported"}


def queue(found: Next, categories: Iterable[Category], *, by: User, now: datetime) -> dict[str, Any]:
    """The page's figures and words, and its ticket, if one waits."""
    n_today = labelled_today(by, now=now)
    shown = {
        "n_waiting": found.n_waiting,
        "waiting": waiting_in_words(found.n_waiting),
        "today": f"You labelled {counted(n_today, 'ticket')} today." if n_today else "None labelled by you today yet.",
        "n_today": n_today,
        "n_all": n_today + found.n_waiting,
        "is_again": found.is_again,
        "has_fold": found.fold is not None,
    }
    if found.fold is None:
        return shown
    guess, ticket = found.fold.guess, found.fold.ticket
    return {
        **shown,
        "ticket": ticket,
        "origin": f"{SOURCES[Ticket.Source(ticket.source)]} {ago(now, ticket.created_at)}",
        "is_long": len(ticket.text) > 400,
        "guess": guess.category.name,
        "guessed": f"Version {guess.version.number} says",
        "confidence": share(guess.confidence),
        "because": because(guess),
        "is_review": guess.decision == Prediction.Decision.REVIEW,
        "alike": found.fold.alike,
        "n_alike": len(found.fold.alike),
        "fold_offer": fold_offer(len(found.fold.alike)),
        "choices": choices(categories, guess=guess.category.slug),
    }


def waiting_in_words(n: int) -> str:
    """How many tickets wait, as the beginning of a line.

    >>> waiting_in_words(1), waiting_in_words(12), waiting_in_words(1001)
    ('1 ticket waits', '12 tickets wait', 'More than 1,000 tickets wait')
    """
    if n > COUNTED:
        return f"More than {COUNTED:,} tickets wait"
    return f"{counted(n, 'ticket')} {'waits' if n == 1 else 'wait'}"


def fold_offer(n_alike: int) -> str:
    """What the tick offers that labels near-duplicates with their ticket.

    >>> fold_offer(1), fold_offer(3)
    ('Label the one alike, too', 'Label the 3 alike, too')
    """
    return f"Label the {n_alike if n_alike > 1 else 'one'} alike, too"


def because(guess: Prediction) -> str:
    """Why the ticket is here, in a sentence."""
    if guess.decision == Prediction.Decision.REVIEW:
        return f"It is for review: {reason_in_words(guess.reason)}."
    return "It was sure enough to act on by itself. Was it right?"


def labelled_today(by: User, *, now: datetime) -> int:
    """The person's labels as a reviewer since midnight in DISPLAY_TIME_ZONE that were not taken back or corrected."""
    midnight = local(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return Label.objects.current().filter(by=by, source=Label.Source.REVIEWER, created_at__gte=midnight).count()
