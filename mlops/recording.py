"""What MLflow is told of a version, made from its rows alone, so that it can be told at once or long after."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from classifier.inference import load
from classifier.ml.model import TextModel
from classifier.ml.scoring import Scores
from classifier.models import ModelVersion
from mlops import figures, tracking
from mlops.evaluation import write_json, write_report
from mlops.figures import PREFIXES, TOLD
from mlops.models import TrainingRun
from mlops.tracking import Facts, Recorded

IDENTITY = ("version", "artifact_sha256")  # the tags by which a version is found again in MLflow


def record(version: ModelVersion, run: TrainingRun, *, model: TextModel, reports: Path) -> Recorded:
    """Records a version that was trained a moment ago; reports: the folder that write_reports filled.

    A run that does again what one did whose process died may find its model recorded already. Raises NotRecorded.
    """
    if run.retry_of_id is not None:
        tags = _tags(version, run)
        found = tracking.recorded_before({name: tags[name] for name in IDENTITY})
        if found is not None:
            return found
    return tracking.record(_facts(version, run, model=model, reports=reports))


def record_again(version: ModelVersion, run: TrainingRun) -> Recorded:
    """Records a version of which only the rows are known, unless MLflow turns out to have it already.

    Raises NotRecorded, and DamagedModel if its bytes are not whole.
    """
    tags = _tags(version, run)
    found = tracking.recorded_before({name: tags[name] for name in IDENTITY})
    if found is not None:
        return found
    model = load(version)
    with TemporaryDirectory(prefix="ticketclf-") as folder:
        write_reports(version, run, Path(folder))
        return record(version, run, model=model, reports=Path(folder))


def write_reports(version: ModelVersion, run: TrainingRun, folder: Path) -> None:
    """Writes the scores of both splits, their confusion pictures, and the report on the data."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in TOLD:
        scores = version.metrics.get(split)
        if scores:
            about = {"version": version.number, "split": split, "includes_training_rows": False}
            write_report(Scores.from_dict(scores), folder, prefix=PREFIXES[split], about=about)
    write_json(run.validation, folder / "validation_report.json")


def _facts(version: ModelVersion, run: TrainingRun, *, model: TextModel, reports: Path) -> Facts:
    return Facts(
        name=f"version-{version.number}",
        parameters=version.parameters,
        metrics=figures.named(version.metrics),
        tags=_tags(version, run),
        reports=reports,
        model=model,
    )


def _tags(version: ModelVersion, run: TrainingRun) -> dict[str, str]:
    return {
        "dataset_fingerprint": run.dataset.fingerprint if run.dataset else "",
        "training_run": str(run.pk),
        "version": str(version.number),
        "trigger": run.trigger,
        "artifact_sha256": version.artifact_id,
    }
