"""What stands in monitoring/, read for the tests: alerts, their trials, the dashboard; and what an expression asks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "monitoring"
DASHBOARD = FOLDER / "grafana" / "dashboards" / "ticketclf.json"
ADDRESS = "{{ $externalLabels.address }}"
WORDS = {"and", "or", "unless", "bool", "offset"}  # of PromQL, where a metric could stand
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
RANGE = re.compile(r"\[[^\]]*\]")
SELECTOR = re.compile(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?")


def of_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def alerts() -> dict[str, dict[str, Any]]:
    """The rules of alerts.yml by name."""
    rules = [rule for group in of_yaml(FOLDER / "alerts.yml")["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    return {rule["alert"]: rule for rule in rules}


def trials() -> list[tuple[str, str, list[Any]]]:
    """Of alerts_test.yml: (name of the history, alert that is asked for, series expected to fire)."""
    asked = re.compile(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}')
    found = []
    for group in of_yaml(FOLDER / "alerts_test.yml")["tests"]:
        for trial in group["promql_expr_test"]:
            match = asked.fullmatch(trial["expr"])
            assert match, trial["expr"]
            found.append((group["name"], match[1], trial["exp_samples"]))
    return found


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text(encoding="utf-8")))


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels without the rows that part them."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard with the title of its panel."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def selectors(expression: str) -> set[str]:
    """The metrics that an expression reads, each with its matchers."""
    plain = RANGE.sub(" ", GROUPING.sub(" ", expression))
    return {
        name + (matchers or "") for name, matchers, call in SELECTOR.findall(plain) if not call and name not in WORDS
    }
