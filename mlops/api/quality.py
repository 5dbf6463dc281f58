"""GET /api/quality/live: what was answered in the last days, held against the labels that came after it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.models import Category, ModelVersion, Scope
from mlops import quality
from mlops.api import shapes
from mlops.api.bodies import refused, whole, window

DEFAULT_WINDOW = "7d"


def _share(help_text: str) -> s.FloatField:
    return s.FloatField(allow_null=True, min_value=0, max_value=1, help_text=help_text)


# One type for both fields: the schema takes two of one name for different ones.
Counts = type(
    inline_serializer(
        "LiveCounts",
        {
            "n": s.IntegerField(),
            "n_labelled": s.IntegerField(),
            "n_right": s.IntegerField(),
            "observed": _share("The share of the labelled ones that was right"),
            "low": _share("Lower end of its 95 % interval"),
            "high": _share("Upper end of its 95 % interval"),
            "expected": _share("The share of the labelled ones that confidence would have right"),
        },
    )
)


def _figures() -> dict[str, Any]:
    return {
        "n": s.IntegerField(help_text="Answers"),
        "n_labelled": s.IntegerField(help_text="Those that were labelled afterwards"),
        "labelled_share": _share("The labelled ones among all"),
        "coverage": _share("The automatic ones among all"),
        "precision": _share("Of the labelled automatic ones, the share that was right"),
        "accuracy": _share("Of all labelled ones, the share that was right"),
        "override_rate": _share("Of all labelled ones, the share that was labelled otherwise"),
        "expected_accuracy": _share("What confidence would have of the labelled ones, beside accuracy"),
        "estimated_accuracy": _share("What confidence has of those without a label yet"),
        "automatic": Counts(),
        "review": Counts(),
    }


LIVE = inline_serializer(
    "LiveQuality",
    {
        "window": s.CharField(),
        "since": s.DateTimeField(),
        "until": s.DateTimeField(),
        "version": s.IntegerField(allow_null=True),
        "category": s.CharField(allow_null=True),
        "caution": s.CharField(help_text="How far labelled answers stand for all"),
        "totals": inline_serializer("LiveFigures", _figures()),
        "per_day": inline_serializer("LiveFiguresOfDay", {"day": s.DateField(), **_figures()}, many=True),
        "per_category": inline_serializer(
            "LiveFiguresOfCategory", {"category": s.CharField(), **_figures()}, many=True
        ),
        "per_version": inline_serializer(
            "LiveFiguresOfVersion", {"version": s.IntegerField(), **_figures()}, many=True
        ),
    },
)


class LiveQualityView(APIView):
    """Live quality."""

    scopes = (Scope.READ,)

    @extend_schema(
        operation_id="get_live_quality",
        summary="How right the answers of the last days were",
        parameters=[
            OpenApiParameter("window", str, description="Such as 24h, 7d (the default) or 30d; 90d at most"),
            OpenApiParameter("version", int, description="Only the answers of the version with this number"),
            OpenApiParameter("category", str, description="Only answers that name the category with this slug"),
        ],
        responses={200: LIVE, **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Holds answers against labels set after them, in all and per UTC day, category answered and version.

        Null stands where nothing is labelled, or answered, yet. Demonstrations are left out.
        """
        named, length = window(request.query_params, "window", default=DEFAULT_WINDOW)
        version, category = self._version(request), self._category(request)
        found = quality.live(timezone.now(), length, version=version, category=category)
        return Response({"window": named, **found})

    def _version(self, request: Request) -> ModelVersion | None:
        number = whole(request.query_params, "version")
        if number is None:
            return None
        version = ModelVersion.objects.light().filter(number=number).first()
        if version is None:
            raise refused("version", "Wanted the number of a version; GET /api/versions lists them.")
        return version

    def _category(self, request: Request) -> Category | None:
        slug = request.query_params.get("category")
        if slug is None:
            return None
        # Looked up here and not by the database, which may refuse the very characters.
        category = {each.slug: each for each in Category.objects.all()}.get(slug)
        if category is None:
            raise refused("category", "Wanted the slug of a category; GET /api/categories lists the active ones.")
        return category
