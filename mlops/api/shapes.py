"""How the OpenAPI schema tells of runs, decisions and versions. Nothing here checks or writes anything."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, inline_serializer
from rest_framework import serializers as s

from classifier.api.shapes import by, problems
from classifier.models import ModelVersion
from mlops.models import MAX_REASON, DriftSnapshot, Promotion, RetrainDecision, TrainingRun
from mlops.training import RECIPES

__all__ = [
    "DECISIONS",
    "DRIFT_SNAPSHOTS",
    "DRIFT_STATS",
    "HISTORY",
    "PAGES",
    "PROMOTE_REQUEST",
    "PROMOTION",
    "ROLL_BACK_REQUEST",
    "RUN",
    "RUNS",
    "RUN_REQUEST",
    "VERSION",
    "VERSIONS",
    "problems",
]

PAGES = [
    OpenApiParameter("limit", int, description="How many, 50 unless told, 200 at most"),
    OpenApiParameter("before", int, description="Only rows older than the one with this id"),
]


def _page(name: str, row: Any) -> Any:
    return inline_serializer(name, {"results": row, "next": s.IntegerField(allow_null=True)})


def _short_run() -> dict[str, Any]:
    return {
        "id": s.IntegerField(),
        "kind": s.ChoiceField(TrainingRun.Kind.choices),
        "status": s.ChoiceField(TrainingRun.Status.choices),
        "step": s.CharField(help_text="What it does now, or did last"),
        "trigger": s.ChoiceField(TrainingRun.Trigger.choices),
        "by": by(),
        "reason": s.CharField(),
        "recipe": s.CharField(),
        "attempt": s.IntegerField(min_value=1, max_value=3),
        "retry_of": s.IntegerField(allow_null=True),
        "outcome": s.CharField(),
        "decision": s.ChoiceField(TrainingRun.Decision.choices, allow_null=True),
        "version": s.IntegerField(allow_null=True),
        "created_at": s.DateTimeField(),
        "started_at": s.DateTimeField(allow_null=True),
        "ended_at": s.DateTimeField(allow_null=True),
    }


def _decision() -> dict[str, Any]:
    return {
        "id": s.IntegerField(),
        "cause": s.ChoiceField(RetrainDecision.Cause.choices, help_text="What spoke for it; none: nothing did"),
        "decision": s.ChoiceField(RetrainDecision.Decision.choices),
        "words": s.CharField(),
        "figures": s.DictField(help_text="What it was decided on"),
        "snapshot": s.IntegerField(allow_null=True, help_text="The drift snapshot that was looked at"),
        "run": s.IntegerField(allow_null=True, help_text="The run that it started"),
        "created_at": s.DateTimeField(),
    }


DECISIONS = _page("RetrainDecisions", inline_serializer("RetrainDecision", _decision(), many=True))
STEP: dict[str, Any] = {
    "name": s.CharField(),
    "words": s.CharField(),
    "at": s.DateTimeField(),
    "state": s.ChoiceField(["done", "at_work"]),
    "seconds": s.FloatField(),
}
RUN = inline_serializer(
    "Run",
    {
        **_short_run(),
        "steps": inline_serializer("RunStep", STEP, many=True),
        "log": s.CharField(),
        "dataset": inline_serializer(
            "RunDataset", {"id": s.IntegerField(), "fingerprint": s.CharField()}, allow_null=True
        ),
        "validation_report": s.DictField(allow_null=True),
        "parameters": s.DictField(),
        "metrics": s.DictField(),
        "verdict": s.DictField(allow_null=True),
        "mlflow_run_id": s.CharField(allow_null=True),
        "retried_by": s.IntegerField(allow_null=True),
        "decided_by": inline_serializer("RunDecidedBy", _decision(), allow_null=True),
    },
)
RUNS = _page("Runs", inline_serializer("RunInShort", _short_run(), many=True))
RUN_REQUEST = inline_serializer(
    "RunRequest",
    {
        "kind": s.ChoiceField(TrainingRun.Kind.choices, required=False),
        "recipe": s.ChoiceField(RECIPES, required=False),
        "reason": s.CharField(required=False, max_length=MAX_REASON),
    },
)


def _short_version() -> dict[str, Any]:
    return {
        "id": s.IntegerField(),
        "number": s.IntegerField(),
        "status": s.ChoiceField(ModelVersion.Status.choices),
        "recipe": s.CharField(),
        "n_categories": s.IntegerField(),
        "is_demo": s.BooleanField(),
        "sha256": s.CharField(),
        "run": s.IntegerField(allow_null=True),
        "mlflow_run_id": s.CharField(allow_null=True),
        "mlflow_version": s.IntegerField(allow_null=True),
        "created_at": s.DateTimeField(),
    }


VERSIONS = _page("Versions", inline_serializer("VersionInShort", _short_version(), many=True))
VERSION = inline_serializer(
    "Version",
    {
        **_short_version(),
        "categories": s.ListField(child=s.CharField()),
        "metrics": s.DictField(),
        "parameters": s.DictField(),
        "thresholds": s.DictField(),
    },
)


def _promotion() -> dict[str, Any]:
    return {
        "promotion": s.IntegerField(),
        "kind": s.ChoiceField(Promotion.Kind.choices),
        "version": s.IntegerField(allow_null=True),
        "replaced": s.IntegerField(allow_null=True),
        "since": s.DateTimeField(),
        "by": by(),
        "reason": s.CharField(),
        "forced": s.BooleanField(),
        "verdict": s.DictField(),
    }


PROMOTION = inline_serializer("Promotion", {**_promotion(), "now": s.DateTimeField()})
HISTORY = PolymorphicProxySerializer(
    "History",
    resource_type_field_name=None,
    serializers=[
        _page("PromotionList", inline_serializer("PromotionInHistory", _promotion(), many=True)),
        inline_serializer(
            "PromotionInForce", {"at": s.DateTimeField(), **_promotion(), "until": s.DateTimeField(allow_null=True)}
        ),
        inline_serializer(
            "NothingInForce",
            {"at": s.DateTimeField(), "version": s.IntegerField(allow_null=True, help_text="Null: nothing was")},
        ),
    ],
)
_REASON = s.CharField(max_length=MAX_REASON)
_EXPECTED = s.IntegerField(
    required=False, help_text="The version in production as far as the caller knows, 0 for none; 409 if it is not"
)
PROMOTE_REQUEST = inline_serializer(
    "PromoteRequest",
    {"reason": _REASON, "expected_production": _EXPECTED, "force": s.BooleanField(required=False)},
)
ROLL_BACK_REQUEST = inline_serializer("RollBackRequest", {"reason": _REASON, "expected_production": _EXPECTED})


_SIGNALS = inline_serializer(
    "DriftSignal",
    {
        "name": s.CharField(),
        "value": s.FloatField(),
        "threshold": s.FloatField(allow_null=True, help_text="What chance alone passes rarely; null: too few"),
        "drifted": s.BooleanField(),
        "since": s.DateTimeField(allow_null=True),
        "words": s.CharField(),
    },
    many=True,
)


def _short_snapshot() -> dict[str, Any]:
    return {
        "id": s.IntegerField(),
        "model_version": s.IntegerField(),
        "verdict": s.ChoiceField(DriftSnapshot.Verdict.choices),
        "severity": s.ChoiceField(DriftSnapshot.Severity.choices),
        "words": s.CharField(help_text="Which signal, how far, since when"),
        "advice": s.CharField(help_text="What to do"),
        "is_likely_worse": s.BooleanField(help_text="Whether the model is less sure: likely damage, not change alone"),
        "estimated_accuracy": s.FloatField(allow_null=True, help_text="From calibrated confidence, without labels"),
        "reference_accuracy": s.FloatField(allow_null=True),
        "drift_score": s.FloatField(
            allow_null=True,
            min_value=0,
            help_text="Distance of the mean word counts in standard deviations of the reference; no upper bound",
        ),
        "recent_count": s.IntegerField(),
        "signals": _SIGNALS,
        "created_at": s.DateTimeField(),
    }


DRIFT_SNAPSHOTS = _page("DriftSnapshots", inline_serializer("DriftSnapshotInShort", _short_snapshot(), many=True))
_MOMENTS: dict[str, Any] = {"from": s.DateTimeField(allow_null=True), "to": s.DateTimeField(allow_null=True)}
DRIFT_STATS = inline_serializer(
    "DriftStats",
    {
        **_short_snapshot(),
        "reference_mean": s.FloatField(allow_null=True),
        "reference_std": s.FloatField(allow_null=True),
        "window_size": s.IntegerField(help_text="Predictions that were looked for"),
        "recent_mean": s.FloatField(allow_null=True),
        "recent_std": s.FloatField(allow_null=True),
        "reference_count": s.IntegerField(),
        "method": s.CharField(),
        "window": inline_serializer("DriftWindow", _MOMENTS),
        "telling_words": s.ListField(child=s.DictField()),
        "reference": s.DictField(),
        "recent": s.DictField(),
        "quality": s.DictField(help_text="What labels said of the last days"),
        "seconds": s.FloatField(),
    },
)
