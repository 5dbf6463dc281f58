"""What can only be read: the categories, and the sign of life."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.api import shapes
from classifier.models import Category, Scope


class CategoriesView(APIView):
    """What a ticket can be."""

    scopes = (Scope.PREDICT, Scope.READ)

    @extend_schema(
        summary="The active categories",
        responses={
            200: inline_serializer(
                "Categories",
                {
                    "results": inline_serializer(
                        "Category",
                        {
                            "slug": serializers.CharField(),
                            "name": serializers.CharField(),
                            "description": serializers.CharField(),
                        },
                        many=True,
                    )
                },
            ),
            **shapes.problems(),
        },
    )
    def get(self, request: Request) -> Response:
        """Lists the active categories by slug."""
        return Response({"results": list(Category.objects.active().values("slug", "name", "description"))})


class LiveView(APIView):
    """Says that the process answers; asks nothing else."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        summary="Sign of life",
        responses=inline_serializer("Live", {"status": serializers.CharField()}),
        auth=[],
    )
    def get(self, request: Request) -> Response:
        """Answers `ok` while the process runs."""
        return Response({"status": "ok"})
