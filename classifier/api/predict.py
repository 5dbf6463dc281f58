"""POST /api/predict: the short path from a call to its stored answer."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from classifier import authentication, bodies, inference, problems, storing, ticketbody
from classifier.api import shapes
from classifier.authentication import Caller
from classifier.ml.artifact import DamagedModel
from classifier.models import IdempotentAnswer, Prediction, Scope
from classifier.problems import Problem

MAX_IDEMPOTENCY_KEY = 200
EXPLAINED = 10  # terms a ticket


class PredictView(APIView):
    """Answers tickets and stores them. DRF sees it for the schema; `dispatch` takes a short path past the rest."""

    scopes = (Scope.PREDICT,)

    @extend_schema(
        summary="Categories of up to 100 tickets, in order",
        request=inline_serializer(
            "PredictRequest",
            {
                "tickets": serializers.ListField(
                    child=serializers.CharField(max_length=10_000), min_length=1, max_length=100
                )
            },
        ),
        parameters=[
            OpenApiParameter("probabilities", bool, description="1: the probabilities of all categories"),
            OpenApiParameter("explain", bool, description="1: the terms that decided"),
            OpenApiParameter("Idempotency-Key", str, "header", description="A repeated call returns the first answer"),
        ],
        responses={
            200: inline_serializer(
                "PredictResponse",
                {
                    "results": inline_serializer(
                        "PredictResult",
                        {
                            "id": serializers.IntegerField(help_text="The ticket's"),
                            "prediction_id": serializers.IntegerField(),
                            "text": serializers.CharField(),
                            "predicted_label": serializers.CharField(),
                            "confidence": serializers.FloatField(min_value=0, max_value=1),
                            "model_version": serializers.IntegerField(),
                            "decision": serializers.ChoiceField(
                                Prediction.Decision.choices,
                                help_text="auto: sure enough to be acted on. review: a person should look",
                            ),
                            "reason": serializers.ChoiceField(
                                Prediction.Reason.choices, required=False, help_text="Why it is for review, if it is"
                            ),
                            "probabilities": serializers.DictField(child=serializers.FloatField(), required=False),
                            "explanation": serializers.ListField(child=serializers.DictField(), required=False),
                        },
                        many=True,
                    )
                },
            ),
            **shapes.problems(400, 409, 413, 415, 503),
        },
    )
    def post(self, request: Request) -> HttpResponse:
        """Answers tickets: each a text or {"text", "external_id"}. One that is wrong refuses the whole call."""
        raise NotImplementedError("dispatch answers before DRF would come here")  # pragma: no cover

    def dispatch(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
        """The short path: who, what, answer, store, one JSON dump."""
        try:
            caller = authentication.identify(request)
            if request.method != "POST":
                raise Problem(405, "method_not_allowed", "Send a POST.", headers={"Allow": "POST"})
            authentication.demand(caller, *self.scopes)
            return _predict(request, caller)
        except Exception as error:
            # Whatever is not a refusal is a defect of ours: on to Django, which logs it and answers 500.
            problem = _problem_of(error)
            if problem is None:
                raise
            return problem.response()


def _problem_of(error: Exception) -> Problem | None:
    if isinstance(error, inference.NoModelInProduction):
        return Problem(503, "no_model_in_production", str(error))
    if isinstance(error, inference.NoActiveCategory):
        return Problem(503, "no_active_category", str(error))
    if isinstance(error, DamagedModel):
        return Problem(503, "model_damaged", f"The model in production cannot answer. {error}")
    if isinstance(error, storing.ExternalIdTaken):
        wrong = [
            problems.FieldError(f"tickets[{position}].external_id", "external_id_taken", str(error))
            for position in error.positions
        ]
        return Problem(409, "external_id_taken", str(error), wrong)
    return problems.from_exception(error)


def _predict(request: HttpRequest, caller: Caller) -> HttpResponse:
    started = getattr(request, "started", None) or time.perf_counter()
    body = bodies.read_body(request)
    probabilities = ticketbody.read_switch(request.GET, "probabilities")
    explain = ticketbody.read_switch(request.GET, "explain")
    facts = storing.RequestFacts(
        route="predict",
        started=started,
        key=caller.key.prefix if caller.key else None,
        user=caller.user.pk if caller.user else None,
    )

    def answer() -> str:
        tickets = ticketbody.read_tickets(body)
        answered = inference.predict(
            tickets.texts, external_ids=tickets.external_ids, request=facts, now=timezone.now()
        )
        return _dump(tickets.texts, answered, probabilities=probabilities, explain=explain)

    key = request.headers.get("Idempotency-Key")
    if key is None:
        content = answer()
        request.is_recorded = True  # type: ignore[attr-defined]  # with the answer's rows: RequestMiddleware adds none
    else:
        content = _once(request, caller, key, body, answer)
    return HttpResponse(content, content_type="application/json")


def _once(request: HttpRequest, caller: Caller, key: str, body: bytes, answer: Callable[[], str]) -> str:
    """The first call's answer for this Idempotency-Key; makes it if this is the first."""
    if not 0 < len(key.strip()) <= MAX_IDEMPOTENCY_KEY or not (key.isascii() and key.isprintable()):
        wrong = problems.FieldError(
            "Idempotency-Key", "invalid", f"Wanted 1 to {MAX_IDEMPOTENCY_KEY} ASCII characters."
        )
        raise Problem(400, "invalid_input", "The header Idempotency-Key is no key.", [wrong])
    digest = hashlib.sha256(request.META.get("QUERY_STRING", "").encode() + b"\n" + body).hexdigest()
    # Values that identify the call; a key of one caller means nothing to another.
    call = {"key": caller.key, "user": caller.user, "idempotency_key": key}
    known = IdempotentAnswer.objects.filter(**call).first()
    if known is None:
        try:
            with transaction.atomic():
                content = answer()
                IdempotentAnswer.objects.create(**call, body_sha256=digest, answer=content)
            request.is_recorded = True  # type: ignore[attr-defined]
            return content
        except IntegrityError:  # the same call at the same moment: it was first
            known = IdempotentAnswer.objects.get(**call)
    if known.body_sha256 != digest:
        raise Problem(
            409,
            "idempotency_key_reused",
            "This Idempotency-Key was sent with another body or query before. Send a new key for a new call.",
        )
    return known.answer


def _dump(texts: list[str], answered: inference.Answered, *, probabilities: bool, explain: bool) -> str:
    """The JSON of the answers, in one dump."""
    stored, number = answered.stored, answered.serving.number
    assert stored is not None  # noqa: S101 (predict always stores; this tells mypy)
    results: list[dict[str, Any]] = [
        {
            "id": ticket,
            "prediction_id": prediction,
            "text": text,
            "predicted_label": label,
            "confidence": confidence,
            "model_version": number,
            "decision": decision,
        }
        for ticket, prediction, text, label, confidence, decision in zip(
            stored.ticket_ids,
            stored.prediction_ids,
            texts,
            answered.labels,
            answered.confidences,
            answered.decisions,
            strict=True,
        )
    ]
    for result, reason in zip(results, answered.reasons, strict=True):
        if reason:
            result["reason"] = reason
    model = answered.serving.model
    if probabilities:
        for result, row in zip(results, answered.answers.probabilities.tolist(), strict=True):
            result["probabilities"] = dict(zip(model.categories, row, strict=True))
    if explain:
        for result in results:
            terms = model.explain(result["text"], result["predicted_label"], limit=EXPLAINED)
            result["explanation"] = [vars(term) for term in terms]
    return json.dumps({"results": results}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
