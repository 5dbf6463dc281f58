"""MLflow and our rows brought together: what it lacks is recorded, and an alias moved by hand is a wish to promote."""

from __future__ import annotations

import fcntl
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from classifier.ml.model import TextModel
from classifier.models import ModelArtifact, ModelVersion
from mlops import promotion, queueing, reconciling, tasks, tracking
from mlops.models import AliasMove, Promotion, TrainingRun
from mlops.reconciling import NOWHERE, follow, reconcile
from mlops.runs import Order
from mlops.tracking import ALIAS, NotRecorded
from tests.mlops.conftest import NOWHERE as NO_MLFLOW
from tests.mlops.making import NOW, label_tickets, make_trained, mlflow_client, poor_fit, small_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mlflow_home")]
REPORTS = {
    "val_classification_report.json",
    "val_confusion_matrix.png",
    "test_classification_report.json",
    "test_confusion_matrix.png",
    "validation_report.json",
}


@pytest.fixture(autouse=True)
def _tickets(mlflow_home):
    label_tickets()


def register(version: ModelVersion) -> ModelVersion:
    """Gives the version a run and a registered version in MLflow, without a model: the alias does not need it."""
    with mlflow_client() as client:
        run = client.create_run("0").info.run_id
        if not client.search_registered_models():
            client.create_registered_model(settings.MODEL_NAME)
        made = client.create_model_version(settings.MODEL_NAME, "file:///nowhere", run)
    version.mlflow_run_id, version.mlflow_version = run, int(made.version)
    version.save(update_fields=["mlflow_run_id", "mlflow_version"])
    return version


def registered(model: TextModel | None = None, **fields: Any) -> ModelVersion:
    return register(make_trained(model, **fields))


def wipe(home: Path, tables: Path) -> None:
    """Removes MLflow's database and files; in their place stand a new file and its empty tables (1.6 s to make)."""
    shutil.rmtree(home / "mlflow")
    (home / "mlflow").mkdir()
    shutil.copyfile(tables, home / "mlflow" / "mlflow.sqlite3")


def by_hand(number: int | None) -> None:
    """Moves the alias as somebody does in MLflow's pages."""
    with mlflow_client() as client:
        if number is None:
            client.delete_registered_model_alias(settings.MODEL_NAME, ALIAS)
        else:
            client.set_registered_model_alias(settings.MODEL_NAME, ALIAS, str(number))


def alias() -> int | None:
    return tracking.registry().alias


def moves() -> list[tuple[str, int | None, int]]:
    return list(AliasMove.objects.order_by("pk").values_list("decision", "found", "left"))


def statuses() -> dict[int, str]:
    return dict(ModelVersion.objects.values_list("number", "status"))


@pytest.fixture
def poor_in_production() -> ModelVersion:
    """A poor version 1 in production, in MLflow, and the alias on it."""
    version = registered(poor_fit().model)
    promotion.promote(version, reason="The first.", force=True)
    follow()
    return version


@pytest.fixture
def good_in_production() -> ModelVersion:
    version = registered()
    promotion.promote(version, reason="The first.")
    follow()
    return version


# --- What MLflow does not have --------------------------------------------------------------------
def test_reconcile_records_from_the_rows_what_was_never_recorded():
    version = make_trained()

    (done,) = reconcile()

    version.refresh_from_db()
    assert (done.what, done.version) == ("recorded", 1)
    assert done.words == f"Version 1 is in MLflow as registered version 1, run {version.mlflow_run_id}."
    assert TrainingRun.objects.get().mlflow_run_id == version.mlflow_run_id
    with mlflow_client() as client:
        run = client.get_run(version.mlflow_run_id)
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert client.get_model_version(settings.MODEL_NAME, "1").run_id == run.info.run_id
    assert files == REPORTS
    assert run.data.metrics["test_macro_f1"] == version.metrics["test"]["macro_f1"]
    assert run.data.tags["dataset_fingerprint"] == TrainingRun.objects.get().dataset.fingerprint
    assert run.data.tags["artifact_sha256"] == version.artifact_id


def test_reconcile_twice_does_nothing_the_second_time(good_in_production):
    make_trained()
    reconcile()
    before = moves()

    assert reconcile() == []
    assert moves() == before == [("followed", None, 1)]


def test_reconcile_records_production_first_then_the_newest_and_no_more_than_a_few(monkeypatch):
    versions = [make_trained(small_fit().model, status="production"), *(make_trained(small_fit().model) for _ in "abc")]
    monkeypatch.setattr(reconciling, "MOST_RECORDED", 2)

    first, second = reconcile(), reconcile()

    assert [(one.what, one.version) for one in first] == [
        ("recorded", 1), ("recorded", 4), ("waiting", None), ("followed", 1)
    ]  # fmt: skip
    assert first[2].words == "More that MLflow lacks wait for the next pass: 2."
    assert [(one.what, one.version) for one in second] == [("recorded", 3), ("recorded", 2)]
    assert [ModelVersion.objects.get(pk=row.pk).mlflow_version for row in versions] == [1, 4, 3, 2]


def test_reconcile_never_records_a_demo_version():
    make_trained(is_demo=True)

    assert reconcile() == []
    assert tracking.registry().runs == {}


def test_reconcile_records_anew_what_is_gone_from_mlflow():
    registry_gone, run_gone = registered(), registered()
    with mlflow_client() as client:
        client.delete_model_version(settings.MODEL_NAME, str(registry_gone.mlflow_version))
        client.delete_run(run_gone.mlflow_run_id)

    done = reconcile()

    assert [(one.what, one.version) for one in done] == [("recorded", 2), ("recorded", 1)]
    for row in ModelVersion.objects.all():
        assert tracking.registry().holds(run_id=row.mlflow_run_id, version=row.mlflow_version)
        assert row.run.mlflow_run_id == row.mlflow_run_id
        assert tracking.gone([row.mlflow_run_id]) == frozenset()


def test_reconcile_after_mlflow_was_wiped_records_again_and_sets_the_alias(good_in_production, home, mlflow_tables):
    waits = registered()
    wipe(home, mlflow_tables)

    done = reconcile()

    assert [(one.what, one.version) for one in done] == [("recorded", 1), ("recorded", 2), ("put_back", 1)]
    assert "The alias was gone from MLflow, and was set to registered version 1 (version 1) again." in done[-1].words
    good_in_production.refresh_from_db()
    waits.refresh_from_db()
    assert alias() == good_in_production.mlflow_version
    assert tracking.registry().runs == {1: good_in_production.mlflow_run_id, 2: waits.mlflow_run_id}


def test_reconcile_of_a_wiped_mlflow_forgets_at_once_what_waits_for_a_later_pass(
    good_in_production, home, mlflow_tables, monkeypatch
):
    waits = registered()
    monkeypatch.setattr(reconciling, "MOST_RECORDED", 0)
    wipe(home, mlflow_tables)

    reconcile()

    waits.refresh_from_db()
    assert (waits.mlflow_run_id, waits.mlflow_version) == ("", None)


def test_reconcile_finds_what_was_recorded_when_its_process_was_killed(monkeypatch):
    version = make_trained()
    reconcile()
    version.refresh_from_db()
    recorded = (version.mlflow_run_id, version.mlflow_version)
    ModelVersion.objects.update(mlflow_run_id="", mlflow_version=None)

    reconcile()

    version.refresh_from_db()
    assert (version.mlflow_run_id, version.mlflow_version) == recorded
    assert tracking.registry().runs == {recorded[1]: recorded[0]}


def test_reconcile_records_although_the_experiment_was_deleted():
    make_trained()
    tracking.recorded_before({"version": "1"})  # which makes the experiment
    with mlflow_client() as client:
        client.delete_experiment(client.get_experiment_by_name(settings.MLFLOW_EXPERIMENT_NAME).experiment_id)

    assert [one.what for one in reconcile()] == ["recorded"]


def test_reconcile_goes_on_past_a_version_that_cannot_be_recorded():
    damaged, whole = make_trained(poor_fit().model), make_trained()
    ModelArtifact.objects.filter(pk=damaged.artifact_id).update(content=b"nothing")

    done = reconcile()

    assert [(one.what, one.version) for one in done] == [("recorded", whole.number), ("not_recorded", damaged.number)]
    assert "Version 1 was not recorded: The model's bytes should have the SHA-256" in done[1].words


def test_reconcile_records_scores_as_version_0_1_stored_them():
    """Spelled out: what is added to the scores later must not keep older versions from being recorded."""
    version = make_trained()
    category = {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    scores = {
        **dict.fromkeys(("accuracy", "macro_precision", "macro_recall", "macro_f1"), 0.75),
        **dict.fromkeys(("weighted_precision", "weighted_recall", "weighted_f1", "calibration_error"), 0.5),
        "n_tickets": 4,
        "log_loss": None,
        "unknown_truth": 0,
        "per_category": {"billing": category, "shipping": category},
        "confusion": {"categories": ["billing", "shipping"], "matrix": [[1, 1], [0, 2]]},
        "reliability": [{"low": 0.0, "high": 1.0, "count": 4, "confidence": 0.9, "accuracy": 0.75}],
    }
    ModelVersion.objects.update(metrics={"validation": scores, "test": scores})

    assert [one.what for one in reconcile()] == ["recorded"]

    version.refresh_from_db()
    with mlflow_client() as client:
        found = client.get_run(version.mlflow_run_id).data.metrics
    assert found["test_macro_f1"] == 0.75
    assert found["val_category/billing/support"] == 2
    assert "test_log_loss" not in found


# --- The alias follows ----------------------------------------------------------------------------
def test_alias_follows_the_first_promotion(good_in_production):
    assert alias() == 1
    assert moves() == [("followed", None, 1)]
    assert AliasMove.objects.get().promotion == Promotion.objects.get()
    assert AliasMove.objects.get().words == "The alias was set to registered version 1 (version 1)."


def test_alias_follows_production(poor_in_production):
    new = registered()
    promotion.promote(new, reason="Better.")

    (done,) = reconcile(now=NOW)

    assert (done.what, done.version) == ("followed", 2)
    assert alias() == 2
    assert moves()[-1] == ("followed", 1, 2)
    move = AliasMove.objects.first()
    assert (move.promotion, move.created_at) == (Promotion.objects.first(), NOW)
    assert move.words == (
        "The alias went from registered version 1 (version 1) to registered version 2 (version 2), after production."
    )


def test_alias_that_stands_right_is_left_alone_and_asked_nothing_more(good_in_production):
    assert follow() == []
    assert len(moves()) == 1


def test_alias_of_a_production_that_is_not_recorded_asks_nothing_of_mlflow(settings):
    promotion.promote(make_trained(), reason="Good.")
    settings.MLFLOW_TRACKING_URI = NO_MLFLOW

    assert follow() == []


def test_alias_set_by_us_but_not_written_down_is_written_down(good_in_production):
    """As after a kill between the two, or a request that a frozen MLflow carried out when it woke."""
    AliasMove.objects.all().delete()

    (done,) = follow()

    assert (done.what, moves()) == ("followed", [("followed", 1, 1)])


def test_alias_that_is_two_promotions_late_follows_and_asks_no_gate(poor_in_production):
    second = registered()
    promotion.promote(second, reason="Better.")
    by_hand(2)  # ours, sent and not written down
    third = registered(poor_fit().model)
    promotion.promote(third, reason="A trial.", force=True)

    (done,) = follow()

    assert (done.what, done.version) == ("followed", 3)
    assert statuses() == {1: "archived", 2: "archived", 3: "production"}
    assert alias() == 3


def test_alias_of_promotions_before_there_were_records_follows():
    for version in (registered(poor_fit().model), registered()):
        promotion.promote(version, reason="Once.", force=True)
    by_hand(1)

    (done,) = follow()

    assert (done.what, alias()) == ("followed", 2)


# --- The alias was moved by hand ------------------------------------------------------------------
def test_alias_moved_to_a_better_version_promotes_it(poor_in_production):
    registered()
    by_hand(2)

    (done,) = reconcile(now=NOW)  # when it began: the gate may take a while before the promotion

    assert statuses() == {1: "archived", 2: "production"}
    assert (done.what, done.version) == ("taken_over", 2)
    row = Promotion.objects.first()
    assert (
        row.reason == "The alias was moved to registered version 2 (version 2) in MLflow, and the gate let it through."
    )
    assert (row.forced, row.by, row.verdict["passed"]) == (False, None, True)
    assert row.created_at == AliasMove.objects.first().created_at > NOW
    assert moves()[-1] == ("taken_over", 2, 2)
    assert AliasMove.objects.first().promotion == row
    assert (alias(), reconcile()) == (2, [])


def test_alias_moved_to_a_worse_version_is_put_back_with_the_words_of_the_gate(good_in_production):
    registered(poor_fit().model)
    by_hand(2)

    (done,) = reconcile()

    assert statuses() == {1: "production", 2: "candidate"}
    assert (alias(), moves()[-1]) == (1, ("put_back", 2, 1))
    assert done.words.startswith(
        "The alias was moved to registered version 2 (version 2) in MLflow, and the gate says no. Its macro-F1 on"
    )
    assert done.words.endswith("It was put back on registered version 1 (version 1).")
    assert AliasMove.objects.first().promotion is None
    assert reconcile() == []


def test_alias_moved_back_to_the_version_before_is_judged_as_any_other(poor_in_production):
    promotion.promote(registered(), reason="Better.")
    follow()
    by_hand(1)

    (done,) = reconcile()

    assert (done.what, alias()) == ("put_back", 2)


def test_alias_moved_to_a_damaged_version_is_put_back(good_in_production):
    damaged = registered(poor_fit().model)
    ModelArtifact.objects.filter(pk=damaged.artifact_id).update(content=b"nothing")
    by_hand(2)

    (done,) = reconcile()

    assert (done.what, alias()) == ("put_back", 1)
    assert "which is not possible. Version 2 cannot answer" in done.words


def test_alias_moved_to_what_was_not_trained_here_is_put_back(good_in_production):
    with mlflow_client() as client:
        foreign = client.create_model_version(
            settings.MODEL_NAME, "file:///nowhere", client.create_run("0").info.run_id
        )
    by_hand(int(foreign.version))

    (done,) = reconcile()

    assert (done.what, alias()) == ("put_back", 1)
    assert "registered version 2 (none of ours) in MLflow, which was not trained here" in done.words


def test_alias_that_was_deleted_is_set_again(good_in_production):
    by_hand(None)

    (done,) = reconcile()

    assert (done.what, alias(), moves()[-1]) == ("put_back", 1, ("put_back", None, 1))


def test_alias_moved_while_nothing_is_in_production_promotes_a_first_version_that_passes():
    registered()
    by_hand(1)

    (done,) = reconcile()

    assert (done.what, statuses()) == ("taken_over", {1: "production"})


def test_alias_moved_while_nothing_is_in_production_is_taken_away_from_one_that_fails():
    registered(poor_fit().model)
    by_hand(1)

    (done,) = reconcile()

    assert (done.what, done.version, statuses()) == ("put_back", None, {1: "candidate"})
    assert done.words.endswith("It was taken away, as nothing is in production.")
    assert (alias(), moves()) == (None, [("put_back", 1, NOWHERE)])
    assert reconcile() == []


def test_alias_moved_although_production_is_not_recorded_goes_back_to_where_it_was(good_in_production, monkeypatch):
    registered(poor_fit().model)
    promotion.promote(make_trained(small_fit().model), reason="A trial.", force=True)
    by_hand(2)

    with_nothing_recorded = reconciling._look_and_settle(NOW)

    assert [one.what for one in with_nothing_recorded] == ["put_back"]
    assert alias() == 1


def test_alias_is_not_put_back_when_somebody_promoted_that_version_meanwhile(poor_in_production, monkeypatch):
    version = registered()
    by_hand(2)
    real = reconciling.judging.judge

    def judge(candidate: ModelVersion) -> Any:
        verdict = real(candidate)
        promotion.promote(ModelVersion.objects.get(pk=version.pk), reason="Sooner.")
        return verdict

    monkeypatch.setattr(reconciling.judging, "judge", judge)

    assert reconcile() == []
    assert (alias(), statuses()) == (2, {1: "archived", 2: "production"})


# --- Two at once, and none ------------------------------------------------------------------------
def test_reconcile_waits_for_another_one_and_gives_up_in_words(home, monkeypatch):
    monkeypatch.setattr(reconciling, "TURN_SECONDS", 0.0)

    with (home / "reconciling.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(reconciling.Busy, match="Another reconciling"):
            reconcile()


@pytest.mark.django_db(transaction=True)
def test_two_reconciles_at_once_record_once_promote_once_and_answer_once():
    poor = registered(poor_fit().model)
    promotion.promote(poor, reason="The first.", force=True)
    follow()
    registered()
    make_trained(small_fit().model)
    by_hand(2)

    done = at_once(reconcile, reconcile)

    assert sorted(one.what for one in done) == ["recorded", "taken_over"]
    assert len(tracking.registry().runs) == 3
    assert Promotion.objects.count() == 2
    assert [decision for decision, _, _ in moves()] == ["followed", "taken_over"]


def at_once(*verbs: Callable[[], list[Any]]) -> list[Any]:
    together, done = threading.Barrier(len(verbs)), []

    def go(verb: Callable[[], list[Any]]) -> None:
        together.wait(timeout=20)
        try:
            done.extend(verb())
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return done


@pytest.mark.parametrize("second", ["the same", "a promotion came in between"])
def test_a_reconcile_that_knows_an_older_mlflow_does_no_harm(poor_in_production, second):
    """As on two machines, where no lock is shared: both have looked before either moved."""
    promotion.promote(registered(), reason="Better.")
    before = (reconciling.Memory.now(), tracking.registry())
    reconciling._settle(*before, now=NOW)
    if second != "the same":
        promotion.promote(registered(poor_fit().model), reason="A trial.", force=True)
        follow()

    reconciling._settle(*before, now=NOW)

    follow()
    production = ModelVersion.objects.in_production().get()
    assert alias() == production.mlflow_version
    assert {decision for decision, _, _ in moves()} == {"followed"}


@pytest.mark.parametrize("verb", [reconcile, follow])
def test_reconcile_without_mlflow_raises_and_changes_nothing(good_in_production, settings, verb):
    settings.MLFLOW_TRACKING_URI = NO_MLFLOW
    before = (moves(), list(ModelVersion.objects.values("status", "mlflow_run_id", "mlflow_version")))

    with pytest.raises(NotRecorded):
        verb()

    assert before == (moves(), list(ModelVersion.objects.values("status", "mlflow_run_id", "mlflow_version")))


# --- The task -------------------------------------------------------------------------------------
def test_task_reconciles_and_logs_what_it_did(caplog):
    caplog.set_level(logging.INFO, logger="mlops.tasks")
    make_trained()

    tasks.reconcile()

    assert "reconciled: Version 1 is in MLflow as registered version 1" in caplog.text


def test_task_without_mlflow_warns_and_does_not_fail(settings, caplog):
    settings.MLFLOW_TRACKING_URI = NO_MLFLOW

    tasks.reconcile()

    assert "not reconciled: MLflow at" in caplog.text


def test_task_of_a_retraining_lets_the_alias_follow():
    tasks.carry_out(queueing.enqueue(Order(kind="retrain", trigger="api", recipe="word_char"), now=NOW).pk)

    version = ModelVersion.objects.get()
    assert version.status == "production"
    assert alias() == version.mlflow_version


def test_lock_is_beside_what_this_installation_writes(home: Path):
    reconcile()

    assert (home / "reconciling.lock").exists()
