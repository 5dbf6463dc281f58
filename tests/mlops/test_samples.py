"""Made-up rows: how many, of what, the same for a seed, and consistent with each other."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from classifier import rollups
from classifier.ml.scoring import Scores
from classifier.models import ApiRequest, Category, Grain, ModelVersion, Prediction, Ticket
from mlops import samples
from mlops.models import DriftSnapshot
from tests.factories import SLUGS, make_categories, make_version
from tests.mlops.making import NOW

pytestmark = pytest.mark.django_db
COLUMNS = (
    "ticket__text", "category__slug", "confidence", "n_words", "unknown_share", "decision", "reason", "created_at",
    "request__latency_ms", "request__status", "request__created_at", "request__n_tickets",
)  # fmt: skip


def make_log(n: int = 60, *, seed: int = 1, now: datetime = NOW, **more: Any) -> samples.SampleLog:
    return samples.make_log(n_predictions=n, seed=seed, now=now, **more)


def rows(log: samples.SampleLog) -> list[tuple[Any, ...]]:
    low, high = log.ids
    return list(Prediction.objects.filter(pk__gte=low, pk__lte=high).order_by("pk").values_list(*COLUMNS))


def demo(seed: int = 1) -> ModelVersion:
    return samples.make_version(samples.places(), seed=seed, now=NOW)


# --- The log --------------------------------------------------------------------------------------
def test_log_has_exactly_so_many_predictions_each_with_its_ticket_and_call() -> None:
    log = make_log(1_000)

    assert log.n_predictions == Prediction.objects.count() == Ticket.objects.count() == 1_000
    assert ApiRequest.objects.filter(status=200, n_tickets=1).count() == 1_000
    assert Prediction.objects.exclude(request=None).values("request").distinct().count() == 1_000
    assert ApiRequest.objects.count() == 1_000 + log.n_refused


def test_log_is_flagged_as_demo_row_by_row() -> None:
    log = make_log()

    for table in (Prediction, Ticket, ApiRequest):
        assert table.objects.exclude(is_demo=True).count() == 0
    assert log.version.is_demo
    assert Prediction.objects.exclude(version=log.version).count() == 0


def test_log_with_the_same_seed_and_moment_is_the_same() -> None:
    assert rows(make_log(seed=7)) == rows(make_log(seed=7))


def test_log_with_another_seed_is_another() -> None:
    assert rows(make_log(seed=7)) != rows(make_log(seed=8))


def test_log_lies_in_the_ranges_that_were_promised() -> None:
    log = make_log(1_000)

    latencies = list(ApiRequest.objects.values_list("latency_ms", flat=True))
    assert min(latencies) >= 50
    assert max(latencies) <= 500
    moments = list(ApiRequest.objects.values_list("created_at", flat=True))
    assert min(moments) >= NOW - timedelta(hours=24)
    assert max(moments) <= NOW
    assert (log.first, log.last) == (min(row[7] for row in rows(log)), max(row[7] for row in rows(log)))
    refused = ApiRequest.objects.exclude(status=200)
    assert refused.filter(status__gte=400, status__lt=500).exclude(code="").count() == 30  # 2 + 0.5 + 0.5 %
    assert refused.filter(status__gte=500).exclude(code="").count() == 10  # 0.4 + 0.6 %


def test_log_is_written_in_the_order_of_its_moments() -> None:
    make_log(2_500)

    for table in (ApiRequest, Ticket, Prediction):
        moments = list(table.objects.order_by("pk").values_list("created_at", flat=True))
        assert moments == sorted(moments), table


def test_log_has_more_by_day_than_at_night() -> None:
    make_log(1_000)

    by_hour = [Prediction.objects.filter(created_at__hour=hour).count() for hour in range(24)]
    assert sum(by_hour[9:17]) > 5 * sum(by_hour[0:5])


def test_log_reaches_back_as_far_as_it_was_told() -> None:
    log = make_log(200, hours_back=0.5)

    assert NOW - timedelta(minutes=30) <= log.first < log.last <= NOW


def test_log_is_spread_over_the_categories_and_mostly_sure() -> None:
    make_log(1_000)

    counts = [Prediction.objects.filter(category__slug=slug).count() for slug in SLUGS]
    assert min(counts) > 100
    confidences = list(Prediction.objects.values_list("confidence", flat=True))
    assert 0.8 < sum(confidences) / 1_000 < 0.95
    assert {"", "below_threshold", "unknown_words"} <= set(Prediction.objects.values_list("reason", flat=True))
    assert 0.5 < Prediction.objects.filter(decision="auto").count() / 1_000 < 0.95


def test_log_takes_your_categories_and_copies_no_ticket_of_yours() -> None:
    make_categories(["returns", "warranty"])
    Ticket.objects.create(text="A customer's own words")

    make_log()

    assert set(Prediction.objects.values_list("category__slug", flat=True)) == {"returns", "warranty"}
    assert Category.objects.count() == 2
    texts = Ticket.objects.filter(is_demo=True).values_list("text", flat=True)
    assert {text.split(":")[0] for text in texts} == {"Returns", "Warranty"}
    assert not [text for text in texts if "own words" in text]


def test_second_log_adds_to_the_first_and_hangs_on_the_same_version() -> None:
    first, second = make_log(), make_log()

    assert Prediction.objects.count() == 120
    assert first.version == second.version


def test_log_of_other_categories_gets_a_version_of_its_own() -> None:
    first = make_log()
    make_categories(["returns"])

    second = make_log()

    assert first.version != second.version
    assert second.version.categories == ["account", "billing", "general", "returns", "shipping", "technical"]


def test_log_without_two_active_categories_says_what_to_do() -> None:
    make_categories()
    Category.objects.exclude(slug="billing").update(active=False)

    with pytest.raises(samples.TooFewCategories, match="Activate some"):
        make_log()


@pytest.mark.parametrize("n", [0, -5, 1_000_001])
def test_log_of_an_odd_size_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="1 to 1,000,000 predictions"):
        make_log(n)


@pytest.mark.parametrize("hours", [0, -1, float("nan"), 8_761])
def test_log_of_an_odd_reach_is_refused(hours: float) -> None:
    with pytest.raises(ValueError, match="more than 0 and at most 8,760 hours"):
        make_log(hours_back=hours)


def test_log_costs_a_few_statements_a_batch() -> None:
    demo()
    queries = []
    for n in (1_000, 3_000):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            make_log(n)
        queries.append(len([query for query in asked if "SAVEPOINT" not in query["sql"]]))

    # Postgres takes a batch in one statement a table; SQLite takes fewer values in one, and so more of them.
    assert queries[0] < 100
    assert queries[1] < 3 * queries[0]


def test_rows_of_a_log_are_those_of_the_export() -> None:
    log = make_log(5)

    found = list(log.rows())

    assert [row["prediction_id"] for row in found] == list(range(log.ids[0], log.ids[1] + 1))
    assert {row["model_version"] for row in found} == {log.version.number}
    assert all(row["is_demo"] and row["text"] and row["status_code"] == 200 for row in found)


# --- The version ----------------------------------------------------------------------------------
@pytest.mark.parametrize("split", ["validation", "test"])
def test_confusion_is_consistent_with_the_report(split: str) -> None:
    scores = demo().metrics[split]

    matrix = scores["confusion"]["matrix"]
    assert len(matrix) == len(matrix[0]) == 5
    assert scores["confusion"]["categories"] == list(SLUGS)
    for index, slug in enumerate(SLUGS):
        of_category = scores["per_category"][slug]
        assert sum(matrix[index]) == of_category["support"]
        assert of_category["recall"] == pytest.approx(matrix[index][index] / sum(matrix[index]))
        assert of_category["precision"] == pytest.approx(matrix[index][index] / sum(row[index] for row in matrix))
    assert sum(map(sum, matrix)) == scores["n_tickets"]
    assert scores["accuracy"] == pytest.approx(sum(matrix[index][index] for index in range(5)) / scores["n_tickets"])


def test_version_has_all_that_a_training_leaves() -> None:
    version = demo()

    scores = Scores.from_dict(version.metrics["test"])
    assert scores.as_dict() == version.metrics["test"]
    assert set(scores.per_category) == set(SLUGS)
    assert scores.intervals
    assert scores.calibration_error is not None
    assert scores.calibration_error < 0.06  # right as often as it says
    assert set(version.metrics["automatic"]) == {"validation", "test"}
    assert set(version.thresholds["per_category"]) == set(SLUGS)


def test_version_with_the_same_seed_has_the_same_scores() -> None:
    first, again, other = demo(3), demo(3), demo(4)

    assert first.metrics == again.metrics
    assert first.metrics != other.metrics


def test_version_takes_no_number_from_the_real_ones() -> None:
    make_version()
    first, second = demo(), demo()

    assert (first.number, second.number) == (1_000_001, 1_000_002)
    assert ModelVersion.objects.next_number() == 2
    assert make_version().number == 2


def test_version_is_no_candidate_and_not_in_production() -> None:
    version = demo()

    assert version.status == "archived"
    assert list(ModelVersion.objects.candidates()) == []


def test_files_are_the_report_the_picture_and_the_drift(tmp_path: Path) -> None:
    version = demo()
    snapshot = samples.make_snapshot(version, seed=1, now=NOW)

    files = samples.write_files(version, tmp_path / "new", snapshot=snapshot)

    assert [file.name for file in files] == [
        "test_classification_report.json", "test_confusion_matrix.png", "drift_report.json",
    ]  # fmt: skip
    report, drift = json.loads(files[0].read_text()), json.loads(files[2].read_text())
    assert (report["version"], report["is_demo"], drift["is_demo"]) == (version.number, True, True)
    assert report["confusion"] == version.metrics["test"]["confusion"]
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert drift["window"]["to"] == "2026-11-23T09:30:00Z"
    assert drift["model_version"] == version.number


# --- The snapshot ---------------------------------------------------------------------------------
@pytest.fixture
def snapshot() -> DriftSnapshot:
    made = samples.make_snapshot(demo(), seed=1, now=NOW)
    return DriftSnapshot.objects.get(pk=made.pk)


@pytest.mark.parametrize("side", ["reference", "recent"])
def test_snapshot_figures_add_up(snapshot: DriftSnapshot, side: str) -> None:
    figures, count = getattr(snapshot, side), getattr(snapshot, f"{side}_count")

    words = figures["words"]
    assert words["count"] == sum(words["histogram"]) == count
    assert len(words["edges"]) == len(words["histogram"]) + 1
    assert sum(figures["categories"].values()) == pytest.approx(1, abs=1e-9)
    assert words["mean"] == getattr(snapshot, f"{side}_mean")
    assert words["std"] == getattr(snapshot, f"{side}_std")
    assert words["min"] <= words["mean"] <= words["max"]


def test_snapshot_score_is_the_distance_of_the_means(snapshot: DriftSnapshot) -> None:
    assert snapshot.drift_score == pytest.approx(
        abs(snapshot.recent_mean - snapshot.reference_mean) / snapshot.reference_std
    )


def test_snapshot_signals_stand_by_their_thresholds(snapshot: DriftSnapshot) -> None:
    names = [signal["name"] for signal in snapshot.signals]

    assert names == ["word_count_psi", "word_count_ks", "unknown_words", "confidence", "category_shares", "text"]
    assert all(signal["drifted"] == (signal["value"] > signal["threshold"]) for signal in snapshot.signals)
    assert all(bool(signal["since"]) == bool(signal["words"]) == signal["drifted"] for signal in snapshot.signals)
    assert snapshot.signal("word_count_psi")["drifted"]
    assert not snapshot.signal("confidence")["drifted"]


def test_snapshot_is_demo_and_says_so(snapshot: DriftSnapshot) -> None:
    assert snapshot.words.startswith("Made up for demonstration. ")
    assert snapshot.severity != "none"
    assert list(DriftSnapshot.objects.real()) == []
    assert (snapshot.verdict, snapshot.is_likely_worse) == ("drifted", False)


def test_log_of_hours_that_are_rolled_up_is_counted_in_them() -> None:
    make_log(20)
    rollups.roll_up(NOW + timedelta(hours=1))

    log = make_log(200)

    found = rollups.answers(NOW - timedelta(hours=25), NOW, grain=Grain.HOUR, is_demo=True)
    asked = rollups.requests(NOW - timedelta(hours=25), NOW, grain=Grain.DAY, is_demo=True)
    assert sum(counts.count for counts in found) == 220
    assert sum(counts.count for counts in asked) == 220 + log.n_refused
