"""The gate: whether a candidate may go to production, rule by rule, in numbers and in words. Changes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings

from classifier.inference import load
from classifier.ml.artifact import DamagedModel
from classifier.models import Category, ModelVersion
from mlops.evaluation import NothingToScore, Tickets, dataset_of, evaluate_tickets, frozen_tickets

if TYPE_CHECKING:
    from classifier.ml.model import TextModel

# What any model must be able to answer: a plain ticket, no word at all, another script, a long one.
SELF_TEST = ("I was double charged", "?!", "Посылка не пришла", "my app keeps crashing " * 200)
MAX_SUM_ERROR = 1e-6  # of a ticket's probabilities, which sum to 1


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
