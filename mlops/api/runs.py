"""GET and POST /api/runs, GET /api/runs/<id>: trainings as rows, begun by a worker and watched step by step."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from classifier.authentication import caller_of
from classifier.models import ModelVersion, Scope, doer
from classifier.problems import FieldError, Problem
from mlops import queueing, tasks, training
from mlops.api import decisions, shapes
from mlops.api.bodies import Field, choice, page, read_object
from mlops.models import TrainingRun
from mlops.runs import Order, RunInProgress

KINDS = tuple(TrainingRun.Kind.values)
FIELDS = {
    "kind": Field(str, f"one of: {', '.join(KINDS)}", '"retrain"', choices=KINDS),
    "recipe": Field(str, f"one of: {', '.join(training.RECIPES)}", '"word_char"', choices=training.RECIPES),
    "reason": Field(str, "a sentence that says why", '"..."'),
}
HEAVY_OF_OTHERS = (*ModelVersion.heavy("version"), "dataset__members")


class RunsView(APIView):
    """All runs, and the start of a new one."""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return (Scope.RUN,) if self.request.method == "POST" else (Scope.READ, Scope.RUN)

    @extend_schema(
        operation_id="list_runs",
        summary="The training runs, newest first",
        parameters=[
            OpenApiParameter("status", str, enum=TrainingRun.Status.values),
            *shapes.PAGES,
        ],
        responses={200: shapes.RUNS, **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Lists runs without their logs and scores; `next` is the `before` of the next page."""
        rows = TrainingRun.objects.select_related("by", "key", "version", "dataset").defer(
            *TrainingRun.HEAVY, *HEAVY_OF_OTHERS
        )
        status = choice(request.query_params, "status", TrainingRun.Status.values)
        found, following = page(rows.filter(status=status) if status else rows, request.query_params)
        return Response({"results": [in_short(run) for run in found], "next": following})

    @extend_schema(
        operation_id="start_run",
        summary="Start a training run",
        request=shapes.RUN_REQUEST,
        responses={202: shapes.RUN, **shapes.problems(400, 409, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Puts a run on record and calls a worker; answers at once, whether or not the worker is there to hear it.

        `kind`: `retrain` (the default) judges the candidate and promotes it if it passed, `train` stops before that.
        409 if a run is at work or waits: it is named, and no row is made.
        """
        body = read_object(request, FIELDS)
        caller = caller_of(request)
        order = Order(
            kind=body["kind"] or TrainingRun.Kind.RETRAIN,
            trigger=TrainingRun.Trigger.API,
            recipe=body["recipe"] or settings.RECIPE,
            by=caller.user,
            key=caller.key,
            reason=(body["reason"] or "").strip(),
        )
        try:
            run = queueing.enqueue(order, now=timezone.now())
        except RunInProgress as refusal:
            other = f"run {refusal.other.pk}" if refusal.other else "another run"
            errors = [FieldError("run", "in_progress", other)]
            raise Problem(409, "run_in_progress", str(refusal), errors) from None
        tasks.ring(run)
        address = reverse("run", args=[run.pk])
        return Response(in_full(run, now=timezone.now()), status=202, headers={"Location": address})


class RunView(APIView):
    """One run."""

    scopes = (Scope.READ, Scope.RUN)

    @extend_schema(
        operation_id="get_run",
        summary="One training run, step by step",
        responses={200: shapes.RUN, **shapes.problems(404)},
    )
    def get(self, request: Request, number: int) -> Response:
        """Shows where the run is, what it did before and how long that took, and what came of it."""
        rows = TrainingRun.objects.select_related("by", "key", "version", "dataset", "decided_by")
        run = rows.defer(*HEAVY_OF_OTHERS).filter(pk=number).first()
        if run is None:
            raise Problem(404, "not_found", f"There is no run {number}. GET /api/runs lists them.")
        return Response(in_full(run, now=timezone.now()))


def in_short(run: TrainingRun) -> dict[str, Any]:
    """What a list says of a run."""
    return {
        "id": run.pk,
        "kind": run.kind,
        "status": run.status,
        "step": run.step,
        "trigger": run.trigger,
        "by": doer(run.by, run.key),
        "reason": run.reason,
        "recipe": run.recipe,
        "attempt": run.attempt,
        "retry_of": run.retry_of_id,
        "outcome": run.outcome,
        "decision": run.decision or None,
        "version": run.version.number if run.version else None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }


def in_full(run: TrainingRun, *, now: datetime) -> dict[str, Any]:
    """All that is known of a run."""
    return {
        **in_short(run),
        "steps": steps(run, now=now),
        "log": run.log,
        "dataset": {"id": run.dataset.pk, "fingerprint": run.dataset.fingerprint} if run.dataset else None,
        "validation_report": run.validation or None,
        "parameters": run.parameters,
        "metrics": run.metrics,
        "verdict": run.verdict or None,
        "mlflow_run_id": run.mlflow_run_id or None,
        "retried_by": TrainingRun.objects.filter(retry_of=run).values_list("pk", flat=True).first(),
        "decided_by": decisions.as_dict(decided_by) if (decided_by := getattr(run, "decided_by", None)) else None,
    }


def steps(run: TrainingRun, *, now: datetime) -> list[dict[str, Any]]:
    """The steps that the run came to, with their seconds; the last one is `at_work` while the run is."""
    begun = [datetime.fromisoformat(step["at"]) for step in run.steps]
    ends = [*begun[1:], run.ended_at or now] if begun else []
    is_running = run.status == TrainingRun.Status.RUNNING
    return [
        {
            **step,
            "state": "at_work" if is_running and number == len(begun) else "done",
            "seconds": round((end - start).total_seconds(), 1),
        }
        for number, (step, start, end) in enumerate(zip(run.steps, begun, ends, strict=True), start=1)
    ]
