"""GET /api/retraining/decisions: whether retrainings began by themselves, and why, or why not."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.models import Scope
from mlops.api import shapes
from mlops.api.bodies import choice, page
from mlops.models import RetrainDecision


class DecisionsView(APIView):
    """All decisions about retraining."""

    scopes = (Scope.READ, Scope.RUN)

    @extend_schema(
        operation_id="list_retrain_decisions",
        summary="Why retrainings began by themselves, or did not, newest first",
        parameters=[OpenApiParameter("decision", str, enum=RetrainDecision.Decision.values), *shapes.PAGES],
        responses={200: shapes.DECISIONS, **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Lists a decision for each time it was asked, in words; `next` is the `before` of the next page."""
        rows = RetrainDecision.objects.all()
        decision = choice(request.query_params, "decision", RetrainDecision.Decision.values)
        found, following = page(rows.filter(decision=decision) if decision else rows, request.query_params)
        return Response({"results": [as_dict(row) for row in found], "next": following})


def as_dict(row: RetrainDecision) -> dict[str, Any]:
    """A decision as the API tells it."""
    return {
        "id": row.pk,
        "cause": row.cause,
        "decision": row.decision,
        "words": row.words,
        "figures": row.figures,
        "snapshot": row.snapshot_id,
        "run": row.run_id,
        "created_at": row.created_at,
    }
