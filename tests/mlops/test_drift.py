"""Drift snapshots: what is compared with what, when one is due, what it says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from classifier.ml.pipeline import refit
from classifier.models import Category, ModelVersion, Prediction, Ticket
from mlops import drift, profiling
from mlops.gathering import gather
from tests.factories import make_version, shipped
from tests.mlops.making import NOW, THREE, kitchen, label_tickets, make_trained

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def few_are_enough(settings: Any) -> None:
    settings.DRIFT_MIN_PREDICTIONS = 30
    settings.DRIFT_WINDOW = 200


@pytest.fixture
def version(few_are_enough: None) -> ModelVersion:
    """A version in production without a profile yet: its test tickets, 45 of them, will be its reference."""
    label_tickets(per_category=110)
    learnt = gather().of("train", "validation")
    return make_trained(
        refit(learnt.texts, learnt.truth, recipe="word_char", c=30.0, temperature=1.0).model, status="production"
    )


def answer(version: ModelVersion, texts: list[str], *, at: Any = NOW, **fields: Any) -> list[Prediction]:
    """Stored predictions of the version for texts, as /api/predict would store them."""
    answers = profiling.load(version).predict(texts)
    ids = {category.slug: category.pk for category in Category.objects.all()}
    tickets = Ticket.objects.bulk_create(Ticket(text=text, text_digest=Ticket.digest(text)) for text in texts)
    return Prediction.objects.bulk_create(
        Prediction(
            ticket=ticket,
            version=version,
            category_id=ids[label],
            confidence=confidence,
            n_words=len(ticket.text.split()),
            unknown_share=unknown,
            created_at=at,
            **fields,
        )
        for ticket, label, confidence, unknown in zip(
            tickets, answers.labels, answers.confidences, answers.unknown.tolist(), strict=True
        )
    )


def ordinary(count: int, *, of: tuple[str, ...] = THREE) -> list[str]:
    """Shipped tickets that the version has not learnt from, nor is held against."""
    return [text for text, label in shipped(2820) if label in of][-count:]


def test_snapshot_of_ordinary_tickets_is_steady(version: ModelVersion) -> None:
    answer(version, ordinary(120))

    snapshot = drift.take_snapshot(NOW)

    assert snapshot is not None
    assert (snapshot.verdict, snapshot.severity, snapshot.recent_count) == ("steady", "none", 120)
    assert {signal["name"] for signal in snapshot.signals} == set(drift.shift.SIGNALS)
    assert all(signal["threshold"] >= drift.shift.LEAST_EFFECT[signal["name"]] for signal in snapshot.signals)
    assert snapshot.words.startswith("Steady: the newest 120 predictions differ from ")
    assert snapshot.telling_words == []  # chance has its words as well


def test_snapshot_of_foreign_tickets_has_drifted_and_says_how(version: ModelVersion) -> None:
    answer(version, [*ordinary(80), *kitchen(60, seed=1)])

    snapshot = drift.take_snapshot(NOW)

    assert snapshot is not None
    assert snapshot.verdict == "drifted"
    assert snapshot.signal("text")["drifted"]
    assert "The texts speak of other things, of '" in snapshot.words
    assert {word["word"] for word in snapshot.telling_words if word["side"] == "recent"} >= {"adding"}


def test_snapshot_of_other_shares_names_the_shares_and_nothing_else(version: ModelVersion) -> None:
    texts = [text for text, label in shipped(2820) if label == "billing"][-300:]
    answers = profiling.load(version).predict(texts)
    sure = [text for text, label in zip(texts, answers.labels, strict=True) if label == "billing"]
    answer(version, [*ordinary(40), *sure[:80]])

    snapshot = drift.take_snapshot(NOW)

    assert snapshot is not None
    assert snapshot.verdict == "drifted"
    assert [signal["name"] for signal in snapshot.signals if signal["drifted"]] == ["category_shares"]
    assert "The shares of the categories have changed: billing (" in snapshot.words
    assert "Within each category the tickets are like before." in snapshot.words
    assert not snapshot.is_likely_worse
    assert snapshot.advice.startswith("The model needs nothing")


def test_snapshot_has_the_seven_figures_of_word_counts(version: ModelVersion) -> None:
    answer(version, ["one two three four"] * 15 + ["one two"] * 15)

    snapshot = drift.take_snapshot(NOW)

    assert snapshot is not None
    assert (snapshot.recent_mean, snapshot.recent_std) == (3.0, 1.0)
    assert snapshot.reference_mean is not None
    assert snapshot.reference_std is not None
    assert snapshot.drift_score == pytest.approx((snapshot.reference_mean - 3.0) / snapshot.reference_std)
    assert (snapshot.recent_count, snapshot.window_size) == (30, 200)


def test_snapshot_of_too_few_says_how_many_are_needed(version: ModelVersion) -> None:
    answer(version, kitchen(29, seed=1))

    snapshot = drift.take_snapshot(NOW)

    assert snapshot is not None
    assert (snapshot.verdict, snapshot.severity) == ("too_few", "none")
    assert snapshot.words == "Too few to tell: 30 predictions of the last 168 hours are needed; there are 29."
    assert {signal["threshold"] for signal in snapshot.signals} == {None}


def test_snapshot_without_any_prediction_is_too_few(version: ModelVersion) -> None:
    snapshot = drift.take_snapshot(NOW)

    assert snapshot is not None
    assert (snapshot.verdict, snapshot.recent_count, snapshot.signals) == ("too_few", 0, [])
    assert (snapshot.recent_mean, snapshot.drift_score, snapshot.window_from) == (None, None, None)


def test_snapshot_takes_the_newest_and_leaves_out_the_old_the_demo_and_other_versions(
    version: ModelVersion, settings: Any
) -> None:
    settings.DRIFT_WINDOW = 60
    answer(version, ordinary(70))
    answer(make_trained(status="archived"), ordinary(5))
    answer(version, ordinary(5), is_demo=True)
    answer(version, ordinary(5), at=NOW - timedelta(hours=169))
    newest = answer(version, ordinary(40))[-1]

    snapshot = drift.take_snapshot(NOW)

    assert snapshot is not None
    assert snapshot.recent_count == 55  # sixty, less the five that are too old
    assert snapshot.last_prediction == newest.pk
    assert snapshot.window_from == snapshot.window_to == NOW


def test_snapshot_counts_tickets_whose_text_was_removed_but_does_not_read_them(version: ModelVersion) -> None:
    answer(version, kitchen(60, seed=1))
    Ticket.objects.filter(predictions__isnull=False).update(text="removed", text_removed_at=NOW)

    snapshot = drift.take_snapshot(NOW)

    assert snapshot is not None
    assert snapshot.recent_count == 60
    assert snapshot.signal("unknown_words")["drifted"]
    assert snapshot.signal("text") == {}


def test_snapshot_without_a_version_in_production_is_none(few_are_enough: None) -> None:
    assert drift.take_snapshot(NOW) is None
    assert drift.watch(NOW) is None


def test_snapshot_of_a_version_with_nothing_to_compare_with_is_refused(few_are_enough: None) -> None:
    make_version(status="production")

    with pytest.raises(drift.NoReference, match=r"Drift of version 1 cannot be told: .* Train anew with"):
        drift.take_snapshot(NOW)


def test_signal_has_drifted_since_the_first_snapshot_without_a_pause(version: ModelVersion) -> None:
    hour = timedelta(hours=1)
    answer(version, kitchen(60, seed=1))
    drift.take_snapshot(NOW)
    drift.take_snapshot(NOW + hour)

    snapshot = drift.take_snapshot(NOW + 2 * hour)

    assert snapshot is not None
    assert snapshot.signal("unknown_words")["since"] == NOW.isoformat()
    assert f"since {NOW:%Y-%m-%d %H:%M} UTC" in snapshot.words


def test_signal_that_was_steady_in_between_has_drifted_since_then_only(version: ModelVersion, settings: Any) -> None:
    settings.DRIFT_WINDOW = 50
    hour = timedelta(hours=1)
    for number, texts in enumerate([kitchen(50, seed=1), ordinary(50), kitchen(50, seed=2)]):
        answer(version, texts)
        snapshot = drift.take_snapshot(NOW + number * hour)

    assert snapshot is not None
    assert snapshot.signal("unknown_words")["since"] == (NOW + 2 * hour).isoformat()


def test_version_without_a_profile_gets_one_from_its_test_tickets_that_stays(version: ModelVersion) -> None:
    profile = profiling.profile_of(version)

    version.refresh_from_db()
    assert version.profile["source"] == "test"
    assert len(version.profile["ids"]) == len(profile.batch) == 45
    assert profiling.profile_of(version).as_dict() == profile.as_dict()


# --- When one is due --------------------------------------------------------------------------------
def test_watch_takes_the_first_snapshot_at_once_and_the_next_when_the_time_has_come(version: ModelVersion) -> None:
    first = drift.watch(NOW)
    early = drift.watch(NOW + timedelta(minutes=59))
    due = drift.watch(NOW + timedelta(minutes=60))

    assert first is not None
    assert early is None
    assert due is not None


def test_watch_takes_a_snapshot_after_so_many_new_predictions(version: ModelVersion, settings: Any) -> None:
    settings.DRIFT_SNAPSHOT_PREDICTIONS = 5
    answer(version, ordinary(30))
    drift.watch(NOW)
    minute = timedelta(minutes=1)

    answer(version, ordinary(4))
    early = drift.watch(NOW + minute)
    answer(version, ordinary(1))
    due = drift.watch(NOW + 2 * minute)

    assert early is None
    assert due is not None


def test_watch_takes_one_at_once_for_a_version_that_has_just_been_promoted(version: ModelVersion) -> None:
    drift.watch(NOW)
    ModelVersion.objects.update(status="archived")
    make_trained(status="production")

    snapshot = drift.watch(NOW)

    assert snapshot is not None
    assert snapshot.version.number == 2


def test_looking_whether_one_is_due_takes_three_queries(version: ModelVersion, django_assert_num_queries: Any) -> None:
    answer(version, ordinary(30))
    drift.watch(NOW)

    with django_assert_num_queries(3):
        drift.watch(NOW + timedelta(minutes=1))


def test_watch_does_not_take_old_predictions_for_new_ones(version: ModelVersion, settings: Any) -> None:
    settings.DRIFT_SNAPSHOT_PREDICTIONS = 5
    answer(version, ordinary(30), at=NOW - timedelta(hours=169))
    first = drift.watch(NOW)

    second = drift.watch(NOW + timedelta(minutes=1))

    assert first is not None
    assert (first.verdict, first.recent_count) == ("too_few", 0)
    assert second is None
