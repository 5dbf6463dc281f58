"""The Drift page: what it says is what the snapshots say, and a year of snapshots costs no more than a day."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from classifier.models import ModelVersion
from mlops.dashboards import snapshots
from mlops.models import DriftSnapshot, RetrainDecision, TrainingRun
from tests.factories import make_user, make_version
from tests.mlops.watching import make_snapshot

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def signal(name: str, value: float, threshold: float | None = 0.1, **fields: Any) -> dict[str, Any]:
    drifted = threshold is not None and value > threshold
    words = "Tickets are longer." if drifted else ""
    return {"name": name, "value": value, "threshold": threshold, "drifted": drifted, "words": words, **fields}


def side(histogram: list[int], shares: dict[str, float], **words: Any) -> dict[str, Any]:
    counted = {"count": sum(histogram), "edges": [0, 5, 10, 20], "histogram": histogram, **words}
    return {"words": counted, "categories": shares, "confidence": 0.9, "unknown": 0.05}


@pytest.fixture
def version() -> ModelVersion:
    return make_version(status="production", number=4)


# --- Nothing there --------------------------------------------------------------------------------
def test_empty_database_says_what_to_do_next(at):
    page = at.get("/drift")

    assert page.status_code == 200
    assert "No model answers yet" in page.text
    assert "manage.py train" in page.text


def test_version_without_a_snapshot_says_when_the_first_is_taken(at, version, settings):
    settings.DRIFT_SNAPSHOT_MINUTES, settings.DRIFT_SNAPSHOT_PREDICTIONS = 45, 150

    page = at.get("/drift")

    assert "No snapshot of version 4 yet" in page.text
    assert "each 45 minutes, or after 150 new predictions" in page.text
    assert "manage.py watch_drift" in page.text


def test_version_that_is_not_watched_says_which_is(at, version):
    make_version(number=3)

    page = at.get("/drift?version=3")

    assert "Only the version in production is watched" in page.text


def test_sample_page_without_sample_rows_says_how_to_make_them(at, version):
    make_snapshot(version)

    assert "generate_sample_reports --include-drift" in at.get("/drift?demo=1").text


def test_too_few_predictions_says_how_many_are_missing(at, version, settings):
    settings.DRIFT_MIN_PREDICTIONS = 100
    make_snapshot(version, verdict="too_few", recent_count=63, words="Too few to tell: 100 are needed.")

    shown = at.get("/drift").context

    assert shown["lead"] == "Too few to tell"
    assert shown["figures"][0].title == "Still missing"
    assert shown["figures"][0].value == "37"
    assert shown["figures"][1].value == "Unknown"


# --- The verdict ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("verdict", "severity", "likely_worse", "lead", "tone"),
    [
        ("steady", "none", False, "Steady", "good"),
        ("drifted", "slight", False, "Slight drift", "warn"),
        ("drifted", "clear", False, "Clear drift", "warn"),
        ("drifted", "strong", True, "Strong drift", "bad"),
    ],
)
def test_verdict_is_said_in_words(at, version, verdict, severity, likely_worse, lead, tone):
    make_snapshot(
        version, verdict=verdict, severity=severity, is_likely_worse=likely_worse, words="It is so.", advice="Do that."
    )

    page = at.get("/drift")

    assert (page.context["lead"], page.context["tone"]) == (lead, tone)
    assert "It is so." in page.text
    assert ("the model is less sure than it was" in page.text) is likely_worse


def test_newest_snapshot_is_shown_and_an_older_one_when_asked_for(at, version):
    now = timezone.now()
    old = make_snapshot(version, created_at=now - 2 * HOUR, words="The old one.")
    make_snapshot(version, created_at=now - HOUR, words="The new one.")

    assert "The new one." in at.get("/drift").text
    page = at.get(f"/drift?snapshot={old.pk}")
    assert "The old one." in page.text
    assert "Later snapshot" in page.text
    assert "The next is taken" not in page.text


def test_estimate_stands_against_what_was_measured(at, version):
    make_snapshot(version, estimated_accuracy=0.85, reference_accuracy=0.91)

    figures = {figure.title: figure for figure in at.get("/drift").context["figures"]}

    assert figures["Estimated accuracy"].value == "85.0 %"
    assert figures["Estimated accuracy"].more == "-6.0 points to 91.0 % on validation"


def test_next_snapshot_is_foretold(at, version, settings):
    settings.DRIFT_SNAPSHOT_MINUTES = 60
    now = timezone.now()
    make_snapshot(version, created_at=now - timedelta(minutes=20))

    assert f"The next is taken at {now + timedelta(minutes=40):%H:%M}" in at.get("/drift").text


# --- Signals --------------------------------------------------------------------------------------
def test_signals_are_told_with_threshold_and_since_when(at, version):
    now = timezone.now()
    make_snapshot(
        version,
        verdict="drifted",
        created_at=now,
        signals=[
            signal("word_count_ks", 0.24, 0.11, since="2026-11-20T08:30:00+00:00"),
            signal("confidence", -0.004, 0.02),
            signal("text", 0.3, None),
        ],
    )

    rows = at.get("/drift").context["signals"]

    assert [row["name"] for row in rows] == ["Length of tickets", "Loss of confidence", "What texts say"]
    assert [row["state"] for row in rows] == ["beyond", "within", "unknown"]
    assert (rows[0]["value"], rows[0]["threshold"], rows[0]["since"]) == ("0.240", "0.110", "Nov 20, 08:30")
    assert rows[1]["words"] == "No more than chance."


def test_signal_over_time_has_its_threshold_as_dashes(at, version):
    now = timezone.now()
    for hours, value in ((3, -0.01), (2, 0.03), (1, 0.06)):
        make_snapshot(version, created_at=now - hours * HOUR, signals=[signal("confidence", value, 0.02)])

    chart = next(c for c in at.get("/drift").context["charts"] if c.name == "signal-confidence")

    assert chart.series[0].values == [-0.01, 0.03, 0.06]
    assert chart.series[1].values == [0.02, 0.02, 0.02]
    assert chart.series[1].kind == "dashes"
    assert chart.ticks[0].value <= -0.01
    assert chart.ticks[-1].value >= 0.06
    assert len(chart.links) == 3


def test_snapshots_outside_of_the_range_are_left_out_of_the_charts(at, version):
    now = timezone.now()
    for hours in (30, 5, 1):
        make_snapshot(version, created_at=now - hours * HOUR)

    assert len(at.get("/drift?range=24h").context["points"]) == 2
    assert len(at.get("/drift?range=30d").context["points"]) == 3


# --- Both sides -----------------------------------------------------------------------------------
def test_both_sides_are_laid_over_each_other(at, version):
    make_snapshot(
        version,
        reference=side([10, 30, 10], {"billing": 0.5, "general": 0.5}, mean=7.25, std=2.0, min=1, max=14),
        recent=side([0, 5, 15], {"billing": 0.9, "general": 0.1}, mean=12.5, std=3.0, min=5, max=18),
    )

    shown = at.get("/drift").context

    rows = {row.name: (row.reference, row.recent) for row in shown["sides"]}
    assert rows["Tickets"] == ("50", "20")
    assert rows["Words of a ticket, mean"] == ("7.2", "12.5")
    assert rows["Words, most"] == ("14", "18")
    lengths, shares = shown["lengths"], shown["shares"]
    assert lengths.labels == ["0 to 4", "5 to 9", "10 and more"]
    assert lengths.series[0].values == [0.2, 0.6, 0.2]
    assert lengths.series[1].values == [0.0, 0.25, 0.75]
    assert shares.labels == ["Billing", "General"]
    assert shares.series[1].values == [0.9, 0.1]


def test_telling_words_stand_by_side(at, version):
    make_snapshot(
        version,
        verdict="drifted",
        telling_words=[
            {"word": "esim", "side": "recent", "recent": 0.06, "reference": 0.0},
            {"word": "<b>fax", "side": "reference", "recent": 0.0, "reference": 0.02},
        ],
    )

    page = at.get("/drift")

    assert [title for title, _ in page.context["telling"]] == ["More often now", "Less often now"]
    assert "esim" in page.text
    assert "&lt;b&gt;fax" in page.text


def test_no_telling_word_is_explained(at, version):
    make_snapshot(version)

    assert "No word stands out" in at.get("/drift").text


# --- What was done --------------------------------------------------------------------------------
def test_decisions_of_the_range_link_to_their_runs(at, version):
    now = timezone.now()
    runs = [{"trigger": "drift", "status": "failed", "reason": "x", "ended_at": now} for _ in range(2)]
    old, run = (TrainingRun.objects.create(**fields) for fields in runs)
    RetrainDecision.objects.create(
        cause="drift", decision="started", words="Old.", created_at=now - 400 * HOUR, run=old
    )
    RetrainDecision.objects.create(cause="drift", decision="started", words="Drifted twice.", created_at=now, run=run)
    for hours in (1, 2, 3):
        RetrainDecision.objects.create(
            cause="none", decision="not_needed", words="Nothing spoke for it.", created_at=now - hours * HOUR
        )
    make_snapshot(version, created_at=now)

    page = at.get("/drift?range=7d")

    kinds = [(doing.decision, doing.run) for doing in page.context["doings"]]
    assert kinds[0][0] == "not needed"
    assert ("begun", run.pk) in kinds
    assert len(kinds) == 2
    assert "2 times the same before" in page.text
    assert f"/admin/mlops/trainingrun/{run.pk}/change/" in page.text
    assert "Old." not in page.text


# --- Who, and odd addresses -----------------------------------------------------------------------
def test_sample_snapshots_are_shown_alone_and_only_when_asked_for(at, version):
    make_snapshot(version, words="A real one.")
    made_up = make_version(is_demo=True, number=1_000_001)
    sample = make_snapshot(made_up, is_demo=True, words="A made-up one.")

    assert "A made-up one." not in at.get("/drift?version=1000001").text
    assert "A made-up one." not in at.get(f"/drift?snapshot={sample.pk}").text
    page = at.get("/drift?demo=1")
    assert "A made-up one." in page.text
    assert "What was done about it" not in page.text


@pytest.mark.parametrize(
    "query", ["range=2y", "range=%00", "version=x", "snapshot=x", "snapshot=" + "9" * 40, "snapshot=999", "demo=maybe"]
)
def test_odd_query_is_no_failure(at, version, query):
    make_snapshot(version, words="The newest.")

    page = at.get(f"/drift?{query}")

    assert page.status_code == 200
    assert "The newest." in page.text


def test_unknown_snapshot_is_told(at, version):
    make_snapshot(version)

    assert "There is no snapshot “77777”" in at.get("/drift?snapshot=77777").text


def test_snapshot_of_another_version_shows_that_version(at, version):
    earlier = make_snapshot(make_version(number=2, status="archived"), words="Of the second.")
    make_snapshot(version)

    page = at.get(f"/drift?snapshot={earlier.pk}")

    assert page.context["version"].number == 2
    assert "Of the second." in page.text


def test_page_wants_a_person_who_may_read(client):
    assert client.get("/drift").status_code == 302

    client.force_login(make_user("eve"))

    assert client.get("/drift").status_code == 403


# --- Cost -----------------------------------------------------------------------------------------
def test_cost_does_not_grow_with_the_rows(at, version, django_assert_num_queries):
    make_snapshot(version)
    at.get("/drift")
    with django_assert_num_queries(15):
        at.get("/drift?range=24h")
    many(version, 3000, until=timezone.now())

    with django_assert_num_queries(15):
        at.get("/drift?range=24h")


def many(version: ModelVersion, n: int, *, until: datetime) -> None:
    """So many snapshots, a minute apart, among those of another version."""
    other = make_version(number=900)
    rows = [
        DriftSnapshot(
            version=other if index % 3 == 0 else version,
            verdict="steady",
            words="Steady.",
            method="resampled",
            window_size=500,
            recent_count=200,
            reference_count=400,
            signals=[signal("text", index / n)],
            created_at=until - timedelta(minutes=n - index),
        )
        for index in range(n)
    ]
    DriftSnapshot.objects.bulk_create(rows)


@pytest.mark.parametrize(("hours", "found"), [(1, 40), (24, 120), (48, 120), (1000, 120)])
def test_history_is_thinned_to_what_a_chart_shows(version, hours, found):
    now = timezone.now()
    many(version, 3600, until=now)

    points = snapshots.points(version, is_demo=False, since=now - hours * HOUR)

    assert found - 15 <= len(points) <= found
    moments = [point.created_at for point in points]
    assert moments == sorted(moments)
    assert moments[0] >= now - hours * HOUR
    assert moments[0] - (now - min(hours, 60) * HOUR) < timedelta(minutes=20 + hours / 2)
    assert now - moments[-1] < timedelta(minutes=3)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert max(gaps) < 3 * (sum(gaps, timedelta()) / len(gaps))


@pytest.mark.skipif(connection.vendor != "sqlite", reason="EXPLAIN of SQLite")
def test_history_reads_rows_by_an_index_alone(version):
    now = timezone.now()
    many(version, 300, until=now)

    with CaptureQueriesContext(connection) as asked:
        snapshots.points(version, is_demo=False, since=now - HOUR)

    assert len(asked) == 5
    for query in asked.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
            steps = [row[3] for row in cursor.fetchall()]
        assert [step for step in steps if step.startswith("SCAN") and "LIST" not in step] == []
