"""Prometheus counters of the requests and the answers, as this process saw them."""

from prometheus_client import Counter, Histogram

REQUESTS = Counter("http_requests_total", "Requests answered.", ["method", "handler", "status"])
# Bounds around what an answer takes: a millisecond or two, and tens when the machine is busy.
SECONDS = Histogram(
    "http_request_duration_seconds",
    "Seconds from the first byte of a request to its answer.",
    ["method", "handler"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
PREDICTIONS = Counter("ticket_predictions_total", "Tickets answered.", ["category", "decision"])
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def count_request(*, method: str, handler: str, status: int, seconds: float) -> None:
    """Counts one request; a method that nobody defined is counted as OTHER, so that labels stay few."""
    known = method if method in METHODS else "OTHER"
    REQUESTS.labels(known, handler, str(status)).inc()
    SECONDS.labels(known, handler).observe(seconds)
