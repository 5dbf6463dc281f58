"""How the commands show runs, versions and scores: aligned for people, one object for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classifier.ml.thresholds import Trade
from classifier.models import ModelVersion
from mlops.evaluation import SPLITS
from mlops.models import TrainingRun

HEADLINES = (
    ("accuracy", "accuracy"),
    ("macro_precision", "macro precision"),
    ("macro_recall", "macro recall"),
    ("macro_f1", "macro F1"),
    ("weighted_f1", "weighted F1"),
    ("log_loss", "log-loss"),
    ("calibration_error", "calibration error"),
)


def facts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of a name and what it is, the second ones below each other."""
    width = max(len(name) for name, _ in pairs)
    return [f"  {name:<{width}}  {value}" for name, value in pairs]


def headlines(columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of the scores over all categories, a column for each split; one alone needs no heading."""
    width = max(len(text) for _, text in HEADLINES)
    lines = [f"  {'':<{width}}" + "".join(f"{name:>12}" for name in columns)] if len(columns) > 1 else []
    for key, text in HEADLINES:
        cells = ("-" if scores[key] is None else f"{scores[key]:.3f}" for scores in columns.values())
        lines.append(f"  {text:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    return lines


def categories(scores: Mapping[str, Any]) -> list[str]:
    """A table of the scores of each category."""
    per_category = scores["per_category"]
    width = max(len("category"), *(len(slug) for slug in per_category))
    lines = [f"  {'category':<{width}}{'precision':>12}{'recall':>9}{'F1':>9}{'tickets':>10}"]
    for slug, row in sorted(per_category.items()):
        cells = f"{row['precision']:>12.3f}{row['recall']:>9.3f}{row['f1']:>9.3f}{row['support']:>10,}"
        lines.append(f"  {slug:<{width}}{cells}")
    return lines


def thresholds(solved: Mapping[str, Any]) -> list[str]:
    """A table of each category's threshold and what it gives; solved is Thresholds.as_dict()."""
    per_category, whole = solved["per_category"], solved["whole"]
    width = max(len("all together"), *(len(slug) for slug in per_category))
    lines = [f"  {'category':<{width}}{'threshold':>11}{'coverage':>10}{'precision':>11}{'tickets':>9}"]
    for slug, row in sorted(per_category.items()):
        least = "-" if row["threshold"] is None else f"{row['threshold']:.3f}"
        notes = {
            "review only": row["threshold"] is None,
            "pooled": row["pooled"],
            f"target {row['target']:g}": row["target"] != solved["target"],
        }
        said = ", ".join(note for note, applies in notes.items() if applies)
        lines.append(f"  {slug:<{width}}{least:>11}{_trade(row)}{row['n_tickets']:>9,}  {said}".rstrip())
    return [*lines, f"  {'all together':<{width}}{'':>11}{_trade(whole)}{whole['n_answers']:>9,}"]


def trades(others: Mapping[float, Trade], *, target: float) -> list[str]:
    """A table of what targets give over all categories; the one that was asked for is marked."""
    lines = [f"  {'target':>8}{'coverage':>10}{'precision':>11}"]
    marks = {target: "  asked for"}
    return [
        *lines,
        *(f"  {share:>8g}{_trade(trade.as_dict())}{marks.get(share, '')}" for share, trade in others.items()),
    ]


def _trade(row: Mapping[str, Any]) -> str:
    precision = "-" if row["precision"] is None else f"{row['precision']:.3f}"
    return f"{row['coverage']:>10.3f}{precision:>11}"


def rules(verdict: Mapping[str, Any]) -> list[str]:
    """The gate's rules, each with whether it is met; verdict is Verdict.as_dict()."""
    return [f"  {'met    ' if rule['passed'] else 'not met'}  {rule['words']}" for rule in verdict["reasons"]]


def trained(run: TrainingRun, version: ModelVersion) -> list[str]:
    """What a training made."""
    splits = ", ".join(f"{version.parameters[f'n_{split}']:,} {split}" for split in SPLITS)
    recorded = f"run {run.mlflow_run_id}, registered version {version.mlflow_version}"
    chosen = f"C {version.parameters['c']:g}, temperature {version.parameters['temperature']:.3f}"
    return [
        f"{str(version).capitalize()} ({version.status})",
        *facts(
            [
                ("recipe", f"{version.recipe}, {chosen}"),
                ("categories", f"{len(version.categories):,}"),
                ("tickets", splits),
                ("automatic", _automatic(version.metrics["automatic"]["test"], target=version.thresholds["target"])),
                ("fingerprint", run.dataset.fingerprint if run.dataset else ""),
                ("model file", str(version.path)),
                ("MLflow", recorded if run.mlflow_run_id else "not recorded"),
            ]
        ),
        "",
        *headlines({"validation": version.metrics["validation"], "test": version.metrics["test"]}),
        "",
        *warnings(run),
        run.outcome,
    ]


def _automatic(trade: Mapping[str, Any], *, target: float) -> str:
    right = "" if trade["precision"] is None else f", {trade['precision']:.3f} of them right (wanted {target:g})"
    return f"{trade['coverage']:.3f} of the test tickets{right}"


def warnings(run: TrainingRun) -> list[str]:
    """What validation warned of, a line each."""
    found = [finding["message"] for finding in run.validation.get("findings", []) if finding["level"] == "warning"]
    return [f"Warning: {message}" for message in found]


def run_as_dict(run: TrainingRun) -> dict[str, Any]:
    """A run and what it made, as one object; without a version that part is null."""
    version = run.version
    return {
        "run": run.pk,
        "status": run.status,
        "outcome": run.outcome,
        "recipe": run.recipe,
        "dataset_fingerprint": run.dataset.fingerprint if run.dataset else None,
        "mlflow_run_id": run.mlflow_run_id or None,
        "version": version.number if version else None,
        "version_status": version.status if version else None,
        "mlflow_version": version.mlflow_version if version else None,
        "model_file": str(version.path) if version else None,
        "parameters": run.parameters,
        "validation": run.metrics.get("validation"),
        "test": run.metrics.get("test"),
        "data_report": run.validation,
    }
