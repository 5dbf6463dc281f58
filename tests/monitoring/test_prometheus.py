"""The real Prometheus, on the files of monitoring/, against a running `manage.py up` with two web processes.

Replaced are the target and the key's file, and what would take longer than a test has: a scrape each second instead of
each quarter of a minute, and alerts that wait a second. BEHIND_PROXY is on, so that loopback needs the key as well.
"""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.factories import shipped
from tests.mlops.up import STOP_SECONDS, Api, Up, free_port, manage, starting, until
from tests.monitoring import reading
from tests.monitoring.reading import FOLDER, alerts

pytestmark = pytest.mark.prometheus
SECONDS = 30  # for each thing that is waited for
SHORT = {"$__rate_interval": "1m"}  # what Grafana fills in
# What beat and the worker leave within an hour or a night: a drift snapshot with labels behind it, and ended slots.
ROWS = """
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from classifier.models import ModelVersion, Prediction
from mlops.health import HEARTBEAT
from mlops.models import DriftSnapshot, Slot
now = timezone.now()
names = [HEARTBEAT, *PeriodicTask.objects.filter(enabled=True).exclude(name=HEARTBEAT).values_list("name", flat=True)]
for name in names:
    Slot.objects.create(name=name, task="a task", due_at=now, status="done", sent_at=now, started_at=now, ended_at=now)
signals = ("word_count_psi", "word_count_ks", "unknown_words", "confidence", "category_shares", "text")
DriftSnapshot.objects.create(
    version=ModelVersion.objects.in_production().get(), verdict="steady", words="As before.", method="by hand",
    window_size=500, recent_count=150, reference_count=90, drift_score=0.4, estimated_accuracy=0.93, created_at=now,
    last_prediction=Prediction.objects.order_by("-id").values_list("id", flat=True).first(),
    signals=[{"name": name, "value": 0.02, "threshold": 0.1, "drifted": False, "words": "."} for name in signals],
    quality={"n_labelled": 40, "n_automatic_labelled": 40, "precision": 0.975},
)
"""


@dataclass
class Prometheus:
    """A running Prometheus and its API."""

    port: int
    output: Path

    def get(self, path: str, **query: Any) -> Any:
        address = f"http://127.0.0.1:{self.port}/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{query}: {error.read().decode()}")

    def ask(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The series that an expression gives, now or at a moment. An expression that does not parse fails the test."""
        moment = {} if at is None else {"time": at}
        return list(self.get("api/v1/query", query=expression, **moment)["result"])

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def scraped_at(self) -> float:
        """When the last scrape was that succeeded, 0 before the first."""
        # timestamp() tells the scrape's moment of a plain selector only; of anything else, that of the question.
        found = self.ask('timestamp(up{job="ticketclf"}) and up{job="ticketclf"} == 1')
        return float(found[0]["value"][1]) if found else 0.0

    def wait_for_scrapes(self) -> None:
        """Until a scrape has begun and ended from now on."""
        asked = time.time()
        until(lambda: self.scraped_at() > asked, seconds=SECONDS, what=f"a scrape; {self.output.read_text()}")

    def fires(self, alert: str) -> bool:
        return bool(self.ask(f'ALERTS{{alertname="{alert}", alertstate="firing"}}'))


@dataclass
class Watched:
    """What was seen: the moment of the last scrape, and what fired while nothing was in production."""

    up: Up
    prometheus: Prometheus
    moment: float
    without_model: dict[str, Any]


def folder_for(up: Up, key: str, folder: Path) -> Path:
    """The files of monitoring/ with target, key and waits replaced; gives the configuration."""
    config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    for shipped_words, words in (("web:8000", f"127.0.0.1:{up.port}"), ("15s", "1s"), ("10s", "1s")):
        assert shipped_words in config
        config = config.replace(shipped_words, words)
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    rules, waits = re.subn(r"\bfor: \w+", "for: 1s", (FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    assert waits >= len(alerts())
    (folder / "alerts.yml").write_text(rules, encoding="utf-8")
    (folder / "metrics.key").write_text(key + "\n", encoding="utf-8")
    return folder / "prometheus.yml"


def started(config: Path, folder: Path) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    assert program, "these tests need Prometheus; on Debian: apt-get install prometheus"
    port, output = free_port(), folder / "prometheus.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            stdout=file,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        found = Prometheus(port, output)
        until(found.is_ready, seconds=SECONDS, what=f"Prometheus answers; {output.read_text()}")
        yield found
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def key(var: Path, *scopes: str) -> str:
    made = manage("create_api_key", "test", *(word for scope in scopes for word in ("--scope", scope)), var=str(var))
    assert made.returncode == 0, made.stderr
    return made.stdout.split()[-1]


def stocked(folder: Path) -> Path:
    """A var folder with 600 labelled tickets and no version."""
    var, file = folder / "var", folder / "tickets.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *shipped()])
    for command in (["migrate"], ["import_tickets", str(file), "--create-categories"]):
        done = manage(*command, var=str(var))
        assert done.returncode == 0, done.stderr
    return var


def call_rightly_and_wrongly(up: Up, good: Api) -> None:
    texts = [text for text, _ in shipped()]
    for start in range(0, 30, 10):
        assert good.call("POST", "predict", {"tickets": texts[start : start + 10]})[0] == 200
    assert good.call("POST", "predict", {"tickets": []})[0] == 400
    assert good.call("GET", "runs")[0] == 403
    assert (
        Api(up, "abcdefgh.abcdefghabcdefghabcdefghabcdefgh").call("POST", "predict", {"tickets": texts[:1]})[0] == 401
    )


def lived_through(up: Up, prometheus: Prometheus, *, client: str) -> Watched:
    """Calls that fail for want of a version, a training, calls that succeed and that do not, a scrape after each."""
    api = Api(up, client)
    assert api.call("POST", "predict", {"tickets": ["Where is my parcel?"]})[0] == 503
    until(lambda: prometheus.fires("TicketclfNoModel"), seconds=SECONDS, what="the alert")
    without_model = firing(prometheus, "TicketclfNoModel")
    trained = manage("train", var=str(up.var))
    assert trained.returncode == 0, trained.stderr
    for _ in range(3):  # a rate needs a count in one scrape, and more of it in another
        call_rightly_and_wrongly(up, api)
        prometheus.wait_for_scrapes()
    done = manage("shell", "-v", "0", "-c", ROWS, var=str(up.var))
    assert done.returncode == 0, done.stderr
    prometheus.wait_for_scrapes()
    return Watched(up, prometheus, prometheus.scraped_at(), without_model)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One `up` and one Prometheus for all tests, and the moment at which everything has been seen."""
    folder = tmp_path_factory.mktemp("watched")
    var, own = stocked(folder), folder / "prometheus"
    own.mkdir()
    metrics, client = key(var, "metrics"), key(var, "predict", "label")
    for start in starting(var, folder):
        up = start(BEHIND_PROXY="true", WEB_PROCESSES="2")
        for prometheus in started(folder_for(up, metrics, own), own):
            yield lived_through(up, prometheus, client=client)


def firing(prometheus: Prometheus, name: str) -> dict[str, Any]:
    found = [alert for alert in prometheus.get("api/v1/alerts")["alerts"] if alert["labels"]["alertname"] == name]
    assert found
    return dict(found[0])


def numbers(series: list[dict[str, Any]]) -> list[float]:
    found = [float(one["value"][1]) for one in series]
    return [number for number in found if not math.isnan(number)]


def test_scrape_carries_the_key_and_is_refused_without(watched: Watched) -> None:
    [target] = watched.prometheus.get("api/v1/targets")["activeTargets"]

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{watched.up.port}/metrics", timeout=10)

    refused.value.close()
    assert refused.value.code == 401
    assert target["scrapeUrl"] == f"http://127.0.0.1:{watched.up.port}/metrics"
    assert numbers(watched.prometheus.ask('up{job="ticketclf"}', watched.moment)) == [1]


@pytest.mark.parametrize(("title", "expression"), list(reading.expressions()))
def test_expression_of_the_dashboard_returns_data(watched: Watched, title: str, expression: str) -> None:
    for words, length in SHORT.items():
        expression = expression.replace(words, length)

    found = watched.prometheus.ask(expression, watched.moment)

    assert numbers(found), f"{title}: {found}"


@pytest.mark.parametrize("name", alerts())
def test_expression_of_an_alert_parses_and_each_metric_in_it_returns_series(watched: Watched, name: str) -> None:
    expression = alerts()[name]["expr"]

    watched.prometheus.ask(expression, watched.moment)

    wanted = reading.selectors(expression)
    assert wanted
    assert [one for one in wanted if not watched.prometheus.ask(one, watched.moment)] == []


def test_web_that_works_leaves_nothing_critical_firing(watched: Watched) -> None:
    # The 503s of the start are minutes old and still in the windows of the alert on server errors.
    found = watched.prometheus.ask('ALERTS{severity="critical", alertstate="firing"}', watched.moment)

    assert {one["metric"]["alertname"] for one in found} <= {"TicketclfServerErrors"}


def test_alert_fires_while_there_is_no_model_and_leads_to_the_mend(watched: Watched) -> None:
    alert = watched.without_model

    assert (alert["state"], alert["labels"]["severity"]) == ("firing", "critical")
    assert "http://localhost:8000/admin/classifier/modelversion/" in alert["annotations"]["mend"]
    assert not watched.prometheus.ask('ALERTS{alertname="TicketclfNoModel"}', watched.moment)  # it is mended


def test_alert_fires_when_the_program_is_stopped(watched: Watched) -> None:
    watched.up.process.send_signal(signal.SIGTERM)
    watched.up.process.wait(STOP_SECONDS)

    until(lambda: watched.prometheus.fires("TicketclfDown"), seconds=SECONDS, what="the alert")
