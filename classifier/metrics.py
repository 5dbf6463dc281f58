"""Prometheus counters of the requests and the answers, as the web processes see them; /metrics adds the processes up.

What is read from the database at each scrape is mlops/metrics.py. With PROMETHEUS_MULTIPROC_DIR in the environment,
prometheus_client keeps all of these in files there, one a process.
"""

from __future__ import annotations

import os
from collections import Counter as Tally
from collections.abc import Sequence

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

# A second series for each, with the time it began: nobody asks for it, and several processes do not have it.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

REQUESTS = Counter("http_requests_total", "Requests answered.", ["method", "handler", "status"])
# Bounds around what an answer takes: a millisecond or two, and tens when the machine is busy.
SECONDS = Histogram(
    "http_request_duration_seconds",
    "Seconds from the first byte of a request to its answer.",
    ["method", "handler", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSALS = Counter("ticket_refusals_total", "Answers 4xx and 5xx under /api/, by the problem's code.", ["code"])
PREDICTIONS = Counter("ticket_predictions_total", "Tickets answered.", ["category", "decision"])
CONFIDENCE = Histogram(
    "ticket_confidence",
    "Confidence of the answers.",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
# One ticket of 7 words takes 50 microseconds, a hundred of 250 words take 80 ms.
INFERENCE_SECONDS = Histogram(
    "ticket_inference_seconds",
    "Seconds that the model took for all tickets of a call.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
# The label is given by hand, so that one process and several have the same: with several, `liveall` would add it.
LOADED_VERSION = Gauge(
    "ticket_model_loaded_version",
    "Number of the version that a web process answers with; 0: it has loaded none yet.",
    ["pid"],
    multiprocess_mode="liveall",
)
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def count_request(*, method: str, handler: str, status: int, seconds: float) -> None:
    """Counts one request; a method that nobody defined is counted as OTHER, so that labels stay few."""
    known = method if method in METHODS else "OTHER"
    REQUESTS.labels(known, handler, str(status)).inc()
    SECONDS.labels(known, handler, str(status)).observe(seconds)


def count_refusal(code: str) -> None:
    REFUSALS.labels(code).inc()


def count_answers(
    *, labels: Sequence[str], decisions: Sequence[str], confidences: Sequence[float], seconds: float
) -> None:
    """Counts the tickets of one call: a column each, all of length n_tickets. seconds: what the model took for all."""
    INFERENCE_SECONDS.observe(seconds)
    for (label, decision), count in Tally(zip(labels, decisions, strict=True)).items():
        PREDICTIONS.labels(label, decision).inc(count)
    for confidence in confidences:
        CONFIDENCE.observe(confidence)


def show_process() -> None:
    """Lets this process be seen at /metrics, with version 0 until it has loaded one."""
    LOADED_VERSION.labels(str(os.getpid()))


def note_loaded(version: int) -> None:
    LOADED_VERSION.labels(str(os.getpid())).set(version)
