"""Which version answers: the gate that judges a candidate, and the one place that changes a version's status."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from classifier.inference import load
from classifier.ml.artifact import DamagedModel
from classifier.models import Category, ModelArtifact, ModelVersion, User
from mlops import tracking
from mlops.evaluation import NothingToScore, Tickets, dataset_of, evaluate_tickets, frozen_tickets
from mlops.models import Promotion

if TYPE_CHECKING:
    from classifier.ml.model import TextModel

logger = logging.getLogger(__name__)
Status = ModelVersion.Status
# What any model must be able to answer: a plain ticket, no word at all, another script, a long one.
SELF_TEST = ("I was double charged", "?!", "Посылка не пришла", "my app keeps crashing " * 200)
MAX_SUM_ERROR = 1e-6  # of a ticket's probabilities, which sum to 1


class GateSaysNo(RuntimeError):
    """A candidate did not pass; the message says which rules failed, by how much, and what can be done."""

    def __init__(self, version: ModelVersion, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(
            f"{str(version).capitalize()} does not pass the gate: {verdict.in_words()} "
            "Train a better one, or promote it all the same with --force and the reason for it."
        )


class NotPromotable(RuntimeError):
    """The version can never go to production, forced or not: a demo one, a damaged one, or the one that is there."""


class PromotionConflict(RuntimeError):
    """Another promotion came in between: what was judged is no longer what is in production."""


@dataclass(frozen=True)
class Rule:
    """One rule of the gate: what it wanted, what it found (None: no number could be had), and both in words."""

    name: str
    passed: bool
    wanted: float | None
    found: float | None
    words: str


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate; production is the number of the version it was compared with, if any."""

    candidate: int
    production: int | None
    reasons: tuple[Rule, ...]

    @property
    def passed(self) -> bool:
        return all(rule.passed for rule in self.reasons)

    def in_words(self) -> str:
        """The failed rules, or that there is none."""
        return " ".join(rule.words for rule in self.reasons if not rule.passed) or "All rules are met."

    def as_dict(self) -> dict[str, Any]:
        return {
            "candidate": self.candidate,
            "production": self.production,
            "passed": self.passed,
            "reasons": [asdict(rule) for rule in self.reasons],
        }


# --- The gate -------------------------------------------------------------------------------------
def judge(candidate: ModelVersion) -> Verdict:
    """Holds a candidate to the absolute rules and, when a version is in production, against that one.

    Both are scored on the same tickets: the test split of the candidate's frozen dataset.
    """
    production = ModelVersion.objects.in_production().exclude(pk=candidate.pk).first()
    number = production.number if production else None
    try:
        model = load(candidate)
    except DamagedModel as error:
        whole = Rule("artifact_whole", False, None, None, f"Its model file is damaged: {error}")
        return Verdict(candidate.number, number, (whole,))
    reasons = [Rule("artifact_whole", True, None, None, "Its model file is whole."), self_test(model)]
    try:
        tickets = frozen_tickets(dataset_of(candidate), ("test",))
        reasons.append(_least_macro_f1(model, tickets))
        if production is not None:
            reasons.append(_gain(model, production, tickets))
    except NothingToScore as error:
        reasons.append(Rule("test_tickets", False, None, None, str(error)))
    return Verdict(candidate.number, number, tuple(reasons))


def self_test(model: TextModel) -> Rule:
    """Whether the model answers fixed texts as a model must: numbers that are finite, sum to 1, of known categories."""
    probabilities = model.predict(SELF_TEST).probabilities
    unknown = sorted(set(model.categories) - set(Category.objects.values_list("slug", flat=True)))
    if not np.isfinite(probabilities).all():
        words = "It answers with numbers that are not finite."
    elif abs(probabilities.sum(axis=1) - 1).max() > MAX_SUM_ERROR:
        words = "Its probabilities do not sum to 1."
    elif unknown:
        words = f"It answers categories that there are not: {', '.join(unknown)}."
    else:
        return Rule("self_test", True, None, None, f"It answers {len(SELF_TEST)} fixed texts as a model must.")
    return Rule("self_test", False, None, None, words)


def _least_macro_f1(model: TextModel, tickets: Tickets) -> Rule:
    wanted, found = settings.GATE_MIN_MACRO_F1, evaluate_tickets(model, tickets).macro_f1
    words = f"Its macro-F1 on {len(tickets.texts):,} test tickets is {found:.3f}, and {wanted:.3f} is the least."
    return Rule("least_macro_f1", found >= wanted, wanted, found, words)


def _gain(model: TextModel, production: ModelVersion, tickets: Tickets) -> Rule:
    """What the candidate gains over production, on the test tickets of the categories that both know."""
    wanted = settings.GATE_MIN_GAIN
    try:
        other = load(production)
    except DamagedModel as error:  # no comparison, no promotion by itself; a person can force it
        return Rule("gain", False, wanted, None, f"{str(production).capitalize()} cannot be compared with: {error}")
    common = set(model.categories) & set(other.categories)
    kept = [pair for pair in zip(tickets.texts, tickets.truth, strict=True) if pair[1] in common]
    if not kept:
        return Rule(
            "gain", False, wanted, None, f"It shares no category with {production}, so they cannot be compared."
        )
    same = Tickets(tuple(text for text, _ in kept), tuple(truth for _, truth in kept))
    ours, theirs = evaluate_tickets(model, same).macro_f1, evaluate_tickets(other, same).macro_f1
    words = (
        f"On the same {len(kept):,} test tickets its macro-F1 is {ours:.3f} and that of {production} {theirs:.3f}: "
        f"a gain of {ours - theirs:+.3f}, where more than {wanted:+.3f} is wanted."
    )
    return Rule("gain", ours - theirs > wanted, wanted, ours - theirs, words)


# --- Promotion ------------------------------------------------------------------------------------
def promote(
    version: ModelVersion,
    *,
    reason: str,
    by: User | None = None,
    force: bool = False,
    verdict: Verdict | None = None,
    now: datetime | None = None,
) -> Promotion:
    """Puts a version into production and writes down since when, by whom, why, and instead of which.

    verdict: what the gate said, if it was asked before; it must be about what is in production now. force: promotes
    although the gate says no, and records that it was forced.
    Raises GateSaysNo, NotPromotable, PromotionConflict, and ValueError for a missing reason.
    """
    if not reason.strip():
        raise ValueError("A promotion needs a reason, for those who ask later; it is empty. Write one sentence.")
    _refuse_unfit(version)
    verdict = verdict or judge(version)
    if not verdict.passed and not force:
        raise GateSaysNo(version, verdict)
    forced = not verdict.passed
    now = now or timezone.now()
    try:
        with transaction.atomic():
            replaced = _swap(version, verdict)
            row = Promotion.objects.create(
                version=version,
                replaced=replaced,
                by=by,
                reason=reason.strip(),
                forced=forced,
                verdict=verdict.as_dict(),
                created_at=now,
            )
            transaction.on_commit(lambda: _mirror(version))
    except IntegrityError:  # nothing was in production, so nothing was locked, and another was first
        raise PromotionConflict(_conflict_words(version)) from None
    version.refresh_from_db()
    return row


def _refuse_unfit(version: ModelVersion) -> None:
    if version.is_demo:
        raise NotPromotable(f"{str(version).capitalize()} is made up for demonstration and never answers tickets.")
    try:
        load(version)
    except (DamagedModel, ModelArtifact.DoesNotExist) as error:
        raise NotPromotable(f"{str(version).capitalize()} cannot answer: {error}") from error
    version.refresh_from_db(fields=["status"])
    if version.status == Status.PRODUCTION:
        raise NotPromotable(f"{str(version).capitalize()} is in production already.")


def _swap(version: ModelVersion, verdict: Verdict) -> ModelVersion | None:
    """Locks both rows, archives the one in production, sets the new one; gives the one replaced."""
    rows = ModelVersion.objects.select_for_update().filter(Q(pk=version.pk) | Q(status=Status.PRODUCTION))
    locked = {row.pk: row for row in rows.order_by("pk")}
    if locked[version.pk].status == Status.PRODUCTION:
        raise PromotionConflict(f"{str(version).capitalize()} was promoted by somebody else a moment ago.")
    replaced = next((row for row in locked.values() if row.status == Status.PRODUCTION), None)
    # On Postgres, who waited for the lock finds its row no longer in production, and so a state that was not judged.
    if (replaced.number if replaced else None) != verdict.production:
        raise PromotionConflict(_conflict_words(version))
    if replaced is not None:
        ModelVersion.objects.filter(pk=replaced.pk).update(status=Status.ARCHIVED)
    ModelVersion.objects.filter(pk=version.pk).update(status=Status.PRODUCTION)
    return replaced


def _conflict_words(version: ModelVersion) -> str:
    now_there = ModelVersion.objects.in_production().values_list("number", flat=True).first()
    return (
        f"{str(version).capitalize()} was judged against another production than there is now"
        f"{f' (version {now_there})' if now_there else ''}: somebody promoted in between. Look again, then decide anew."
    )


def _mirror(version: ModelVersion) -> None:
    """Moves MLflow's alias after ours. Our row has decided; that MLflow does not answer is logged and no more."""
    if version.mlflow_version is None:
        logger.warning("%s is not in MLflow, so its alias stays where it is", version)
        return
    try:
        tracking.set_production_alias(version.mlflow_version)
    except tracking.NotRecorded as error:
        logger.warning("the alias of %s was not moved: %s", version, error)
