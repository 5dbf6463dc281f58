"""The pages of training runs and of the datasets they froze. Both are records, to be read."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from classifier.admin.base import FactAdmin
from classifier.admin.cells import NOTHING, code, excerpt, figure, link, listing, moment, paragraph
from classifier.admin.sheets import Sheet
from classifier.models import ModelVersion, doer
from mlops.admin import reports
from mlops.admin.live import LiveAdmin, steps_taken
from mlops.admin.slots import seconds_between
from mlops.admin.steering import StartsRuns
from mlops.models import MOST_ATTEMPTS, Dataset, TrainingRun

STATUS_COLOURS = {
    "succeeded": "success",
    "running": "info",
    "queued": "info",
    "rejected": "warning",
    "skipped": "",
    "failed": "danger",
}
created = moment("created_at", "created")
HEAVY_OF_DATASET = ("dataset__members", "dataset__counts")


@admin.register(TrainingRun)
class TrainingRunAdmin(StartsRuns, LiveAdmin, FactAdmin):
    """Each attempt to make a version: who asked for it, where it is, what came of it."""

    empty = "No training yet. Start one above, or with manage.py train."
    at_work = (TrainingRun.Status.QUEUED, TrainingRun.Status.RUNNING)
    list_display = ("name", "standing", "started", "recipe", "made", "came_of_it", "took", created)
    list_filter = ("status", "trigger", "recipe", "created_at")
    search_fields = ("outcome", "mlflow_run_id", "version__number__exact")
    search_help_text = "Words of the outcome, a version's number or an MLflow run"
    sortable_by = ()
    fieldsets = (
        (None, {"fields": ("standing", "whole_outcome", "made", "frozen", "again")}),
        (
            "How it went",
            {
                "fields": (
                    "kind",
                    "started",
                    "decided",
                    "why",
                    "recipe",
                    created,
                    "took",
                    "step",
                    "whole_log",
                    "mlflow_run",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        runs = super().get_queryset(request).select_related("version", "dataset", "by", "key")
        return runs.defer(*ModelVersion.heavy("version"), *HEAVY_OF_DATASET)

    def for_list(self, queryset: QuerySet) -> QuerySet:
        return queryset.defer(*TrainingRun.HEAVY)

    @display(description="run", ordering="id")
    def name(self, run: TrainingRun) -> str:
        return f"#{run.pk}"

    @display(description="status", label=STATUS_COLOURS)
    def standing(self, run: TrainingRun) -> str:
        return run.status

    @display(description="started by")
    def started(self, run: TrainingRun) -> str:
        name = doer(run.by, run.key)
        return f"{run.trigger}, {name}" if name else run.trigger

    @display(description="reason")
    def why(self, run: TrainingRun) -> str:
        return run.reason or NOTHING

    @display(description="decision that began it")
    def decided(self, run: TrainingRun) -> str:
        return link(getattr(run, "decided_by", None))

    @display(description="attempt")
    def again(self, run: TrainingRun) -> str:
        if run.attempt == 1:
            return "The first."
        return f"{run.attempt} of {MOST_ATTEMPTS}: run {run.retry_of_id}, whose process had died, begun again."

    @display(description="version")
    def made(self, run: TrainingRun) -> str:
        return link(run.version)

    @display(description="dataset")
    def frozen(self, run: TrainingRun) -> str:
        return link(run.dataset)

    @display(description="outcome")
    def came_of_it(self, run: TrainingRun) -> str:
        is_at_work = run.status == TrainingRun.Status.RUNNING
        return excerpt(run.step if is_at_work else run.outcome) or NOTHING

    @display(description="outcome")
    def whole_outcome(self, run: TrainingRun) -> str:
        return paragraph(run.outcome)

    @display(description="seconds")
    def took(self, run: TrainingRun) -> str:
        ended = timezone.now() if run.status == TrainingRun.Status.RUNNING else run.ended_at
        return seconds_between(run.started_at, ended)

    @display(description="log")
    def whole_log(self, run: TrainingRun) -> str:
        return listing(run.log)

    @display(description="MLflow run")
    def mlflow_run(self, run: TrainingRun) -> str:
        return code(run.mlflow_run_id)

    def sheet(self, row: TrainingRun) -> Sheet:
        verdict = (reports.rules(row.verdict),) if row.verdict else ()
        scores = (reports.splits(row.metrics), reports.settings_table(row.parameters))
        steps = steps_taken(row.steps, ended_at=row.ended_at, now=timezone.now())
        found = reports.findings(row.validation)
        tables = (steps, found) if row.status in self.at_work else (*verdict, found, steps, *scores)
        return Sheet(figures=reports.headline(row.metrics.get("test", {})), tables=tables)


@admin.register(Dataset)
class DatasetAdmin(FactAdmin):
    """The labelled tickets that runs trained on, frozen."""

    empty = "No dataset yet. A training freezes the tickets that it learns from."
    list_display = ("name", "tickets", "categories", "short_fingerprint", created)
    list_filter = ("created_at",)
    search_fields = ("fingerprint__startswith",)
    search_help_text = "The beginning of a fingerprint"
    sortable_by = ()
    fields = ("tickets", "categories", "whole_fingerprint", created)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer("members")  # the ids of all its tickets: a megabyte at 100,000

    @display(description="dataset")
    def name(self, dataset: Dataset) -> str:
        return f"#{dataset.pk}"

    @display(description="tickets")
    def tickets(self, dataset: Dataset) -> str:
        return figure(sum(sum(split.values()) for split in dataset.counts.values()))

    @display(description="categories")
    def categories(self, dataset: Dataset) -> str:
        return figure(len({slug for split in dataset.counts.values() for slug in split}))

    @display(description="fingerprint")
    def short_fingerprint(self, dataset: Dataset) -> str:
        return code(dataset.fingerprint, 12)

    @display(description="fingerprint")
    def whole_fingerprint(self, dataset: Dataset) -> str:
        return code(dataset.fingerprint)

    def sheet(self, row: Dataset) -> Sheet:
        return Sheet(tables=(reports.split_counts(row.counts),))
