"""What was right: a ticket's label set, a prediction corrected or confirmed; and a ticket with all that was said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier import bodies, labelling
from classifier.api import shapes
from classifier.authentication import Caller, caller_of
from classifier.models import Category, Label, Prediction, Scope, Ticket, doer
from classifier.naming import MAX_LENGTH, CategoryNames
from classifier.problems import FieldError, Problem

# Whoever may set a ticket's label in the admin is a reviewer here, too; with the scope `label` alone one is an agent.
REVIEWS = "classifier.change_ticket"
MAX_HISTORY = 100  # labels of a ticket that are shown
MAX_PREDICTIONS = 100  # predictions of a ticket that are shown
LABEL_EXAMPLE = '{"label": "billing"}'
FEEDBACK_EXAMPLE = '{"label": "billing"} or {"correct": true}'
LIST_OF_THEM = "GET /api/categories lists them."


class LabelView(APIView):
    """A ticket's current label."""

    scopes = (Scope.LABEL,)

    @extend_schema(
        operation_id="set_label",
        summary="Say what is right for a ticket",
        request=shapes.LABEL_REQUEST,
        responses={200: shapes.LABEL_ANSWER, **shapes.problems(400, 404, 409, 413, 415)},
    )
    def put(self, request: Request, ticket_id: int) -> Response:
        """Gives the ticket this label; a correction ends the old one and never erases it.

        The same label again changes nothing. A key labels as `api`; a person who may change tickets as `reviewer`,
        another one as `agent`. Reviewer outranks agent, agent import, import api: a weaker source gets 409.
        """
        ticket = Ticket.objects.filter(pk=ticket_id).first()
        if ticket is None:
            raise _nothing("ticket")
        body = bodies.read_object(request._request, fields=("label",), example=LABEL_EXAMPLE)
        return Response(_say(ticket, _category(body.get("label")), caller=caller_of(request)))


class FeedbackView(APIView):
    """What was right about a prediction."""

    scopes = (Scope.LABEL,)

    @extend_schema(
        operation_id="give_feedback",
        summary="Correct or confirm a prediction",
        request=shapes.FEEDBACK_REQUEST,
        responses={200: shapes.LABEL_ANSWER, **shapes.problems(400, 404, 409, 413, 415)},
    )
    def post(self, request: Request, prediction_id: int) -> Response:
        """Labels the prediction's ticket: with what was predicted (`correct`), or with `label`. Else as set_label."""
        prediction = Prediction.objects.select_related("ticket", "category").filter(pk=prediction_id).first()
        if prediction is None:
            raise _nothing("prediction")
        body = bodies.read_object(request._request, fields=("label", "correct"), example=FEEDBACK_EXAMPLE)
        if len(body) != 1:
            raise bodies.refusal([FieldError("body", "not_one_field", f"Wanted exactly one of {FEEDBACK_EXAMPLE}.")])
        if "label" in body:
            category = _category(body["label"])
        elif body["correct"] is True:
            category = prediction.category
        else:
            wrong = FieldError(
                "correct", "not_true", f"Wanted true; if it was wrong, say what is right: {LABEL_EXAMPLE}."
            )
            raise bodies.refusal([wrong])
        return Response(_say(prediction.ticket, category, caller=caller_of(request)))


class TicketView(APIView):
    """A ticket with what was said and answered of it."""

    scopes = (Scope.READ,)

    @extend_schema(
        operation_id="get_ticket",
        summary="A ticket, its label with all earlier ones, and its predictions",
        responses={200: shapes.TICKET_ANSWER, **shapes.problems(404)},
    )
    def get(self, request: Request, ticket_id: int) -> Response:
        """The ticket. Labels and predictions come newest first, at most a hundred of each."""
        ticket = Ticket.objects.filter(pk=ticket_id).first()
        if ticket is None:
            raise _nothing("ticket")
        labels = list(ticket.labels.select_related("category", "by", "key")[:MAX_HISTORY])
        predictions = ticket.predictions.values(
            "id", "category__slug", "confidence", "decision", "reason", "version__number", "created_at"
        )
        return Response(
            {
                "id": ticket.pk,
                "text": ticket.text,
                "external_id": ticket.external_id,
                "source": ticket.source,
                "is_demo": ticket.is_demo,
                "split": ticket.split,
                "created_at": ticket.created_at,
                "text_removed_at": ticket.text_removed_at,
                "label": next((_told(label) for label in labels if label.ended_at is None), None),
                "labels": [{**_told(label), "until": label.ended_at} for label in labels],
                "predictions": [_predicted(row) for row in predictions[:MAX_PREDICTIONS]],
            }
        )


def _predicted(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "predicted_label": row["category__slug"],
        "confidence": row["confidence"],
        "decision": row["decision"],
        "reason": row["reason"] or None,
        "model_version": row["version__number"],
        "created_at": row["created_at"],
    }


def _told(label: Label) -> dict[str, Any]:
    return {
        "label": label.category.slug,
        "source": label.source,
        "by": doer(label.by, label.key),
        "since": label.created_at,
        "confirmed": label.source in Label.CONFIRMED,
    }


def _say(ticket: Ticket, category: Category, *, caller: Caller) -> dict[str, Any]:
    """Sets the label by the caller's word and tells what holds now. Raises Problem 404 and 409."""
    if caller.user is None:
        source = Label.Source.API
    else:
        source = Label.Source.REVIEWER if caller.user.has_perm(REVIEWS) else Label.Source.AGENT
    try:
        said = labelling.set_label(
            ticket,
            category,
            source=source,
            by=caller.user,
            key=caller.key,
            now=timezone.now(),
            seed=settings.SEED,
        )
    except labelling.LabelOutranked as error:
        raise Problem(409, "label_outranked", str(error)) from None
    except labelling.TextRemoved as error:
        raise Problem(409, "text_removed", str(error)) from None
    except labelling.CategoryRetired as error:
        names = CategoryNames(Category.objects.active())
        wrong = FieldError("label", "category_retired", f"It is retired. {_nearest(category.slug, names)}")
        raise Problem(409, "category_retired", str(error), [wrong]) from None
    except Ticket.DoesNotExist:  # deleted since it was looked up
        raise _nothing("ticket") from None
    return {**_told(said.label), "ticket": ticket.pk, "new": said.is_new, "split": ticket.split}


def _category(label: Any) -> Category:
    """The category that a label means, by slug or name, stripped and casefolded. Raises Problem 400."""
    if not isinstance(label, str):
        raise bodies.refusal([FieldError("label", "wrong_type", f"Wanted a text, {LABEL_EXAMPLE}.")])
    if not label.strip():
        raise bodies.refusal([FieldError("label", "blank", f"Wanted the slug of a category. {LIST_OF_THEM}")])
    if len(label) > MAX_LENGTH:
        wrong = f"Wanted at most {MAX_LENGTH} characters; found {len(label)}. {LIST_OF_THEM}"
        raise bodies.refusal([FieldError("label", "too_long", wrong)])
    categories = list(Category.objects.all())
    found = CategoryNames(categories).find(label)
    if found is None:
        active = CategoryNames(category for category in categories if category.active)
        raise bodies.refusal([FieldError("label", "unknown_label", f"No category has it. {_nearest(label, active)}")])
    return found


def _nearest(label: str, names: CategoryNames) -> str:
    near = names.nearest(label)
    return f"Did you mean {near!r}?" if near else LIST_OF_THEM


def _nothing(what: str) -> Problem:
    return Problem(404, "not_found", f"There is no {what} with this number.")
