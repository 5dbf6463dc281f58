"""GET /api/versions, their history, and POST to promote one or to roll back."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.authentication import Caller, caller_of
from classifier.models import ModelVersion, Scope, doer
from classifier.problems import FieldError, Problem
from mlops import promotion, tasks
from mlops.api import shapes
from mlops.api.bodies import Field, choice, moment, page, read_object
from mlops.models import Promotion, TrainingRun

NUMBER = "the number of the version that is in production as far as you know, 0 for none"
REASON = Field(str, "a sentence that says why", '"..."', required=True)
EXPECTED = Field(int, NUMBER, "1")
MAY_FORCE = "mlops.force_promotion"


class VersionsView(APIView):
    """All versions."""

    scopes = (Scope.READ, Scope.PROMOTE)

    @extend_schema(
        operation_id="list_versions",
        summary="The model versions, newest first",
        parameters=[OpenApiParameter("status", str, enum=ModelVersion.Status.values), *shapes.PAGES],
        responses={200: shapes.VERSIONS, **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Lists versions with their status; `next` is the `before` of the next page."""
        rows = ModelVersion.objects.light().select_related("run")
        rows = rows.defer(*(f"run__{field}" for field in TrainingRun.HEAVY))
        status = choice(request.query_params, "status", ModelVersion.Status.values)
        found, following = page(rows.filter(status=status) if status else rows, request.query_params)
        return Response({"results": [in_short(version) for version in found], "next": following})


class VersionView(APIView):
    """One version."""

    scopes = (Scope.READ, Scope.PROMOTE)

    @extend_schema(
        operation_id="get_version",
        summary="One model version with its scores",
        responses={200: shapes.VERSION, **shapes.problems(404)},
    )
    def get(self, request: Request, number: int) -> Response:
        """Shows a version's scores as they were computed once, its settings and its thresholds."""
        version = version_of(number)
        return Response(
            {
                **in_short(version),
                "categories": version.categories,
                "metrics": version.metrics,
                "parameters": version.parameters,
                "thresholds": version.thresholds,
            }
        )


class PromoteView(APIView):
    """A version into production."""

    scopes = (Scope.PROMOTE,)

    @extend_schema(
        operation_id="promote_version",
        summary="Promote a version",
        request=shapes.PROMOTE_REQUEST,
        responses={200: shapes.PROMOTION, **shapes.problems(400, 404, 409, 413, 415)},
    )
    def post(self, request: Request, number: int) -> Response:
        """Asks the gate and, if it says yes, puts the version into production: everything answers with it in a second.

        `expected_production` refuses with 409 if another version is there by now. `force` goes over the gate's head:
        only a signed-in person with the permission may, and it is recorded.
        """
        force = Field(bool, "true or false", "false")
        body = read_object(request, {"reason": REASON, "expected_production": EXPECTED, "force": force})
        caller = caller_of(request)
        if body["force"] and not (caller.user is not None and caller.user.has_perm(MAY_FORCE)):
            detail = "Only a signed-in person with the permission force_promotion may go over the gate's head."
            raise Problem(403, "force_not_allowed", f"{detail} Leave out `force`, or ask such a person.")
        version = version_of(number)
        return _answer(
            lambda: promotion.promote(
                version,
                reason=body["reason"],
                force=bool(body["force"]),
                expected=body["expected_production"],
                **_actor(caller),
            )
        )


class RollBackView(APIView):
    """The version before into production."""

    scopes = (Scope.PROMOTE,)

    @extend_schema(
        operation_id="roll_back",
        summary="Roll back",
        request=shapes.ROLL_BACK_REQUEST,
        responses={200: shapes.PROMOTION, **shapes.problems(400, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Puts the version back that was in production before this one; once more, the one before that."""
        body = read_object(request, {"reason": REASON, "expected_production": EXPECTED})
        caller = caller_of(request)
        return _answer(
            lambda: promotion.roll_back(reason=body["reason"], expected=body["expected_production"], **_actor(caller))
        )


class HistoryView(APIView):
    """What was in production when."""

    scopes = (Scope.READ, Scope.PROMOTE)

    @extend_schema(
        operation_id="get_history",
        summary="What was in production, since when, by whom, why",
        parameters=[OpenApiParameter("at", str, description="A moment in ISO 8601"), *shapes.PAGES],
        responses={200: shapes.HISTORY, **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Lists all promotions, newest first; with `at` the one that was in force then, or none."""
        rows = Promotion.objects.with_names()
        at = moment(request.query_params, "at")
        if at is None:
            found, following = page(rows, request.query_params)
            return Response({"results": [promotion_as_dict(row) for row in found], "next": following})
        row = rows.in_force(at)
        if row is None:
            return Response({"at": at, "version": None})
        return Response({"at": at, **promotion_as_dict(row), "until": Promotion.objects.end_of(row)})


def version_of(number: int) -> ModelVersion:
    """The version of that number. Raises Problem 404."""
    version = ModelVersion.objects.filter(number=number).defer("validation_answers").first()
    if version is None:
        raise Problem(404, "not_found", f"There is no version {number}. GET /api/versions lists them.")
    return version


def in_short(version: ModelVersion) -> dict[str, Any]:
    """What a list says of a version."""
    run = getattr(version, "run", None)
    return {
        "id": version.pk,
        "number": version.number,
        "status": version.status,
        "recipe": version.recipe,
        "n_categories": len(version.categories),
        "is_demo": version.is_demo,
        "sha256": version.artifact_id,
        "run": run.pk if run else None,
        "mlflow_run_id": version.mlflow_run_id or None,
        "mlflow_version": version.mlflow_version,
        "created_at": version.created_at,
    }


def promotion_as_dict(row: Promotion) -> dict[str, Any]:
    """A promotion, or a roll-back, as the API tells it."""
    return {
        "promotion": row.pk,
        "kind": row.kind,
        "version": row.version.number,
        "replaced": row.replaced.number if row.replaced else None,
        "since": row.created_at,
        "by": doer(row.by, row.key),
        "reason": row.reason,
        "forced": row.forced,
        "verdict": row.verdict,
    }


def _actor(caller: Caller) -> dict[str, Any]:
    return {"by": caller.user, "key": caller.key}


def _answer(change: Any) -> Response:
    """Makes the change and answers with its row; a refusal becomes a problem 409."""
    try:
        row = change()
    except promotion.GateSaysNo as refusal:
        errors = [
            FieldError(rule.name, "rule_not_met", rule.words) for rule in refusal.verdict.reasons if not rule.passed
        ]
        raise Problem(409, "gate_says_no", f"The gate says no. {refusal.verdict.in_words()}", errors) from None
    except promotion.NotPromotable as refusal:
        raise Problem(409, "not_promotable", str(refusal)) from None
    except promotion.NothingToRollBackTo as refusal:
        raise Problem(409, "nothing_to_roll_back_to", str(refusal)) from None
    except promotion.PromotionConflict as refusal:
        raise Problem(409, "production_changed", str(refusal)) from None
    tasks.let_alias_follow()
    return Response({**promotion_as_dict(row), "now": timezone.now()})
