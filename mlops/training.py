"""From labelled tickets to a candidate: fit, prove, score, keep, record. Gathering them is gathering.py."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from classifier.labelling import import_tickets
from classifier.ml import artifact
from classifier.ml.profile import Profile
from classifier.ml.scoring import Scores
from classifier.ml.validation import Finding, Report
from classifier.models import ModelArtifact, ModelVersion, User
from classifier.reading import FileRow, read
from mlops import profiling, recording, runs, tracking, tuning
from mlops.evaluation import answers_to, evaluate_tickets
from mlops.gathering import Material, freeze, gather, validate
from mlops.models import TrainingRun

if TYPE_CHECKING:
    from classifier.ml.pipeline import Fitted

RECIPES = ("word_char", "original")  # those of classifier/ml/pipeline.py, which doors must not wait 1.5 s for
MAX_DISAGREEMENT = 1e-6  # of a probability, between what serves and the scikit-learn pipeline it was made from
LIBRARIES = ("scikit-learn", "numpy", "scipy")
Progress = Callable[[str], None]
Status = TrainingRun.Status


class CannotLearn(ValueError):
    """The tickets are valid and still nothing can be learnt from them; the message says why."""


class UnfaithfulModel(RuntimeError):
    """What would serve does not answer as the pipeline that was fitted: it must not become a version."""


@dataclass(frozen=True)
class Trained:
    """A model that is fitted, scored and proven, and no version yet."""

    first: Fitted  # on train only: C, the temperature and the validation scores are its own
    last: Fitted  # on train and validation, with that C and temperature: what serves
    validation: Scores
    test: Scores
    tuned: tuning.Tuned
    profile: Profile
    answers: dict[str, list[Any]]  # of the last fit to the test tickets
    seconds: float

    @cached_property
    def content(self) -> bytes:
        return self.last.model.to_bytes()

    @property
    def metrics(self) -> dict[str, Any]:
        scores = {"validation": self.validation.as_dict(), "test": self.test.as_dict()}
        return {**scores, "automatic": self.tuned.trades}


@dataclass(frozen=True)
class Steps:
    """Tells of each step: the run's row, whose lease that renews, and whoever watches. Details are indented."""

    run: TrainingRun
    clock: runs.Clock
    progress: Progress

    def __call__(self, step: str) -> None:
        runs.note(self.run, step, now=self.clock())
        self.progress(step)


def settings_that_shape(recipe: str) -> dict[str, Any]:
    """What, besides the tickets, decides what a training makes: with all of it unchanged it makes the same again."""
    return {
        "recipe": recipe,
        "seed": settings.SEED,
        "min_tickets_per_category": settings.MIN_TICKETS_PER_CATEGORY,
        "train_on_api_labels": settings.TRAIN_ON_API_LABELS,
    }


def silent(_step: str) -> None:
    """Progress that nobody watches."""


def train(
    *,
    trigger: str,
    by: User | None = None,
    reason: str = "",
    recipe: str | None = None,
    data: Path | None = None,
    clock: runs.Clock = timezone.now,
    progress: Progress = silent,
) -> TrainingRun:
    """Trains on all labelled tickets and returns the run: succeeded with a candidate, or rejected with its report.

    data: a file whose tickets are imported first. Raises UnreadableFile (before a run begins), RunInProgress, and
    whatever else goes wrong, after the run was marked failed.
    """
    rows = list(read(data)) if data is not None else []
    order = runs.Order(
        kind=TrainingRun.Kind.TRAIN, trigger=trigger, recipe=recipe or settings.RECIPE, by=by, reason=reason
    )
    with runs.running(order, clock=clock) as run:
        make_candidate(Steps(run=run, clock=clock, progress=progress), rows=rows, by=by)
    return run


def make_candidate(
    steps: Steps, *, rows: Sequence[FileRow] = (), by: User | None = None, material: Material | None = None
) -> None:
    """Carries a running run from labelled tickets to a candidate, or ends it as rejected with the report.

    A run of the kind `train` ends with the candidate, in the same transaction; one of the kind `retrain` goes on.
    rows: tickets to import first. material: what gather() gave a moment ago, to read no text twice.
    """
    run = steps.run
    refusals = _bring_in(rows, by=by, steps=steps) if rows else ()
    material = material or gather()
    steps(f"validate {len(material.labelled):,} tickets in {len(material.categories)} categories")
    report = validate(material, refusals=refusals)
    runs.write(run, validation=report.as_dict())
    if not report.ok:
        runs.end(run, Status.REJECTED, outcome=_why_rejected(report), now=steps.clock())
        return
    runs.write(run, dataset=freeze(material))
    _keep(fit(material, recipe=run.recipe, steps=steps), steps=steps)


def fit(material: Material, *, recipe: str, steps: Progress) -> Trained:
    """Fits on train, tunes on validation, fits again on both, and scores what came out.

    steps: told of each step, the C that are tried among them. Raises CannotLearn and UnfaithfulModel.
    """
    from classifier.ml import pipeline  # scikit-learn takes 1.5 s to import, and only trainings need it

    began = time.perf_counter()
    train_tickets, validation, test = (material.of(split) for split in ("train", "validation", "test"))
    both = material.of("train", "validation")
    steps(f"fit {recipe} on {len(train_tickets.texts):,} tickets")
    try:
        first = pipeline.fit(
            train_tickets.texts,
            train_tickets.truth,
            validation_texts=validation.texts,
            validation_categories=validation.truth,
            recipe=recipe,
            seed=settings.SEED,
            progress=lambda detail: steps(f"  {detail}"),
        )
    except (pipeline.TooFewTickets, pipeline.UnknownCategory) as error:
        raise CannotLearn(str(error)) from error
    steps(f"refit on {len(both.texts):,} tickets, with validation")
    last = pipeline.refit(
        both.texts, both.truth, recipe=recipe, c=first.c, temperature=first.temperature, seed=settings.SEED
    )
    steps(f"score {len(validation.texts):,} validation and {len(test.texts):,} test tickets")
    _prove(last, validation.texts)
    steps(f"solve thresholds for a precision of {settings.TARGET_PRECISION:g}")
    return Trained(
        first=first,
        last=last,
        validation=evaluate_tickets(first.model, validation),
        test=evaluate_tickets(last.model, test),
        tuned=tuning.tune(first.model, last.model, validation=validation, test=test),
        profile=profiling.make(first.model, last.model, validation=validation, test=test),
        answers=answers_to(last.model, test),
        seconds=round(time.perf_counter() - began, 1),
    )


def _prove(fitted: Fitted, texts: Sequence[str]) -> None:
    from classifier.ml import pipeline

    found = pipeline.disagreement(fitted.model, fitted.pipeline, texts)
    if not found <= MAX_DISAGREEMENT:  # so written, NaN is refused too
        raise UnfaithfulModel(
            f"The serving model must answer as its pipeline does, to {MAX_DISAGREEMENT:g} of a probability; on the "
            f"validation tickets they differ by {found:g}. Report this: it is a fault of the program, not of the data."
        )


# --- Before: tickets that come with the command ---------------------------------------------------
def _bring_in(rows: Sequence[FileRow], *, by: User | None, steps: Progress) -> tuple[Finding, ...]:
    """Imports the rows of a file, all or none; gives what was refused as errors of the report."""
    steps(f"import {len(rows):,} rows")
    return import_tickets(rows, by=by, seed=settings.SEED).findings


def _why_rejected(report: Report) -> str:
    return " ".join(finding.message for finding in report.findings if finding.level == "error")


# --- After: rows, files and MLflow ----------------------------------------------------------------
def _keep(trained: Trained, *, steps: Steps) -> None:
    """Keeps the model and its reports, records it, and writes the rows."""
    run = steps.run
    number = ModelVersion.objects.next_number()
    steps(f"keep version {number}")
    version = ModelVersion(
        number=number,
        recipe=run.recipe,
        categories=list(trained.last.model.categories),
        artifact=_keep_bytes(trained.content),
        metrics=trained.metrics,
        parameters=_parameters(run, trained),
        **trained.tuned.columns,
        test_answers=trained.answers,
        profile=trained.profile.as_dict(),
        created_at=steps.clock(),
    )
    version.path.parent.mkdir(parents=True, exist_ok=True)
    artifact.write(version.path, trained.content)  # under a temporary name, synced, renamed
    folder = Path(settings.REPORTS_DIR) / f"version-{number}"
    recording.write_reports(version, run, folder)
    steps("record in MLflow")
    outcome = f"Version {number}: macro-F1 {trained.test.macro_f1:.3f} on {trained.test.n_tickets:,} test tickets."
    try:
        recorded = recording.record(version, run, model=trained.last.model, reports=folder)
        version.mlflow_run_id, version.mlflow_version = recorded.run_id, recorded.version
    except tracking.NotRecorded as error:  # a good model is not lost because its diary was closed
        outcome += f" Not recorded: {error}"
        steps.progress(f"  not recorded: {error}")
    _write_rows(version, outcome=outcome, steps=steps)


def _write_rows(version: ModelVersion, *, outcome: str, steps: Steps) -> None:
    """Writes the version and what its run knows of it, in one transaction; a run of the kind `train` ends with it."""
    run = steps.run
    made = {
        "version": version,
        "parameters": version.parameters,
        "metrics": version.metrics,
        "mlflow_run_id": version.mlflow_run_id,
        "outcome": outcome,
    }
    with transaction.atomic():
        version.save()
        if run.kind == TrainingRun.Kind.TRAIN:
            runs.end(run, Status.SUCCEEDED, now=steps.clock(), **made)
        else:
            runs.write(run, **made)


def _keep_bytes(content: bytes) -> ModelArtifact:
    """The row of these bytes; the same model fitted twice is one row, which is mended if it was damaged."""
    digest = hashlib.sha256(content).hexdigest()
    row, _ = ModelArtifact.objects.get_or_create(sha256=digest, defaults={"content": content, "n_bytes": len(content)})
    if bytes(row.content) != content:
        row.content = content
        row.save(update_fields=["content"])
    return row


def _parameters(run: TrainingRun, trained: Trained) -> dict[str, Any]:
    """What the version was made with: enough to make it again."""
    counts = run.dataset.counts if run.dataset else {}
    return {
        **settings_that_shape(run.recipe),
        "c": trained.first.c,
        "temperature": trained.first.temperature,
        "tried": [list(pair) for pair in trained.first.tried],  # (C, log-loss on validation)
        "converged": trained.last.converged,
        "target_precision": trained.tuned.thresholds.target,  # shapes no model: tune_thresholds changes it afterwards
        **{f"n_{split}": sum(by_category.values()) for split, by_category in counts.items()},
        "n_categories": len(trained.last.model.categories),
        "n_features": trained.last.model.features.n_terms,
        "seconds": trained.seconds,
        "python": platform.python_version(),
        **{library: installed(library) for library in LIBRARIES},
    }
