"""GET /api/drift/stats and /api/drift/snapshots: what the newest comparison said, and those before it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.models import ModelVersion, Scope
from classifier.problems import Problem
from mlops.api import shapes
from mlops.api.bodies import choice, page
from mlops.models import DriftSnapshot


class DriftStatsView(APIView):
    """The newest snapshot of the version in production."""

    scopes = (Scope.READ,)

    @extend_schema(
        operation_id="get_drift_stats",
        summary="Whether recent tickets are still like those of validation",
        responses={200: shapes.DRIFT_STATS, **shapes.problems(404)},
    )
    def get(self, request: Request) -> Response:
        """Shows the newest snapshot: seven figures of word counts, and each signal against its threshold.

        A snapshot is taken at least each DRIFT_SNAPSHOT_MINUTES and after DRIFT_SNAPSHOT_PREDICTIONS new predictions;
        between two of them this answer stays the same.
        """
        snapshot = _with_version(DriftSnapshot.objects.of_production()).first()
        if snapshot is None:
            raise Problem(
                404,
                "no_snapshot",
                "There is no drift snapshot of a version in production yet. Beat takes the first within a minute after "
                "a version went to production; to take one now: manage.py watch_drift",
            )
        return Response(snapshot.as_dict())


class DriftSnapshotsView(APIView):
    """All snapshots."""

    scopes = (Scope.READ,)

    @extend_schema(
        operation_id="list_drift_snapshots",
        summary="The drift snapshots, newest first",
        parameters=[OpenApiParameter("verdict", str, enum=DriftSnapshot.Verdict.values), *shapes.PAGES],
        responses={200: shapes.DRIFT_SNAPSHOTS, **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Lists the snapshots of all versions, made-up ones left out; `next` is the `before` of the next page."""
        verdict = choice(request.query_params, "verdict", DriftSnapshot.Verdict.values)
        rows = _with_version(DriftSnapshot.objects.real()).defer("telling_words", "reference", "recent")
        found, following = page(rows.filter(verdict=verdict) if verdict else rows, request.query_params)
        return Response({"results": [snapshot.in_short() for snapshot in found], "next": following})


def _with_version(rows: Any) -> Any:
    return rows.select_related("version").defer(*ModelVersion.heavy("version"))
