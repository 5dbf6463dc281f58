"""Several web processes as one: their counts add up in every scrape, and outlive the process that counted."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.mlops.up import Api, Starter, Up, manage, until

pytestmark = pytest.mark.servers
REQUESTS = 200
MOST_TRIES = 2000  # by chance one of two processes is left out of so many requests less than once in a lifetime
AGAIN_SECONDS = 30


def get(up: Up, path: str = "/metrics", **headers: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{up.port}{path}", headers=headers)  # each a new connection
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (http, above)
        return str(answer.read().decode())


def series(up: Up, name: str) -> dict[str, float]:
    """{labels: value} of a name in one scrape."""
    return {
        ",".join(sample.labels.values()): sample.value
        for family in parse(get(up))
        for sample in family.samples
        if sample.name == name
    }


def is_replaced(up: Up, victim: int) -> bool:
    """Whether two processes count, and the killed one is none of them."""
    try:
        found = series(up, "ticket_model_loaded_version")
    except OSError:  # a connection that the killed one had taken already is reset
        return False
    return str(victim) not in found and len(found) == 2


def answered(up: Up) -> float:
    return sum(
        value for labels, value in series(up, "http_requests_total").items() if "health_live" in labels.split(",")
    )


def processes_that_counted(var: Path) -> list[Path]:
    """The files of processes that have counted requests; other processes leave none."""
    return [file for file in (var / "counts").glob("counter_*.db") if b"health_live" in file.read_bytes()]


def test_requests_over_two_processes_add_up_in_every_scrape_and_outlive_a_process(start: Starter, var: Path) -> None:
    up = start(WEB_PROCESSES="2")
    before = answered(up)  # by the supervisor, until web was ready
    sent = 0
    while sent < REQUESTS or len(processes_that_counted(var)) < 2:
        get(up, "/api/health/live")
        sent += 1
        assert sent < MOST_TRIES, "one process answers everything"

    scrapes = [answered(up) for _ in range(10)]

    assert scrapes == [before + sent] * 10
    loaded = series(up, "ticket_model_loaded_version")
    assert set(loaded.values()) == {0}
    assert len(loaded) == 2

    victim = int(next(iter(loaded)))
    os.kill(victim, signal.SIGKILL)
    until(
        lambda: is_replaced(up, victim),
        seconds=AGAIN_SECONDS,
        what="a new process in place of the killed one",
    )

    kept = answered(up)
    assert kept >= before + sent  # and what until() has asked since
    assert answered(up) == kept


def test_web_that_is_started_again_goes_on_with_its_counts_and_a_new_up_begins_anew(start: Starter) -> None:
    up = start(WEB_PROCESSES="2")
    for _ in range(20):
        get(up, "/api/health/live")
    before = answered(up)

    os.killpg(up.leader_of("granian"), signal.SIGKILL)
    until(lambda: up.printed().count("web      ready in") == 2, seconds=AGAIN_SECONDS, what="web ready again")

    assert before < answered(up) < before + 100  # the questions whether it is ready, and none twice
    up.process.send_signal(signal.SIGTERM)
    up.process.wait(30)
    again = start(WEB_PROCESSES="2")
    assert answered(again) < before


def test_worker_and_beat_write_no_counts(start: Starter, var: Path) -> None:
    up = start(WEB_PROCESSES="2")
    get(up)

    web = set(up.pids_of("granian"))
    writers = {int(file.stem.rpartition("_")[2]) for file in (var / "counts").iterdir()}
    assert writers <= web


@pytest.mark.parametrize("processes", ["1", "2"])
def test_names_and_labels_are_the_same_with_one_process_and_two(start: Starter, stocked: str, processes: str) -> None:
    up = start(WEB_PROCESSES=processes)
    api = Api(up, stocked)
    api.call("POST", "predict", {"tickets": ["I was double charged"]})  # 503: nothing is trained
    labels = {
        family.name: {tuple(sorted(set(sample.labels) - {"le"})) for sample in family.samples}
        for family in parse(get(up))
    }

    assert labels["http_requests"] == {("handler", "method", "status")}
    assert labels["http_request_duration_seconds"] == {("handler", "method", "status")}
    assert labels["ticket_model_loaded_version"] == {("pid",)}
    assert labels["ticket_refusals"] == {("code",)}
    assert labels["ticket_inference_seconds"] == labels["ticket_confidence"] == {()}
    assert labels["ticketclf_queue_depth"] == {("queue",)}
    strict = get(up, accept="application/openmetrics-text;version=1.0.0")
    assert {"http_requests", "ticketclf_database_up"} <= {family.name for family in parse_openmetrics(strict)}


def test_scrape_of_a_frozen_broker_takes_a_second_at_most(start: Starter) -> None:
    up = start()
    valkey = up.leader_of("valkey-server")
    os.kill(valkey, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        found = get(up)
        seconds = time.monotonic() - begun
    finally:
        os.kill(valkey, signal.SIGCONT)

    assert "ticketclf_broker_up 0.0" in found
    assert "ticketclf_database_up 1.0" in found
    assert "ticketclf_queue_depth{" not in found
    assert seconds < 1.2
    assert "ticketclf_broker_up 1.0" in get(up)


def test_key_of_scope_metrics_scrapes_from_anywhere(start: Starter, var: Path) -> None:
    up = start(BEHIND_PROXY="true")
    key = manage("create_api_key", "prometheus", "--scope", "metrics", var=str(var)).stdout.split()[-1]

    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(up)
    assert "ticketclf_database_up 1.0" in get(up, authorization=f"Api-Key {key}")
