"""The way back: which version a roll-back takes, what it refuses, and two people at once."""

from __future__ import annotations

import threading
from functools import partial
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from classifier.management.base import BadUsage, Refused
from classifier.models import ModelArtifact, ModelVersion
from mlops import promotion
from mlops.models import Promotion
from tests.factories import make_user, make_version
from tests.mlops.making import good_fit, label_tickets, make_trained, poor_fit, small_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def promote(version: ModelVersion) -> None:
    promotion.promote(version, reason="Onwards.", force=True)


def in_production() -> int | None:
    return ModelVersion.objects.in_production().values_list("number", flat=True).first()


def back() -> int:
    return promotion.roll_back(reason="Back.").version.number


def test_roll_back_goes_back_step_by_step_to_the_first():
    for _ in range(3):
        promote(make_version())

    assert [back(), back()] == [2, 1]
    with pytest.raises(promotion.NothingToRollBackTo, match="before version 1 none was there"):
        back()
    assert in_production() == 1


def test_roll_back_after_a_new_promotion_goes_back_to_what_that_replaced():
    for _ in range(2):
        promote(make_version())
    back()
    promote(make_version())

    assert back() == 1


def test_roll_back_finds_its_way_where_a_version_was_there_twice():
    first, second = make_version(), make_version()
    for version in (first, second, first):
        version.refresh_from_db()
        promote(version)

    assert [back(), back()] == [2, 1]


def test_roll_back_without_a_version_in_production_is_refused():
    with pytest.raises(promotion.NothingToRollBackTo, match="nothing is in production"):
        back()


def test_roll_back_is_on_record_with_who_and_why():
    ada = make_user("ada")
    for _ in range(2):
        promote(make_version())

    row = promotion.roll_back(reason=" Complaints. ", by=ada)

    assert (row.kind, row.version.number, row.replaced.number) == ("roll_back", 1, 2)
    assert (row.by, row.reason, row.forced) == (ada, "Complaints.", False)
    assert row.verdict["reasons"][0]["name"] == "self_test"


def test_roll_back_without_a_reason_is_refused():
    with pytest.raises(ValueError, match="needs a reason"):
        promotion.roll_back(reason=" ")


def test_roll_back_to_a_damaged_version_is_refused_and_the_good_one_stays():
    damaged, good = make_version(model=small_fit().model), make_version(model=good_fit().model)
    promote(damaged)
    promote(good)
    damaged.path.unlink()
    ModelArtifact.objects.filter(pk=damaged.artifact_id).update(content=b"no model")

    with pytest.raises(
        promotion.NotPromotable, match=r"Passed over: Version 1 cannot answer.*Train one: manage\.py train"
    ):
        back()

    assert in_production() == 2


def test_roll_back_passes_over_a_version_that_cannot_answer_and_says_so():
    whole, damaged, good = (make_version(model=fit().model) for fit in (small_fit, poor_fit, good_fit))
    for version in (whole, damaged, good):
        promote(version)
    damaged.path.unlink()
    ModelArtifact.objects.filter(pk=damaged.artifact_id).update(content=b"no model")

    row = promotion.roll_back(reason="Back.")

    assert (row.version.number, in_production()) == (1, 1)
    assert row.verdict["reasons"][0]["words"].startswith("Passed over: Version 2 cannot answer")
    with pytest.raises(promotion.NothingToRollBackTo):
        back()


# --- Two at once ----------------------------------------------------------------------------------
ROUNDS = 50


def at_once(*calls):
    """What each of the calls gave or raised, all of them begun at the same moment."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = calls[index]()
        except (promotion.PromotionConflict, promotion.NotPromotable) as refusal:
            results[index] = refusal
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("same", [True, False], ids=["the same version", "two versions"])
def test_of_two_promotions_at_once_one_wins_in_each_of_fifty_rounds(same):
    model = small_fit().model
    versions = [make_version(model=model, number=number) for number in (1, 2, 3)]
    promote(versions[0])
    there = 1
    for _ in range(ROUNDS):
        others = [version for version in versions if version.number != there]
        chosen = [others[0], others[0] if same else others[1]]
        before = Promotion.objects.count()

        calls = [
            partial(promotion.promote, ModelVersion.objects.get(pk=version.pk), reason="At once.", force=True)
            for version in chosen
        ]
        results = at_once(*(partial(call, expected=there) for call in calls))

        won = [result for result in results if isinstance(result, Promotion)]
        assert len(won) == 1, results
        assert Promotion.objects.count() == before + 1
        assert in_production() == won[0].version.number
        there = won[0].version.number


@pytest.mark.django_db(transaction=True)
def test_of_a_promotion_and_a_roll_back_at_once_one_wins():
    for number in (1, 2):
        promote(make_version(model=small_fit().model, number=number))
    third = make_version(model=small_fit().model, number=3)

    results = at_once(
        lambda: promotion.promote(third, reason="Onwards.", force=True, expected=2),
        lambda: promotion.roll_back(reason="Back.", expected=2),
    )

    assert sorted(type(result).__name__ for result in results) in (
        ["NotPromotable", "Promotion"],
        ["Promotion", "PromotionConflict"],
    )
    assert Promotion.objects.count() == 3


# --- The command ----------------------------------------------------------------------------------
def test_the_command_rolls_back_and_says_so():
    for _ in range(2):
        promote(make_version())
    make_user("ada")
    out = StringIO()

    call_command("roll_back", reason="Complaints.", by="ada", expected=2, stdout=out)

    assert out.getvalue().startswith("Version 1 is again in production, instead of version 2.")
    assert Promotion.objects.first().by.username == "ada"


def test_the_command_without_anything_before_ends_with_1():
    with pytest.raises(Refused, match="Promote one by its number"):
        call_command("roll_back", reason="x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reason": " "}, "--reason must say why"),
        ({"reason": "x" * 2001}, "at most 2,000 characters; it has 2,001"),
        ({"reason": "caf\udce9"}, "must be text in UTF-8"),
        ({"reason": "x", "by": "eve"}, "'eve' is none"),
    ],
)
def test_the_command_with_bad_options_ends_with_2(options, words):
    with pytest.raises(BadUsage, match=words):
        call_command("roll_back", **options)


def test_promote_by_a_person_without_the_permission_does_not_force():
    label_tickets()
    make_trained(poor_fit().model)
    make_user("ada")

    with pytest.raises(Refused, match="permission force_promotion; ada has not got it"):
        call_command("promote", 1, reason="x", force=True, by="ada")
    assert in_production() is None
