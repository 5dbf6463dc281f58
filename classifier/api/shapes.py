"""What bodies and answers look like, for the OpenAPI schema: nothing is checked or rendered with these."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers

from classifier.models import Label, Prediction, Split, Ticket
from classifier.naming import MAX_LENGTH

MEANINGS = {
    400: "The body or the query is not what was wanted; `errors` names each field",
    401: "No key and nobody signed in, or a key that is none",
    403: "The key lacks the scope, or the person the permission",
    404: "There is no such row",
    409: "What is there forbids it; `code` says why",
    413: "The body is larger than 1 MiB",
    415: "The body is not sent as application/json",
    503: "No model can answer yet, or the database is away; nothing was stored",
}
PROBLEM = inline_serializer(
    "Problem",
    {
        "type": serializers.CharField(),
        "title": serializers.CharField(),
        "status": serializers.IntegerField(),
        "detail": serializers.CharField(help_text="What was wanted, what was found, how to mend it"),
        "code": serializers.CharField(help_text="Stable, for programs"),
        "errors": inline_serializer(
            "FieldError",
            {"field": serializers.CharField(), "code": serializers.CharField(), "detail": serializers.CharField()},
            many=True,
        ),
    },
)


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The responses of an operation that may be refused with these statuses, and to callers who may not call it."""
    return {
        (status, "application/problem+json"): OpenApiResponse(PROBLEM, MEANINGS[status])
        for status in sorted({401, 403, *statuses})
    }


def by() -> serializers.CharField:
    """Who did it: the one shape of it, at every address."""
    words = "A person's name, or `API key` and its name; null for what ran by itself or from the command line"
    return serializers.CharField(allow_null=True, help_text=words)


def _label(help_text: str, *, required: bool = True) -> serializers.CharField:
    return serializers.CharField(max_length=MAX_LENGTH, help_text=help_text, required=required)


LABEL_REQUEST = inline_serializer(
    "LabelRequest", {"label": _label("Slug or name of an active category, whatever its case")}
)
FEEDBACK_REQUEST = inline_serializer(
    "FeedbackRequest",
    {
        "label": _label("What is right instead; leave out `correct` then", required=False),
        "correct": serializers.ChoiceField(
            choices=[True], required=False, help_text="What was predicted is right; leave out `label` then"
        ),
    },
)


def _label_facts() -> dict[str, serializers.Field]:  # type: ignore[type-arg]  # of whatever each field is
    return {
        "label": serializers.CharField(help_text="Slug of the category"),
        "source": serializers.ChoiceField(choices=Label.Source.choices),
        "by": by(),
        "since": serializers.DateTimeField(),
        "confirmed": serializers.BooleanField(
            help_text="Whether a person stands behind it; others train only where TRAIN_ON_API_LABELS says so"
        ),
    }


LABEL_ANSWER = inline_serializer(
    "LabelAnswer",
    {
        **_label_facts(),
        "ticket": serializers.IntegerField(),
        "new": serializers.BooleanField(help_text="Whether this call wrote it; false: it said the same before"),
        "split": serializers.ChoiceField(choices=Split.choices, help_text="Where the ticket stands, for good"),
    },
)
TICKET_ANSWER = inline_serializer(
    "TicketAnswer",
    {
        "id": serializers.IntegerField(),
        "text": serializers.CharField(),
        "external_id": serializers.CharField(allow_null=True),
        "source": serializers.ChoiceField(choices=Ticket.Source.choices),
        "is_demo": serializers.BooleanField(),
        "split": serializers.ChoiceField(choices=Split.choices, allow_null=True, help_text="Null until it is labelled"),
        "created_at": serializers.DateTimeField(),
        "text_removed_at": serializers.DateTimeField(
            allow_null=True, help_text="When its text was removed as too old; a sentence that says so stands for it"
        ),
        "label": inline_serializer("CurrentLabel", _label_facts(), allow_null=True),
        "labels": inline_serializer(
            "PastLabel",
            {**_label_facts(), "until": serializers.DateTimeField(allow_null=True, help_text="Null while it holds")},
            many=True,
        ),
        "predictions": inline_serializer(
            "TicketPrediction",
            {
                "id": serializers.IntegerField(),
                "predicted_label": serializers.CharField(),
                "confidence": serializers.FloatField(min_value=0, max_value=1),
                "decision": serializers.ChoiceField(choices=Prediction.Decision.choices),
                "reason": serializers.ChoiceField(choices=Prediction.Reason.choices, allow_null=True),
                "model_version": serializers.IntegerField(),
                "created_at": serializers.DateTimeField(),
            },
            many=True,
        ),
    },
)
