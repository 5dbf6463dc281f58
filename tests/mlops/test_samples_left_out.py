"""Made-up rows are counted nowhere: not in a training, an export, a figure, a version's way to production."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from classifier import exporting
from classifier.labelling import import_tickets, set_label
from classifier.management.base import BadUsage, Refused
from classifier.models import Category, Label, ModelVersion, Ticket
from classifier.reading import FileRow
from mlops import drift, judging, promotion, quality, samples
from mlops import metrics as facts
from mlops.gathering import gather, tally
from mlops.management.choosing import version_meant, version_numbered
from mlops.models import DriftSnapshot
from tests.factories import make_version
from tests.mlops.making import NOW, label_tickets, make_trained

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def demo() -> ModelVersion:
    """A sample log of 30 predictions, a snapshot, and the version that they hang on."""
    log = samples.make_log(n_predictions=30, seed=1, now=NOW)
    samples.make_snapshot(log.version, seed=1, now=NOW)
    return log.version


def test_training_uses_no_made_up_ticket_even_with_a_label(demo: ModelVersion) -> None:
    label_tickets()
    before = len(gather().labelled)

    set_label(Ticket.objects.filter(is_demo=True)[0], Category.objects.get(slug="billing"), source="reviewer", now=NOW)

    assert len(gather().labelled) == before == 42
    assert tally().left_out["demo"] == 30
    assert Label.objects.for_training().count() == 42


def test_import_of_a_text_that_a_made_up_ticket_has_makes_a_real_ticket(demo: ModelVersion) -> None:
    text = Ticket.objects.filter(is_demo=True)[0].text

    import_tickets([FileRow(1, text, "billing")], seed=0)

    assert Ticket.objects.filter(text=text, is_demo=False, split__isnull=False).count() == 1


def test_export_leaves_them_out_unless_asked(demo: ModelVersion) -> None:
    assert exporting.log().n_rows == 0
    assert exporting.log(include_demo=True).n_rows == 30


def test_promotion_is_refused_whatever_the_force(demo: ModelVersion) -> None:
    with pytest.raises(promotion.NotPromotable, match="made up for demonstration"):
        promotion.promote(demo, reason="Why not", force=True)
    assert not judging.judge(demo).passed


def test_roll_back_never_leads_to_one(demo: ModelVersion) -> None:
    label_tickets()
    promotion.promote(make_trained(), reason="The first.")

    with pytest.raises(promotion.NothingToRollBackTo):
        promotion.roll_back(reason="Away from it.")


def test_commands_take_the_newest_real_version(demo: ModelVersion) -> None:
    candidate = make_version()

    assert version_meant(None, to="evaluate") == candidate
    with pytest.raises(BadUsage, match=r"There is no version 7\. The newest ones: 1\.$"):
        version_numbered(7)


@pytest.mark.parametrize(("command", "to"), [("evaluate", "evaluate"), ("tune_thresholds", "tune")])
def test_command_on_a_demo_version_says_that_it_has_no_model(demo: ModelVersion, command: str, to: str) -> None:
    with pytest.raises(Refused, match=f"^Version 1000001 is made up for demonstration: it has no model to {to}"):
        call_command(command, f"--version={demo.number}")


def test_live_quality_counts_none(demo: ModelVersion) -> None:
    label_tickets()
    ticket = Ticket.objects.filter(is_demo=True)[0]
    set_label(ticket, Category.objects.get(slug="billing"), source="reviewer", now=NOW)

    assert quality.summary(demo, NOW)["n"] == 0


def test_drift_looks_at_none_and_shows_none(demo: ModelVersion, at: Any) -> None:
    version = make_version(status="production")

    assert drift.is_due(version, NOW)  # the demo snapshot of a moment ago is none of this version's
    assert at.get("/api/drift/stats").status_code == 404
    assert at.get("/api/drift/snapshots").json()["results"] == []


def test_metrics_have_none(demo: ModelVersion) -> None:
    make_version(status="production")

    samples_of = {metric.name: metric.samples for metric in facts.of_database()}

    assert [sample.value for sample in samples_of["ticketclf_model_production_version"]] == [1]
    assert not {"ticketclf_last_snapshot_timestamp_seconds", "support_ticket_drift_score"} & set(samples_of)


def test_admin_page_of_the_snapshot_shows_it_flagged(demo: ModelVersion, at: Any) -> None:
    snapshot = DriftSnapshot.objects.get()

    content = at.get(f"/admin/mlops/driftsnapshot/{snapshot.pk}/change/").content.decode()

    assert "made up for demonstration" in content
    assert "roaming" in content
    assert "made up for demonstration" in at.get("/admin/mlops/driftsnapshot/").content.decode()


def test_api_flags_them(demo: ModelVersion, at: Any) -> None:
    make_version()

    found = at.get("/api/versions").json()["results"]

    assert {(version["number"], version["is_demo"]) for version in found} == {(1, False), (demo.number, True)}
    assert at.get(f"/api/tickets/{Ticket.objects.all()[0].pk}").json()["is_demo"] is True


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("classifier/ticket/", "made up"),
        ("classifier/apirequest/", "nobody, made up"),
        ("classifier/prediction/", "Version 1000001"),
        ("classifier/modelversion/", "Version 1000001"),
    ],
)
def test_admin_lists_show_them_flagged(demo: ModelVersion, at: Any, page: str, words: str) -> None:
    assert words.lower() in at.get(f"/admin/{page}").content.decode().lower()


@pytest.mark.parametrize("table", ["ticket", "prediction", "apirequest", "modelversion"])
def test_admin_lists_can_leave_them_out(demo: ModelVersion, at: Any, table: str) -> None:
    answer = at.get(f"/admin/classifier/{table}/?is_demo__exact=0")

    assert answer.status_code == 200
    assert answer.context["cl"].result_count == 0


def test_admin_page_of_a_demo_version_shows_its_scores_and_no_way_to_production(demo: ModelVersion, at: Any) -> None:
    content = at.get(f"/admin/classifier/modelversion/{demo.pk}/change/").content.decode()

    assert "Made up for demonstration; it never answers." in content
    assert "What was taken for what" in content
    assert f"/admin/classifier/modelversion/{demo.pk}/promote" not in content
