"""What is promised of monitoring/ and needs no Prometheus to see: alerts that can be acted on, a dashboard in order."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from tests.monitoring import reading
from tests.monitoring.reading import ADDRESS, FOLDER, alerts, dashboard, of_yaml, panels, trials

ALERTS = alerts()
COMMAND = re.compile(r"manage\.py (\w+)((?:(?!\. )[^;,:)])*)")


# --- Alerts ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ALERTS)
def test_alert_has_a_severity_a_wait_and_says_what_is_wrong_who_is_hurt_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]

    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "mend"}
    openings = [line.partition(":")[0] for line in rule["annotations"]["mend"].splitlines()]
    assert openings == ["Wrong", "Customers", "Do"]


def test_each_wait_has_its_reason() -> None:
    waits = [line for line in (FOLDER / "alerts.yml").read_text().splitlines() if line.strip().startswith("for:")]

    assert len(waits) == len(ALERTS)
    assert [line for line in waits if "#" not in line] == []


@pytest.mark.parametrize("name", ALERTS)
def test_alert_is_tried_firing_and_not_firing(name: str) -> None:
    outcomes = {bool(series) for _history, alert, series in trials() if alert == name}

    assert outcomes == {True, False}


def test_trials_name_no_alert_that_is_gone_and_tell_their_histories_apart() -> None:
    histories = [group["name"] for group in of_yaml(FOLDER / "alerts_test.yml")["tests"]]

    assert {alert for _history, alert, _series in trials()} == set(ALERTS)
    assert len(set(histories)) == len(histories)


@pytest.mark.parametrize("name", ALERTS)
def test_mend_names_a_page_or_a_command(name: str) -> None:
    mend = ALERTS[name]["annotations"]["mend"]

    assert ADDRESS in mend or "manage.py" in mend


def commands() -> list[tuple[str, str, str]]:
    """(alert, command, what follows it) for each command of a mend."""
    found = []
    for name, rule in ALERTS.items():
        for command, rest in COMMAND.findall(rule["annotations"]["mend"]):
            found.append((name, command, rest))
    return found


@pytest.mark.parametrize(("name", "command", "rest"), commands())
def test_command_of_a_mend_exists_with_its_options(name: str, command: str, rest: str) -> None:
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    known = {option for action in parser._actions for option in action.option_strings}

    assert set(re.findall(r"--[\w-]+", rest)) <= known, f"{name}: manage.py {command}{rest}"


ADDRESSES = sorted(
    {
        found
        for rule in ALERTS.values()
        for found in re.findall(re.escape(ADDRESS) + r"([\w/.?=&-]*\w/?)", rule["annotations"]["mend"])
    }
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_address_of_a_mend_answers_whoever_is_signed_in(address: str, at: Any) -> None:
    answer = at.get(address)

    # 503: ready says no, for there is no model here. A filter that the page does not have would lead to ?e=1.
    assert answer.status_code == (503 if address == "/api/health/ready" else 200)


# --- Prometheus -----------------------------------------------------------------------------------
@pytest.mark.parametrize("file", ["prometheus.yml", "prometheus-local.yml"])
def test_prometheus_scrapes_the_job_that_alerts_and_dashboard_select(file: str) -> None:
    config = of_yaml(FOLDER / file)

    [job] = config["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("ticketclf", "/metrics")
    assert config["rule_files"] == ["alerts.yml"]
    assert config["global"]["external_labels"]["address"].startswith("http")
    others = [part for rule in ALERTS.values() for part in re.findall(r'job="([^"]*)"', rule["expr"])]
    assert set(others) == {"ticketclf"}


def test_metrics_that_other_programs_have_too_are_selected_by_job() -> None:
    asked = {one for rule in ALERTS.values() for one in reading.selectors(rule["expr"])}
    asked |= {one for _title, expression in reading.expressions() for one in reading.selectors(expression)}

    assert [one for one in asked if one.startswith(("up", "http_")) and 'job="ticketclf"' not in one] == []


def test_key_is_sent_as_the_api_wants_it_and_kept_out_of_the_repository() -> None:
    [job] = of_yaml(FOLDER / "prometheus.yml")["scrape_configs"]

    assert job["authorization"] == {"type": "Api-Key", "credentials_file": "metrics.key"}
    assert "metrics.key" in (FOLDER.parent / ".gitignore").read_text().split()


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('up{job="a"} == 0 or absent(up{job="a"})', {'up{job="a"}'}),
        ("time() - max by (job) (a_seconds) > 3 * 3600", {"a_seconds"}),
        ('sum by (le, x) (rate(a_bucket{s=~"5..", h!~"b.*|c"}[5m])) / on (job) group_left () b >= 20',
         {'a_bucket{s=~"5..", h!~"b.*|c"}', "b"}),
        ("histogram_quantile(0.99, rate(a[$__rate_interval])) unless on (job) b offset 6h", {"a", "b"}),
    ],
)  # fmt: skip
def test_selectors_are_the_metrics_of_an_expression(expression: str, found: set[str]) -> None:
    assert reading.selectors(expression) == found


# --- Grafana --------------------------------------------------------------------------------------
def test_dashboard_is_bare_json_that_grafana_can_provision() -> None:
    board = dashboard()

    assert (board["uid"], board["title"]) == ("ticketclf", "ticketclf")
    assert board["schemaVersion"] >= 36
    assert not {"__inputs", "__requires", "id", "dashboard", "meta"} & set(board)
    assert {panel["type"] for panel in panels()} == {"timeseries"}


def test_dashboard_chooses_its_datasource_by_a_variable_and_finds_the_provisioned_one() -> None:
    [variable] = dashboard()["templating"]["list"]
    [source] = of_yaml(FOLDER / "grafana/provisioning/datasources/prometheus.yml")["datasources"]

    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert variable["current"]["value"] == source["uid"]
    asked = [thing["datasource"] for panel in panels() for thing in (panel, *panel["targets"])]
    assert {(one["type"], one["uid"]) for one in asked} == {("prometheus", "${datasource}")}


def test_dashboards_lie_apart_from_the_provisioning() -> None:
    [provider] = of_yaml(FOLDER / "grafana/provisioning/dashboards/ticketclf.yml")["providers"]

    assert not provider["options"]["path"].startswith("/etc/grafana/provisioning")
    assert list((FOLDER / "grafana/provisioning").rglob("*.json")) == []


def test_panel_ids_and_titles_are_unique() -> None:
    every = dashboard()["panels"]

    for key in ("id", "title"):
        values = [panel[key] for panel in every]
        assert len(set(values)) == len(values), key


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panel_says_how_to_read_it_has_a_unit_and_targets(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert len(panel["description"]) >= 80
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    columns = range(place["x"], place["x"] + place["w"])
    return set(itertools.product(columns, range(place["y"], place["y"] + place["h"])))


def test_panels_fill_the_grid_without_overlaps_or_gaps() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        here = cells(panel)
        assert not taken & here, panel["title"]
        taken |= here

    assert {x for x, _y in taken} == set(range(24))
    assert len(taken) == 24 * (1 + max(y for _x, y in taken))


def test_each_row_asks_one_question_and_has_panels() -> None:
    every = sorted(dashboard()["panels"], key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"]))
    kinds = "".join("r" if panel["type"] == "row" else "p" for panel in every)

    assert every == dashboard()["panels"]
    assert re.fullmatch(r"(rp{2,6})+", kinds)
    assert all(panel["title"].endswith("?") for panel in every if panel["type"] == "row")


@pytest.mark.parametrize(
    "wanted",
    [
        "http_requests_total", "http_request_duration_seconds_bucket", "support_ticket_drift_score",
        "support_ticket_drift_threshold", "support_ticket_drift_verdict", "ticket_predictions_total",
        "ticket_confidence_bucket", "ticket_inference_seconds_bucket", "ticket_refusals_total", "ticketclf_runs",
        "ticket_live_precision", "ticket_estimated_accuracy", "ticketclf_queue_depth", "ticket_model_loaded_version",
        "ticketclf_model_production_version", "ticketclf_last_training_timestamp_seconds",
    ],
)  # fmt: skip
def test_dashboard_shows_what_was_promised(wanted: str) -> None:
    shown = {
        one.partition("{")[0] for _title, expression in reading.expressions() for one in reading.selectors(expression)
    }

    assert wanted in shown
