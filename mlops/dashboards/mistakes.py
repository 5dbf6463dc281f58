"""Answers to look at again: a version's surest mistakes on tests, those that people corrected, any cell's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F

from classifier.models import Label, Prediction, Ticket, doer
from classifier.wording import excerpt, local, share
from mlops.dashboards.versions import Columns, Shown

MOST = 20
CHARACTERS = 600  # of a text: what it is about stands in its beginning
DAYS = 30  # corrections older than that are of a version that few remember
NEWEST_LABELS = 2_000  # of people, in those days: they are looked up by ticket, so a million answers cost no more
PEOPLE = (Label.Source.AGENT.value, Label.Source.REVIEWER.value)


@dataclass(frozen=True)
class Answer:
    """What was answered for a ticket. truth: the label by which it was judged; at: when, for answers in service."""

    ticket_id: int | None
    truth: str
    guess: str
    confidence: float
    at: datetime | None = None


@dataclass(frozen=True)
class Looked:
    """An answer as the pages show it. label: the slug of the current one; labelled: who says so, in words.

    is_there: whether the ticket can be labelled still. is_settled: a reviewer has said it, or it was corrected since.
    """

    ticket_id: int | None
    text: str
    truth: str
    guess: str
    guess_slug: str
    confidence: str
    moment: str
    label: str
    label_name: str
    labelled: str
    is_there: bool
    is_settled: bool

    @property
    def is_guess_right(self) -> bool:
        return self.guess_slug == self.label


def answers_at(tested: Columns, places: Iterable[int]) -> list[Answer]:
    """The answers at these places of a version's columns."""
    return [
        Answer(tested.ids[place], tested.truth[place], tested.guess[place], tested.confidence[place])
        for place in places
    ]


def surest(version: Shown) -> list[Answer]:
    """The mistakes on test tickets that it was surest of."""
    return answers_at(version.tested, version.tested.mistakes()[:MOST])


def corrected(version: Shown, *, now: datetime) -> list[Answer]:
    """Its answers in service that a person gave another label to afterwards, surest first, of the last 30 days.

    Found from the newest labels, and never from the answers, of which there are a million.
    """
    labels = Label.objects.current().filter(source__in=PEOPLE, created_at__gt=now - timedelta(days=DAYS))
    newest = labels.order_by("-pk").values("ticket_id")[:NEWEST_LABELS]
    found = (
        Prediction.objects.filter(ticket_id__in=newest, is_demo=version.is_demo)
        .filter(
            ticket__labels__ended_at=None,
            ticket__labels__source__in=PEOPLE,
            ticket__labels__created_at__gte=F("created_at"),
        )
        # Not as it stands, `version = 3`: on SQLite its index would win, and all that the version ever said be read.
        .annotate(
            of=F("version_id") + 0, said=F("ticket__labels__category_id"), truth=F("ticket__labels__category__slug")
        )
        .filter(of=version.pk)
        .exclude(said=F("category_id"))
        .order_by("-confidence", "-pk")
    )
    return [
        Answer(**row)
        for row in found.values("ticket_id", "truth", "confidence", guess=F("category__slug"), at=F("created_at"))[
            :MOST
        ]
    ]


def looked_up(answers: Sequence[Answer], names: Mapping[str, str]) -> list[Looked]:
    """The answers with their tickets' texts and current labels; two queries."""
    ids = {answer.ticket_id for answer in answers if answer.ticket_id is not None}
    texts = dict(Ticket.objects.filter(pk__in=ids).values_list("pk", "text")) if ids else {}
    labels = Label.objects.current().filter(ticket__in=ids).select_related("category", "by", "key") if ids else []
    label_of = {label.ticket_id: label for label in labels}
    return [
        _looked(answer, texts.get(answer.ticket_id or 0), label_of.get(answer.ticket_id or 0), names)
        for answer in answers
    ]


def _looked(answer: Answer, text: str | None, label: Label | None, names: Mapping[str, str]) -> Looked:
    slug = label.category.slug if label else ""
    gone = "This ticket was deleted since." if answer.ticket_id else "A made-up answer, about no ticket."
    return Looked(
        ticket_id=answer.ticket_id,
        text=gone if text is None else excerpt(text, CHARACTERS),
        truth=names.get(answer.truth, answer.truth),
        guess=names.get(answer.guess, answer.guess),
        guess_slug=answer.guess,
        confidence=share(answer.confidence),
        moment=f"{local(answer.at):%b %-d, %H:%M}" if answer.at else "",
        label=slug,
        label_name=names.get(slug, slug),
        labelled=_labelled(label, answer, names),
        is_there=text is not None,
        is_settled=label is not None and (label.source == Label.Source.REVIEWER or slug != answer.truth),
    )


def _labelled(label: Label | None, answer: Answer, names: Mapping[str, str]) -> str:
    """What holds now, by whom and since when."""
    if label is None:
        return ""
    slug = label.category.slug
    by = doer(label.by, label.key) or label.source
    since = f"{local(label.created_at):%b %-d, %H:%M}"
    if slug != answer.truth:
        return f"Corrected to {names.get(slug, slug)} by {by}, {since}"
    is_confirmed = label.source == Label.Source.REVIEWER and answer.at is None
    return f"{'Confirmed' if is_confirmed else 'Labelled'} by {by}, {since}"
