"""The gate: whether a candidate may go to production, rule by rule, in numbers and in words. Changes nothing.

The rules that hold for every version are here, those against the version in production in comparing.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings

from classifier.inference import load
from classifier.ml.artifact import DamagedModel
from classifier.models import Category, ModelVersion
from mlops import comparing
from mlops.comparing import Side
from mlops.evaluation import NothingToScore, Tickets, dataset_of, frozen_tickets
from mlops.models import Dataset
from mlops.rules import SAME, Rule, at_least

if TYPE_CHECKING:
    from classifier.ml.model import TextModel

# What any model must be able to answer: a plain ticket, no word at all, another script, a long one.
SELF_TEST = ("I was double charged", "?!", "Посылка не пришла", "my app keeps crashing " * 200)
MAX_SUM_ERROR = 1e-6  # of a ticket's probabilities, which sum to 1


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate; production is the number of the version it was compared with, if any.

    dataset: whose test tickets decided; ids: those that were there still and are of no retired category, compared: of
    them, those that both versions know a category for. All are empty if it did not come to that.
    """

    candidate: int
    production: int | None
    reasons: tuple[Rule, ...]
    dataset: int | None = None
    ids: tuple[int, ...] = ()
    compared: tuple[int, ...] = ()

    @property
    def passed(self) -> bool:
        return all(rule.passed for rule in self.reasons)

    def in_words(self) -> str:
        """The failed rules, or that there is none."""
        return " ".join(rule.words for rule in self.reasons if not rule.passed) or "All rules are met."

    def as_dict(self) -> dict[str, Any]:
        """The verdict in plain JSON types, without NaN. The tickets are counted; their ids are in the dataset's row."""
        return {
            "candidate": self.candidate,
            "production": self.production,
            "passed": self.passed,
            "dataset": self.dataset,
            "n_tickets": len(self.ids),
            "n_compared": len(self.compared),
            "reasons": [rule.as_dict() for rule in self.reasons],
        }


def judge(candidate: ModelVersion) -> Verdict:
    """Holds a candidate to the absolute rules and, when a version is in production, against that one.

    Both are scored on the same tickets: the test split of the candidate's frozen dataset, which holds every test ticket
    of the versions before it. Both answer as in service, where a retired category is not answered; its tickets judge
    nobody. Tickets that were deleted since are missing for both, and counted in words. A tie never passes, nor does
    what cannot be compared or has a number missing. What no score can mend ends the questions early: a demo version, a
    damaged file, a failed self-test.
    """
    production = ModelVersion.objects.in_production().exclude(pk=candidate.pk).first()
    number = production.number if production else None
    if candidate.is_demo:
        words = "It is made up for demonstration and never answers tickets."
        return Verdict(candidate.number, number, (Rule("not_demo", False, None, None, words),))
    try:
        model = load(candidate)
    except DamagedModel as error:
        whole = Rule("artifact_whole", False, None, None, f"Its model file is damaged: {error}")
        return Verdict(candidate.number, number, (whole,))
    reasons = [Rule("artifact_whole", True, None, None, "Its model file is whole."), self_test(model)]
    if not reasons[-1].passed:
        return Verdict(candidate.number, number, tuple(reasons))
    try:
        dataset = dataset_of(candidate)
        tickets = deciding_tickets(dataset)
    except NothingToScore as error:
        reasons.append(Rule("test_tickets", False, None, None, str(error)))
        return Verdict(candidate.number, number, tuple(reasons))
    answered = comparing.side(model, tickets, active=comparing.active_slugs())
    reasons += [least_macro_f1(answered, dataset, missing=tickets.missing), *every_category(tickets, dataset)]
    if production is None:
        reasons.append(comparing.unseen_tickets(dataset))
        return Verdict(candidate.number, None, tuple(reasons), dataset.pk, tickets.ids)
    against, compared = _against(production, model, answered, tickets=tickets, dataset=dataset)
    return Verdict(candidate.number, number, (*reasons, *against), dataset.pk, tickets.ids, compared)


def _against(
    production: ModelVersion, model: TextModel, answered: Side, *, tickets: Tickets, dataset: Dataset
) -> tuple[list[Rule], tuple[int, ...]]:
    """The rules against production, and the ids of the tickets that both answered."""
    try:
        unseen = comparing.unseen_tickets(dataset, dataset_of(production))
        both = comparing.pair(model, answered, production=production, tickets=tickets)
    except (DamagedModel, NothingToScore) as error:  # no comparison, no promotion by itself; a person can force it
        words = f"{str(production).capitalize()} cannot be compared with: {error}"
        return [Rule("comparable", False, None, None, words)], ()
    return [unseen, *comparing.rules(both)], both.ours.ids


def self_test(model: TextModel) -> Rule:
    """Whether the model answers fixed texts as a model must: numbers that are finite, sum to 1, of known categories."""
    with np.errstate(all="ignore"):  # what overflows is found below, and told in words
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


def deciding_tickets(dataset: Dataset) -> Tickets:
    """The test tickets by which a version is judged: those of retired categories are not, for nobody answers them.

    Raises NothingToScore if none is left.
    """
    tickets = comparing.of_categories(frozen_tickets(dataset, ("test",)), comparing.active_slugs())
    if not tickets.texts:
        raise NothingToScore(
            f"The gate needs at least one test ticket of a category that is answered; {dataset} has none that was not "
            "deleted since, or retired. Label some, and train anew."
        )
    return tickets


def least_macro_f1(answered: Side, dataset: Dataset, *, missing: int) -> Rule:
    """Whether it is good enough for any ticket, answered as in service: see comparing.side.

    missing: how many of the dataset's test tickets were deleted since.
    """
    wanted, found = settings.GATE_MIN_MACRO_F1, answered.scores.macro_f1
    gone = f" {missing:,} more of {dataset} were deleted since, and are missing here." if missing else ""
    words = f"Its macro-F1 on {len(answered.ids):,} test tickets is {found:.3f}, and {wanted:.3f} is the least.{gone}"
    return at_least("least_macro_f1", wanted, found=found, words=words)


def every_category(tickets: Tickets, dataset: Dataset) -> list[Rule]:
    """A failed rule if all test tickets of a category are gone that is not retired: nobody can tell how it does."""
    untold = sorted(set(dataset.members.get("test", {})) & comparing.active_slugs() - set(tickets.truth))
    if not untold:
        return []
    words = (
        f"All test tickets of {', '.join(untold)} were deleted since {dataset} was frozen. Label some, and train anew."
    )
    return [Rule("test_tickets", False, None, None, words)]


def asks_otherwise(verdict: Mapping[str, Any]) -> bool:
    """Whether the gate's settings are others than those that a stored verdict was held to."""
    wanted = {
        "least_macro_f1": settings.GATE_MIN_MACRO_F1,
        "gain": settings.GATE_MIN_GAIN,
        "likely_loss": -settings.GATE_MAX_LIKELY_LOSS,
        "recall_loss": settings.GATE_MAX_RECALL_LOSS,
        "calibration_loss": settings.GATE_MAX_CALIBRATION_LOSS,
        "new_recall": settings.GATE_MIN_NEW_RECALL,
        "latency": settings.GATE_MAX_LATENCY_RATIO,
    }
    held = {rule["name"]: rule["wanted"] for rule in verdict["reasons"] if rule["name"] in wanted}
    return any(abs(held[name] - wanted[name]) > SAME for name in held)
