"""The gate's rules of a candidate against the version in production: both answer the same frozen test tickets.

Each answers as it would in service: a retired category is not answered, the likeliest of the others is. They are held
to the tickets of the categories that both know; an answer outside of these is wrong for either, as it would be for the
customer. So a new category that draws tickets from the old ones is counted against the candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings

from classifier.inference import load
from classifier.ml.comparison import honest_calibration_error, macro_f1_gain, recall_losses
from classifier.ml.scoring import Scores, calibration_error, reliability, score
from classifier.models import Category, ModelVersion
from mlops import timing
from mlops.evaluation import TRAINED_ON, NothingToScore, Tickets, digests_of, ids_of
from mlops.models import Dataset
from mlops.rules import Rule, at_least, at_most, more_than, signed

if TYPE_CHECKING:
    from classifier.ml.model import TextModel

# A longer answer that no caller notices: a request takes about 1 ms beside it.
UNNOTICED_MS = 0.1


@dataclass(frozen=True, eq=False)
class Side:
    """What one version says of tickets, as it would in service: ids, answers and confidences, ticket by ticket."""

    ids: tuple[int, ...]
    truth: tuple[str, ...]
    labels: tuple[str, ...]
    confidences: np.ndarray

    @cached_property
    def scores(self) -> Scores:
        return score(self.truth, self.labels, categories=sorted(set(self.truth)))

    @cached_property
    def calibration_error(self) -> float:
        right = np.array([said == true for said, true in zip(self.labels, self.truth, strict=True)])
        return calibration_error(reliability(self.confidences, right))

    def of(self, slugs: Set[str]) -> Side:
        """What it says of the tickets that are truly of these categories."""
        kept = [place for place, slug in enumerate(self.truth) if slug in slugs]
        return Side(
            ids=tuple(self.ids[place] for place in kept),
            truth=tuple(self.truth[place] for place in kept),
            labels=tuple(self.labels[place] for place in kept),
            confidences=self.confidences[kept],
        )


@dataclass(frozen=True, eq=False)
class Pair:
    """Candidate and production over the same tickets; new and lost: active categories that only one of them knows.

    on_new: the candidate's answers to the tickets of the new categories.
    """

    ours: Side
    theirs: Side
    texts: tuple[str, ...]
    new: tuple[str, ...]
    lost: tuple[str, ...]
    on_new: Side
    models: tuple[TextModel, TextModel]
    production: ModelVersion


def pair(model: TextModel, answered: Side, *, production: ModelVersion, tickets: Tickets) -> Pair:
    """Both versions' answers to the tickets of the categories that both know and that are not retired.

    answered: what side() gave of the model and the tickets, so that it need not answer them again.
    Raises DamagedModel if production cannot be loaded, and NothingToScore if nothing can be compared.
    """
    other = load(production)
    active = active_slugs()
    ours, theirs = active & set(model.categories), active & set(other.categories)
    if not ours & theirs:
        raise NothingToScore(f"It shares no category with {production}, so they cannot be compared.")
    same = of_categories(tickets, ours & theirs)
    if not same.texts:
        raise NothingToScore(f"No test ticket is left of a category that {production} knows: nothing can be compared.")
    return Pair(
        ours=answered.of(ours & theirs),
        theirs=side(other, same, active=active),
        texts=same.texts,
        new=tuple(sorted(ours - theirs)),
        lost=tuple(sorted(theirs - ours)),
        on_new=answered.of(ours - theirs),
        models=(model, other),
        production=production,
    )


def active_slugs() -> set[str]:
    """The categories that are answered in service."""
    return set(Category.objects.active().values_list("slug", flat=True))


def of_categories(tickets: Tickets, slugs: Set[str]) -> Tickets:
    """The tickets that are truly of these categories; missing: of all that there were."""
    kept = [place for place, slug in enumerate(tickets.truth) if slug in slugs]
    return Tickets(
        texts=tuple(tickets.texts[place] for place in kept),
        truth=tuple(tickets.truth[place] for place in kept),
        ids=tuple(tickets.ids[place] for place in kept),
        missing=tickets.missing,
    )


def side(model: TextModel, tickets: Tickets, *, active: Set[str]) -> Side:
    """What the model answers the tickets in service, where retired categories are not answered."""
    found = model.predict(tickets.texts).probabilities
    open_to = np.array([slug in active for slug in model.categories])
    best = np.where(open_to, found, -1.0).argmax(axis=1)
    return Side(
        ids=tickets.ids,
        truth=tickets.truth,
        labels=tuple(model.categories[place] for place in best.tolist()),
        confidences=found[np.arange(len(best)), best],
    )


def rules(both: Pair) -> list[Rule]:
    """What each rule says of the pair, all of them asked."""
    asked: list[Callable[[Pair], Rule]] = [gain, likely_loss, recall_loss, calibration_loss, lost_categories, latency]
    return [rule(both) for rule in asked] + [new_recall(both, slug) for slug in both.new]


def gain(both: Pair) -> Rule:
    ours, theirs, wanted = both.ours.scores.macro_f1, both.theirs.scores.macro_f1, settings.GATE_MIN_GAIN
    words = (
        f"On the same {len(both.texts):,} test tickets its macro-F1 is {ours:.3f} and that of {both.production} "
        f"{theirs:.3f}: a gain of {signed(ours - theirs)}, where more than {signed(wanted)} is wanted."
    )
    return more_than("gain", wanted, found=ours - theirs, words=words)


def likely_loss(both: Pair) -> Rule:
    """How much may be lost all the same, if other tickets had been drawn for the test."""
    found, wanted = macro_f1_gain(both.ours.truth, both.ours.labels, both.theirs.labels), settings.GATE_MAX_LIKELY_LOSS
    words = (
        f"With other test tickets that gain would lie between {signed(found.low)} and {signed(found.high)} (95 %); its "
        f"lower end may not lie below {signed(-wanted)}."
    )
    return at_least("likely_loss", -wanted, found=found.low, words=words)


def recall_loss(both: Pair) -> Rule:
    """The category that loses most recall; what chance alone takes from so few tickets is not held against it."""
    wanted = settings.GATE_MAX_RECALL_LOSS
    losses = recall_losses(both.ours.truth, both.ours.labels, both.theirs.labels)
    held = [loss for loss in losses if loss.is_beyond_chance and loss.recall > wanted]
    worst = max(held or losses, key=lambda loss: loss.recall)
    words = (
        f"The category that loses most is {worst.category}: {worst.before:,} of its {worst.support:,} test tickets are "
        f"right with {both.production}, {worst.after:,} now, {worst.recall:.3f} of recall; {wanted:.3f} is the most."
    )
    if worst.recall <= 0:
        return at_most("recall_loss", wanted, found=worst.recall, words="No category loses recall.")
    if worst.recall > wanted and not held:
        words += f" Of so few tickets chance alone takes up to {worst.by_chance:,}."
        return Rule("recall_loss", True, wanted, worst.recall, words)
    return at_most("recall_loss", wanted, found=worst.recall, words=words)


def calibration_loss(both: Pair) -> Rule:
    """How much further its confidence lies from the truth; what an honest model shows by chance does not count."""
    ours, theirs, wanted = (
        both.ours.calibration_error,
        both.theirs.calibration_error,
        settings.GATE_MAX_CALIBRATION_LOSS,
    )
    honest = honest_calibration_error(both.ours.confidences)
    words = (
        f"Its calibration error is {ours:.3f} and that of {both.production} {theirs:.3f}: {signed(ours - theirs)}, "
        f"where {signed(wanted)} is the most."
    )
    if ours - theirs > wanted and ours <= honest:
        words += (
            f" On these {len(both.texts):,} tickets an honest model shows up to {honest:.3f}, so this may be chance."
        )
        return Rule("calibration_loss", True, wanted, ours - theirs, words)
    return at_most("calibration_loss", wanted, found=ours - theirs, words=words)


def lost_categories(both: Pair) -> Rule:
    words = f"It knows every active category that {both.production} answers."
    if both.lost:
        words = f"It does not know {', '.join(both.lost)}, which {both.production} answers; retire what is not wanted."
    return at_most("lost_categories", 0, found=len(both.lost), words=words)


def new_recall(both: Pair, slug: str) -> Rule:
    """Whether a category that production does not know is found at all."""
    wanted = settings.GATE_MIN_NEW_RECALL
    answered = both.on_new.of({slug})
    if not answered.ids:
        return at_least("new_recall", wanted, found=None, words=f"The new category {slug} has no test ticket.")
    found = answered.scores.accuracy  # all of them are truly of that category
    on = f"on {len(answered.ids):,} test tickets"
    words = f"The new category {slug} has recall {found:.3f} {on}; {wanted:.3f} is the least."
    return at_least("new_recall", wanted, found=found, words=words)


def latency(both: Pair) -> Rule:
    wanted, found = settings.GATE_MAX_LATENCY_RATIO, timing.compare(*both.models, both.texts)
    ratio = found.ours / found.theirs if found.theirs else None
    words = f"A single answer takes {found.ours:.3f} ms, and {found.theirs:.3f} ms with {both.production}"
    if ratio is not None and ratio > wanted and found.ours - found.theirs <= UNNOTICED_MS:
        words += f": {ratio:.2f} times as long, yet no more than {UNNOTICED_MS} ms, which nobody notices."
        return Rule("latency", True, wanted, ratio, words)
    return at_most("latency", wanted, found=ratio, words=f"{words}; {wanted:.2f} times as long is the most.")


def unseen_tickets(*datasets: Dataset) -> Rule:
    """Whether no test ticket of the datasets is one that any of them trains on, by its id and its normalised text."""
    learnt = {pk for dataset in datasets for pk in ids_of(dataset, *TRAINED_ON)}
    tested = {pk for dataset in datasets for pk in ids_of(dataset, "test")}
    texts = set(digests_of(sorted(learnt)).values())
    seen = (learnt & tested) | {pk for pk, digest in digests_of(sorted(tested - learnt)).items() if digest in texts}
    words = "No test ticket was trained on."
    if seen:
        which = " and ".join(str(dataset) for dataset in sorted(set(datasets), key=lambda dataset: dataset.pk))
        words = f"Test tickets of {which} were trained on, {len(seen):,} of them, so that the scores flatter."
    return at_most("unseen_tickets", 0, found=len(seen), words=words)
