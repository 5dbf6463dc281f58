"""What Prometheus reads at each scrape from the database and the broker, and the registry that /metrics shows.

One row or one count each, never a scan of predictions: a scrape costs the same with a million of them. What the web
processes count themselves is classifier/metrics.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import Count
from django_celery_beat.models import PeriodicTask
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from classifier import inference
from classifier.ml.artifact import DamagedModel
from classifier.models import ModelVersion
from mlops.asking import ask
from mlops.broker import Broker
from mlops.health import HEARTBEAT
from mlops.models import DriftSnapshot, Slot, TrainingRun

logger = logging.getLogger(__name__)
PROCESSES = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name
SECONDS = 2.0  # what a scrape waits for a database or a broker that hangs; Prometheus itself waits for ten
MOST_SCHEDULES = 100  # there are seven, and a person may make more
# Of a schedule, among which the newest that ended is looked for. While the worker is dead none ends any more, and
# a search without a bound would go through all of them.
RECENT_SLOTS = 20
ENDED = (Slot.Status.DONE, Slot.Status.FAILED, Slot.Status.NOT_SENT)
FAILED = (Slot.Status.FAILED, Slot.Status.NOT_SENT)
Facts = Iterator[Metric]


def registry() -> CollectorRegistry:
    """All that /metrics shows: the facts, then what this process has counted, or all web processes if there are more.

    In this order: reading the facts has this process look which version is in production.
    """
    found = CollectorRegistry()
    found.register(FactsCollector())
    folder = os.environ.get(PROCESSES)
    if folder is None:
        found.register(REGISTRY)
    else:
        forget_the_dead(Path(folder))
        MultiProcessCollector(found, path=folder)  # type: ignore[no-untyped-call]
    return found


def forget_the_dead(folder: Path) -> None:
    """Takes the gauges of web processes away that have ended; what they counted stays in the sums.

    A number that lives again as another program's is no web process: those are all in this one's process group.
    """
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not _is_one_of_us(pid):
            with contextlib.suppress(FileNotFoundError):  # another scrape at the same moment was faster
                mark_process_dead(pid, path=str(folder))  # type: ignore[no-untyped-call]


def _is_one_of_us(pid: int) -> bool:
    try:
        return os.getpgid(pid) == os.getpgrp()
    except ProcessLookupError:
        return False


class FactsCollector(Collector):
    """Reads the facts when it is collected. A server that is away or hangs costs its own facts and no others."""

    def describe(self) -> list[Metric]:
        return []  # or registering would collect, which asks the database

    def collect(self) -> Iterator[Metric]:
        found = ask({"facts of the database": of_database, "queues": of_broker}, seconds=SECONDS)
        yield from found.get("facts of the database", [_database_up(0)])
        yield from found.get("queues", [_broker_up(0)])


def of_database() -> list[Metric]:
    """What the database tells; a fact that cannot be read is left out, and all of them if it does not answer."""
    try:
        number = _production_number()
    except DatabaseError as error:
        logger.warning("no facts for Prometheus, the database does not answer: %s", type(error).__name__)
        return [_database_up(0)]
    _look_at_production()
    found = [
        _database_up(1),
        _gauge("ticketclf_model_production_version", "Number of the version in production; 0: none.", value=number),
    ]
    for facts in (_runs, _last_training, _last_snapshot, _last_slots, _schedules, _snapshot):
        try:
            found.extend(facts())
        except DatabaseError as error:
            logger.warning("%s not read for Prometheus: %s", facts.__name__.strip("_"), type(error).__name__)
    return found


def of_broker() -> list[Metric]:
    """Whether the broker answers, and how many tasks wait in it."""
    routes = [str(route["queue"]) for route in settings.CELERY_TASK_ROUTES.values()]
    queues = sorted({settings.CELERY_TASK_DEFAULT_QUEUE, *routes})
    try:
        depths = Broker(url=settings.CELERY_BROKER_URL).depths(queues)
    except (redis.RedisError, OSError):
        return [_broker_up(0)]
    depth = GaugeMetricFamily("ticketclf_queue_depth", "Tasks that wait in a queue of the broker.", labels=["queue"])
    for queue, waiting in depths.items():
        depth.add_metric([queue], waiting)
    return [_broker_up(1), depth]


def _database_up(value: int) -> Metric:
    words = "Whether the database answers; if not, the facts that are read from it are missing."
    return _gauge("ticketclf_database_up", words, value=value)


def _broker_up(value: int) -> Metric:
    return _gauge("ticketclf_broker_up", "Whether the broker answers.", value=value)


def _gauge(name: str, words: str, *, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _moment(name: str, words: str, moment: datetime | None) -> Facts:
    """A moment in seconds since 1970; nothing if it has not come yet, for 0 would be an age of fifty years."""
    if moment is not None:
        yield _gauge(name, words, value=moment.timestamp())


def _production_number() -> int:
    return ModelVersion.objects.in_production().values_list("number", flat=True).first() or 0


def _look_at_production() -> None:
    """Has this process look which version answers: one that nobody asks would go on showing the one before."""
    try:
        inference.serving()
    except (inference.NoModelInProduction, inference.NoActiveCategory, DamagedModel, DatabaseError):
        return  # what it has loaded is shown beside what is in production: that is the news


def _runs() -> Facts:
    counts = dict(TrainingRun.objects.order_by().values_list("status").annotate(Count("pk")))
    runs = GaugeMetricFamily("ticketclf_runs", "Training runs on record, by status.", labels=["status"])
    for status in TrainingRun.Status.values:
        runs.add_metric([status], counts.get(status, 0))
    yield runs


def _last_training() -> Facts:
    ends = TrainingRun.objects.filter(status=TrainingRun.Status.SUCCEEDED).order_by("-id").values_list("ended_at")
    words = "End of the last training that succeeded."
    yield from _moment("ticketclf_last_training_timestamp_seconds", words, next((end for (end,) in ends[:1]), None))


def _last_snapshot() -> Facts:
    taken = DriftSnapshot.objects.real().order_by("-id").values_list("created_at", flat=True).first()
    yield from _moment("ticketclf_last_snapshot_timestamp_seconds", "When the last drift snapshot was taken.", taken)


def _last_slots() -> Facts:
    beats = Slot.objects.filter(name=HEARTBEAT, status=Slot.Status.DONE).order_by("-due_at")
    ended = beats.values_list("ended_at", flat=True).first()
    yield from _moment("ticketclf_last_heartbeat_timestamp_seconds", "Last heartbeat that a worker finished.", ended)
    sent = Slot.objects.order_by("-id").values_list("sent_at", flat=True).first()
    yield from _moment("ticketclf_last_beat_timestamp_seconds", "Last due moment that beat took up.", sent)


def _schedules() -> Facts:
    words = "Whether the newest slot of a schedule failed, or was not sent: 1, else 0."
    failures = GaugeMetricFamily("ticketclf_schedule_failures", words, labels=["name"])
    names = PeriodicTask.objects.filter(enabled=True).order_by("name").values_list("name", flat=True)
    for name in names[:MOST_SCHEDULES]:
        # A query each: as a subquery of the names, Postgres goes through all slots of a schedule that never ran.
        newest = Slot.objects.filter(name=name).order_by("-due_at").values_list("status", flat=True)[:RECENT_SLOTS]
        ended = next((status for status in newest if status in ENDED), None)
        if ended is not None:
            failures.add_metric([name], float(ended in FAILED))
    yield failures


def _snapshot() -> Facts:
    """The newest snapshot of the version in production."""
    rows = DriftSnapshot.objects.of_production().select_related("version").order_by("-id")
    row = rows.only("version__number", "verdict", "drift_score", "signals", "estimated_accuracy", "quality").first()
    return iter(()) if row is None else _of_snapshot(row)


def _of_snapshot(row: DriftSnapshot) -> Facts:
    version = str(row.version.number)
    values = {signal["name"]: signal.get("value") for signal in row.signals}
    thresholds = {signal["name"]: signal.get("threshold") for signal in row.signals}
    drifted = {signal["name"]: signal.get("drifted") for signal in row.signals}
    yield _by("score", "How far a signal is from the reference.", version, {"length_z": row.drift_score, **values})
    yield _by("threshold", "What a signal's score drifts above.", version, thresholds)
    yield _by("drifted", "Whether a signal drifted.", version, drifted)
    verdicts = {verdict: verdict == row.verdict for verdict in DriftSnapshot.Verdict.values}
    yield _by("verdict", "1 for the verdict that holds.", version, verdicts, label="verdict")
    yield from _of_version(
        "ticket_estimated_accuracy", "Accuracy as confidence suggests.", version, row.estimated_accuracy
    )
    if row.quality.get("n_automatic_labelled"):
        precision, labelled = row.quality.get("precision"), row.quality["n_automatic_labelled"]
        yield from _of_version(
            "ticket_live_precision", "Share of automatic answers labelled right.", version, precision
        )
        yield from _of_version("ticket_live_labelled", "Labelled automatic answers that say it.", version, labelled)


def _by(name: str, words: str, version: str, values: Mapping[str, float | None], *, label: str = "signal") -> Metric:
    family = GaugeMetricFamily(f"support_ticket_drift_{name}", words, labels=["model_version", label])
    for key, value in values.items():
        if value is not None:
            family.add_metric([version, key], float(value))
    return family


def _of_version(name: str, words: str, version: str, value: float | None) -> Facts:
    if value is not None:
        family = GaugeMetricFamily(name, words, labels=["model_version"])
        family.add_metric([version], value)
        yield family
