"""monitoring/ in the hands of promtool: the configuration, the rules, the trials, and what an alert then says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.monitoring.reading import ADDRESS, FOLDER, alerts

pytestmark = pytest.mark.prometheus
HERE = "http://tickets.test"
LABELS = 'instance="web:8000", job="ticketclf", model_version="3"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder as it is mounted: with the key, which is in no repository."""
    for file in FOLDER.glob("*.yml"):
        shutil.copy(file, tmp_path)
    (tmp_path / "metrics.key").write_text("a.key\n")
    return tmp_path


def promtool(*arguments: str, folder: Path) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("file", ["prometheus.yml", "prometheus-local.yml"])
def test_configuration_passes(file: str, folder: Path) -> None:
    assert f"{file} is valid" in promtool("check", "config", file, folder=folder)


def test_rules_pass(folder: Path) -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", "--lint-fatal", "alerts.yml", folder=folder)


def test_every_alert_fires_and_keeps_silent_as_it_should(folder: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml", folder=folder)


DRIFT = {
    f'support_ticket_drift_drifted{{{LABELS}, signal="unknown_words"}}': 1,
    f'support_ticket_drift_score{{{LABELS}, signal="unknown_words"}}': 0.21,
    f'support_ticket_drift_threshold{{{LABELS}, signal="unknown_words"}}': 0.08,
}
WORSE = {
    f'support_ticket_drift_drifted{{{LABELS}, signal="confidence"}}': 1,
    f"ticket_estimated_accuracy{{{LABELS}}}": 0.813,
}
PRECISION = {f"ticket_live_precision{{{LABELS}}}": 0.8, f"ticket_live_labelled{{{LABELS}}}": 100}


@pytest.mark.parametrize(
    ("name", "series", "labels", "summary", "description"),
    [
        (
            "TicketclfInputChanged",
            DRIFT,
            {"signal": "unknown_words"},
            "Tickets are no longer like those that version 3 was made with: unknown_words",
            "Signal unknown_words is 0.21, above its threshold of 0.08, in two snapshots or more.",
        ),
        (
            "TicketclfLikelyWorse",
            WORSE,
            {},
            "Version 3 is sure of fewer answers than it was: likely damage",
            "By its calibrated confidence 81.3% of its newest answers are right, fewer than chance explains.",
        ),
        (
            "TicketclfPrecisionLow",
            PRECISION,
            {"instance": "web:8000"},
            "Automatic answers of version 3 are wrong more often than was promised",
            # 0.8 + 2 x sqrt(0.8 x 0.2 / 100) = 0.88
            "Of the automatic answers of 7 days that were labelled since, 80% were right; TARGET_PRECISION "
            "promises 95 %. Even with twice the error of chance it is 88% at most.",
        ),
    ],
)
def test_alert_says_its_figures_and_leads_to_the_pages(
    name: str, series: dict[str, float], labels: dict[str, str], summary: str, description: str, folder: Path
) -> None:
    rule = alerts()[name]
    expected = {
        "exp_labels": {**rule["labels"], "job": "ticketclf", "model_version": "3", **labels},
        "exp_annotations": {
            "summary": summary,
            "description": description,
            "mend": rule["annotations"]["mend"].replace(ADDRESS, HERE),
        },
    }
    trial = {
        "interval": "1m",
        "external_labels": {"address": HERE},
        "input_series": [{"series": key, "values": f"{value}x120"} for key, value in series.items()],
        "alert_rule_test": [{"eval_time": "100m", "alertname": name, "exp_alerts": [expected]}],
    }
    content = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [trial]}
    (folder / "said.yml").write_text(yaml.safe_dump(content))

    assert "SUCCESS" in promtool("test", "rules", "said.yml", folder=folder)
