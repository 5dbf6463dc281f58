"""How the commands show runs, versions and scores: aligned for people, one object for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classifier.management.base import TicketclfCommand
from classifier.ml.split import SPLITS
from classifier.ml.thresholds import Trade
from classifier.models import ModelVersion, doer
from mlops.figures import AGGREGATES
from mlops.gathering import Reason
from mlops.models import DriftSnapshot, Promotion, TrainingRun
from mlops.rehearsing import Rehearsal


def facts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of a name and what it is, the second ones below each other."""
    width = max(len(name) for name, _ in pairs)
    return [f"  {name:<{width}}  {value}" for name, value in pairs]


def headlines(columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of the scores over all categories, a column for each split; one alone has its 95 % intervals beside it.

    Scores that were stored before there were intervals are shown without.
    """
    width = max(len(text) for text in AGGREGATES.values())
    lines = [f"  {'':<{width}}" + "".join(f"{name:>12}" for name in columns)] if len(columns) > 1 else []
    alone = next(iter(columns.values())).get("intervals", {}) if len(columns) == 1 else {}
    if alone:
        lines = [f"  {'':<{width}}{'':>12}     95 % interval"]
    for key, text in AGGREGATES.items():
        cells = ("-" if scores[key] is None else f"{scores[key]:.3f}" for scores in columns.values())
        ends = f"  {alone[key]['low']:.3f} to {alone[key]['high']:.3f}" if key in alone else ""
        lines.append(f"  {text:<{width}}" + "".join(f"{cell:>12}" for cell in cells) + ends)
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


def signals(snapshot: DriftSnapshot) -> list[str]:
    """A table of a snapshot's signals, each with the value that chance hardly passes."""
    if not snapshot.signals:
        return []
    lines = [f"  {'signal':<18}{'value':>9}{'threshold':>11}"]
    for signal in snapshot.signals:
        limit = "-" if signal["threshold"] is None else f"{signal['threshold']:.3f}"
        lines.append(f"  {signal['name']:<18}{signal['value']:>9.3f}{limit:>11}{'  drifted' * signal['drifted']}")
    return lines


def rules(verdict: Mapping[str, Any]) -> list[str]:
    """The gate's rules, each with whether it is met, and which tickets decided; verdict is Verdict.as_dict()."""
    lines = [f"  {'met    ' if rule['passed'] else 'not met'}  {rule['words']}" for rule in verdict["reasons"]]
    if verdict.get("n_tickets"):
        both = f", {verdict['n_compared']:,} of them answered by both versions" if verdict["production"] else ""
        lines.append(f"  judged on {verdict['n_tickets']:,} test tickets of dataset {verdict['dataset']}{both}")
    return lines


def show_promotion(command: TicketclfCommand, row: Promotion) -> None:
    """Says what is in production now, for people and for machines."""
    version, replaced = row.version, row.replaced
    instead = f", instead of {replaced}" if replaced else ""
    back = "again " if row.kind == Promotion.Kind.ROLL_BACK else ""
    command.say(f"{str(version).capitalize()} is {back}in production{instead}{' (forced)' if row.forced else ''}.")
    command.say(*rules(row.verdict))
    command.print_json(
        {
            "promoted": True,
            "kind": row.kind,
            "version": version.number,
            "replaced": replaced.number if replaced else None,
            "forced": row.forced,
            "by": doer(row.by, row.key),
            "reason": row.reason,
            "verdict": row.verdict,
        }
    )


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


def rehearsed(found: Rehearsal) -> list[str]:
    """What a training would be given."""
    used, left_out = found.tally.used, found.tally.left_out
    slugs = sorted({slug for counts in used.values() for slug in counts})
    width = max(len("category"), *(len(slug) for slug in slugs)) if slugs else len("category")
    counts = [
        f"  {slug:<{width}}" + "".join(f"{used[split][slug]:>12,}" for split in SPLITS) + f"{sum_of(used, slug):>12,}"
        for slug in slugs
    ]
    totals = "".join(f"{sum(used[split].values()):>12,}" for split in SPLITS) + f"{found.tally.n_used:>12,}"
    findings = [f"{finding.level.capitalize()}: {finding.message}" for finding in found.report.findings]
    return [
        "Dry run: nothing is trained or kept.",
        *([f"  of {found.imported.n_rows:,} rows of the file {found.imported.n_new:,} would be new tickets"]
          if found.imported else []),
        "",
        f"  {'category':<{width}}" + "".join(f"{split:>12}" for split in (*SPLITS, "all")),
        *counts,
        f"  {'all':<{width}}{totals}",
        "",
        f"{found.tally.n_left_out:,} tickets would be left out",
        *(f"  {left_out[reason]:>9,}  {reason.label}" for reason in Reason if left_out[reason]),
        "",
        f"Fingerprint  {found.report.fingerprint}",
        f"retrain would {'skip' if found.would_skip else 'train'}. {found.why}",
        *findings,
    ]  # fmt: skip


def sum_of(used: Mapping[str, Mapping[str, int]], slug: str) -> int:
    return sum(used[split][slug] for split in SPLITS)


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
