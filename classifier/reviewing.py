"""A person's work through the tickets that wait: choosing a category for one and its like, and taking that back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from classifier.labelling import AlreadyLabelled, TextRemoved, set_label
from classifier.lining_up import bring_back
from classifier.models import Category, Label, Ticket, User, Waiting
from classifier.waiting import MOST_ALIKE, near_to


class LabelEnded(ValueError):
    """The label that should be taken back is not the ticket's current one any more."""

    def __init__(self, label: Label) -> None:
        super().__init__(f"The label of ticket {label.ticket_id} was corrected since; that correction stays.")


@dataclass(frozen=True)
class Choice:
    """What a choice came to: the new labels, that of the ticket first, and how many of its like others labelled."""

    labels: list[Label]
    n_left: int


def choose(
    ticket: Ticket,
    category: Category,
    *,
    alike: Collection[int] = (),
    by: User,
    now: datetime,
    seed: int = 0,
    is_first: bool = True,
) -> Choice:
    """Labels the ticket, and those of the tickets `alike`, by id, that do say the same, each with a label of its own.

    Of the alike those that have a label by now are left as they are. is_first: so is the ticket, and it raises
    AlreadyLabelled; without it, its label is corrected. All or nothing. Raises what set_label does.
    """
    others = Ticket.objects.filter(pk__in=list(alike)[:MOST_ALIKE], is_demo=ticket.is_demo).exclude(pk=ticket.pk)
    wanted = near_to(ticket, others.order_by("pk"))
    labels: list[Label] = []
    with transaction.atomic():
        said = set_label(ticket, category, source=Label.Source.REVIEWER, by=by, now=now, seed=seed, is_first=is_first)
        labels += [said.label] if said.is_new else []
        for other in wanted:
            try:
                said = set_label(
                    other, category, source=Label.Source.REVIEWER, by=by, now=now, seed=seed, is_first=True
                )
            except (AlreadyLabelled, TextRemoved, Ticket.DoesNotExist):
                continue
            labels += [said.label] if said.is_new else []
        Waiting.objects.filter(ticket__in=[label.ticket_id for label in labels]).delete()
    return Choice(labels, n_left=1 + len(wanted) - len(labels))


def take_back(label: Label, *, now: datetime) -> Label | None:
    """Ends a label as if it had not been given: what it replaced is the ticket's label again, as a new row.

    The new row has the category of the one before and says who stood behind that; a ticket that had none has none
    again, and keeps its split and group, as it may have been trained on. Nothing is erased.
    Raises LabelEnded if the label is not the current one any more, and Ticket.DoesNotExist.
    """
    with transaction.atomic():
        Ticket.objects.select_for_update(no_key=True).only("pk").get(pk=label.ticket_id)  # as set_label does
        label.refresh_from_db(fields=["ended_at", "created_at"])
        if label.ended_at is not None:
            raise LabelEnded(label)
        label.ended_at = max(now, label.created_at)
        label.save(update_fields=["ended_at"])
        before = Label.objects.filter(ticket=label.ticket_id, pk__lt=label.pk).order_by("-pk").first()
        # One that was taken back itself ended before this label began, and stays ended.
        if before is None or before.ended_at != max(label.created_at, before.created_at):
            bring_back([label.ticket_id])
            return None
        return Label.objects.create(
            ticket_id=label.ticket_id,
            category_id=before.category_id,
            source=before.source,
            by_id=before.by_id,
            key_id=before.key_id,
            created_at=label.ended_at,
        )
