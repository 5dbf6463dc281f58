"""GET /api/health, which names everything that is not well, and /api/health/ready, which is open to all."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api.shapes import PROBLEM
from classifier.models import Scope
from classifier.problems import RETRY_SECONDS, Problem
from mlops import health
from mlops.api import shapes

AWAY = {(503, "application/problem+json"): OpenApiResponse(PROBLEM, "The database is unreachable")}
NOT_READY = {(503, "application/problem+json"): OpenApiResponse(PROBLEM, "The database or a model is missing")}


def refuse_without_database(request: HttpRequest) -> None:
    """Raises Problem 503 if the database is away: before anybody is asked for a key, which it would have to look up."""
    words = health.database()
    if words != health.OK:
        raise unready("database_unavailable", words, request)


def unready(code: str, words: str, request: HttpRequest) -> Problem:
    if code == "database_unavailable":
        request.is_recorded = True  # type: ignore[attr-defined]  # RequestMiddleware would wait for it again
    return Problem(503, code, words, headers={"Retry-After": RETRY_SECONDS})


class HealthView(APIView):
    """How each dependency is."""

    scopes = (Scope.READ, Scope.METRICS)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        refuse_without_database(request._request)
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="health",
        summary="How each dependency is",
        responses={
            200: inline_serializer(
                "Health",
                {
                    "status": serializers.ChoiceField(["healthy", "degraded", "no_model"]),
                    "checks": inline_serializer(
                        "HealthChecks",
                        {name: serializers.CharField(help_text="`ok`, or a sentence") for name in health.NAMES},
                    ),
                    "version": serializers.IntegerField(allow_null=True, help_text="In production"),
                },
            ),
            **shapes.problems(),
            **AWAY,
        },
    )
    def get(self, request: Request) -> Response:
        """Asks each dependency, two seconds at most; each is `ok` or a sentence that says what to do.

        503 only while the database is unreachable: everything else leaves answers as they are.
        """
        found = health.check(timezone.now())
        if found.status == "database_down":
            raise unready("database_unavailable", found.checks["database"], request._request)
        return Response(found.as_dict())


class ReadyView(APIView):
    """Whether tickets can be answered now."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="ready",
        summary="Whether tickets can be answered",
        responses={200: inline_serializer("Ready", {"status": serializers.CharField()}), **NOT_READY},
        auth=[],
    )
    def get(self, request: Request) -> Response:
        """Answers `ready` with the database and a model at hand, else 503 with what is missing."""
        found = health.readiness()
        if found.code:
            raise unready(found.code, found.words, request._request)
        return Response({"status": "ready"})
