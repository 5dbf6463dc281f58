"""Scores of a version on its own tickets and on files, and the report files of them."""

from __future__ import annotations

import json
from importlib.metadata import version as installed

import pytest

from classifier.inference import load
from classifier.ml.scoring import score
from classifier.ml.validation import Row
from classifier.models import Category, Ticket
from mlops import evaluation
from mlops.drawing import GUIDE_COLOUR, Layout, draw_confusion
from mlops.evaluation import NothingToScore, Tickets
from mlops.models import Dataset
from tests import factories
from tests.mlops.making import good_fit, label_tickets, make_trained

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
HERE = installed("scikit-learn")
PNG = b"\x89PNG\r\n\x1a\n"


def scores_on(rows):
    model = good_fit().model
    return evaluation.evaluate_tickets(model, evaluation.tickets_of_rows(rows, known=model.categories))


def scores_of_own(version, split):
    return evaluation.evaluate_tickets(load(version), evaluation.own_tickets(version, split))


@pytest.fixture
def version():
    label_tickets()
    return make_trained()


def test_own_test_tickets_give_the_stored_numbers_again_exactly(version):
    scores = scores_of_own(version, "test")

    assert scores.as_dict() == version.metrics["test"]
    assert scores.intervals["macro_f1"].high == 1.0
    assert scores.coverage[-1].coverage == 1.0


def test_own_tickets_of_all_splits_are_every_frozen_ticket(version):
    scores = scores_of_own(version, "all")

    assert scores.n_tickets == 3 * 14
    assert {row.support for row in scores.per_category.values()} == {14}


def test_own_tickets_keep_to_the_labels_and_splits_of_the_training(version):
    Ticket.objects.update(split="train")

    assert scores_of_own(version, "test").as_dict() == version.metrics["test"]


def test_frozen_tickets_stand_in_the_order_of_their_ids_and_tell_of_the_missing():
    kept, gone, other = (factories.make_ticket(text) for text in ("one", "two", "three"))
    members = {"test": {"billing": [other.pk, gone.pk], "general": [kept.pk]}, "train": {}}
    dataset = Dataset.objects.create(fingerprint="f", counts={}, members=members)
    gone.delete()

    tickets = evaluation.frozen_tickets(dataset, ("train", "test"))

    assert tickets == Tickets(("one", "three"), ("general", "billing"), missing=1, ids=(kept.pk, other.pk))


def test_frozen_tickets_are_read_in_parts(django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(evaluation, "IDS_A_QUERY", 2)
    ids = [factories.make_ticket(f"ticket {number}").pk for number in range(5)]
    dataset = Dataset.objects.create(fingerprint="f", counts={}, members={"test": {"billing": ids}})

    with django_assert_num_queries(3):
        tickets = evaluation.frozen_tickets(dataset, ("test",))

    assert len(tickets.texts) == 5


def test_own_tickets_of_a_version_without_a_run_say_what_is_missing():
    with pytest.raises(NothingToScore, match="training run"):
        evaluation.own_tickets(factories.make_version(), "test")


def test_evaluate_tickets_without_any_says_so():
    with pytest.raises(NothingToScore, match="there is none"):
        evaluation.evaluate_tickets(good_fit().model, Tickets((), ()))


def test_evaluate_counts_the_rows_it_was_trained_on_by_their_normalised_text(version):
    learnt, _ = evaluation.own_tickets(version, "train").texts[:2]
    unseen = evaluation.own_tickets(version, "test").texts[0]

    assert evaluation.count_seen(version, [f"  {learnt.upper()} ", unseen, "Never heard of it"]) == 1


@pytest.mark.parametrize(
    ("made", "warned"), [({}, False), ({"scikit-learn": HERE}, False), ({"scikit-learn": "0.1"}, True)]
)
def test_a_version_made_with_another_scikit_learn_is_warned_of(made, warned):
    words = evaluation.library_warning(factories.make_version(parameters=made))

    assert bool(words) is warned
    assert not warned or f"made with scikit-learn 0.1, and {HERE} is installed" in words


def test_evaluate_a_file_matches_labels_and_leaves_out_what_cannot_be_scored():
    rows = [
        Row(2, "I was double charged", " Billing "),
        Row(3, "App keeps crashing", "TECHNICAL"),
        Row(4, "", "billing"),
        Row(5, "Where is it?", None),
    ]

    scores = scores_on(rows)

    assert (scores.n_tickets, scores.accuracy) == (2, 1.0)


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("Late parcels", "shipping"),  # a category's name
        ("Billing?", "billing"),  # an import that makes categories makes this of it
        ("card-arrival", "card_arrival"),  # only the model knows it
        ("Refunds", "Refunds"),
        ("???", "???"),
    ],
)
def test_labels_of_a_file_mean_what_an_import_takes_them_for(label, meant):
    Category.objects.create(slug="shipping", name="Late parcels")

    rows = [Row(2, "Where is it?", label), Row(3, "I was double charged", "billing")]

    tickets = evaluation.tickets_of_rows(rows, known=("billing", "card_arrival"))

    assert tickets.truth == (meant, "billing")


def test_evaluate_a_file_counts_a_label_the_model_does_not_know_as_wrong():
    scores = scores_on([Row(2, "I was double charged", "billing"), Row(3, "Refund me", "Refunds")])

    assert scores.accuracy == 0.5
    assert scores.per_category["Refunds"].support == 1


# --- Files ----------------------------------------------------------------------------------------
def scores_of(categories):
    """Two tickets of each category, one of them answered right and one with the next category."""
    truth = [slug for slug in categories for _ in range(2)]
    nexts = [*categories[1:], categories[0]]
    guess = [answer for pair in zip(categories, nexts, strict=True) for answer in pair]
    return score(truth, guess, categories=categories)


def test_write_report_writes_the_numbers_and_the_picture(home):
    scores = scores_of(["billing", "shipping"])

    report, picture = evaluation.write_report(scores, home / "new" / "folder", prefix="val", about={"version": 3})

    found = json.loads(report.read_text("utf-8"))
    assert (report.name, picture.name) == ("val_classification_report.json", "val_confusion_matrix.png")
    assert found["version"] == 3
    assert found["accuracy"] == 0.5
    assert found["per_category"]["billing"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert found["confusion"] == {"categories": ["billing", "shipping"], "matrix": [[1, 1], [1, 1]]}
    assert picture.read_bytes().startswith(PNG)
    assert sorted(path.name for path in report.parent.iterdir()) == [report.name, picture.name]


@pytest.mark.parametrize("names", [["billing", "客服 $x$"], [f"category_{number}_" + "x" * 40 for number in range(12)]])
def test_the_picture_is_the_same_for_the_same_numbers_whatever_the_names(home, names):
    for name in ("one.png", "two.png"):
        draw_confusion(scores_of(names), home / name, title="test")

    assert (home / "one.png").read_bytes() == (home / "two.png").read_bytes()


def test_the_picture_of_many_categories_has_guides_where_the_eye_would_lose_its_row(home):
    names = [f"category_{number}" for number in range(24)]
    draw_confusion(scores_of(names[:20]), home / "20.png", title="test")
    draw_confusion(scores_of(names), home / "24.png", title="test")

    assert [has_colour(home / name, GUIDE_COLOUR) for name in ("20.png", "24.png")] == [False, True]


def has_colour(path, colour):
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    return bool((abs(imread(path)[..., :3] - to_rgb(colour)).max(axis=-1) < 0.02).sum(axis=1).max() > 200)


@pytest.mark.parametrize(
    ("n", "largest", "numbers"), [(5, 9999, True), (77, 40, True), (77, 12345, False), (200, 7, True), (0, 0, True)]
)
def test_counts_are_written_where_they_fit(n, largest, numbers):
    layout = Layout.of(["category"] * n, largest=largest)

    assert bool(layout.number_points) is numbers
    assert layout.label_points >= 8  # points that can be read
    assert layout.side >= 6.5
