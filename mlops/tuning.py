"""Thresholds of a version: solved on its validation tickets, kept with it, solved again for another target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from classifier.ml.deciding import Rules
from classifier.ml.thresholds import Held, Thresholds, Trade, measure, solve
from classifier.models import Category, ModelVersion
from mlops.evaluation import Tickets

if TYPE_CHECKING:
    from classifier.ml.model import TextModel

# The trade is steepest here: a few points of precision can cost half the automatic answers.
NEIGHBOURS = (0.8, 0.9, 0.95, 0.97, 0.98, 0.99)


class NothingToTune(ValueError):
    """The version kept no answers that thresholds could be solved on; the message says what to do."""


@dataclass(frozen=True)
class Tuned:
    """Thresholds solved in a training, and what they give on validation and, counted once, on test."""

    held: Held  # of the fit that has not seen the validation tickets
    thresholds: Thresholds
    test: Trade

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """For the version's row."""
        return {"thresholds": self.thresholds.as_dict(), "validation_answers": self.held.as_dict()}

    @property
    def trades(self) -> dict[str, dict[str, Any]]:
        """For the version's metrics."""
        return {"validation": self.thresholds.whole.as_dict(), "test": self.test.as_dict()}


def tune(first: TextModel, last: TextModel, *, validation: Tickets, test: Tickets) -> Tuned:
    """Solves thresholds for a model in the making, for TARGET_PRECISION and the categories' own targets.

    first: fitted without the validation tickets: a model is far too sure of tickets it was fitted on. last: what will
    serve; it answers the test tickets, which choose nothing.
    """
    held = Held.of(first.predict(validation.texts), texts=validation.texts, truth=validation.truth)
    thresholds = solve(held, target=settings.TARGET_PRECISION, own=own_targets())
    asked = Held.of(last.predict(test.texts), texts=test.texts, truth=test.truth)
    counted, _ = measure(asked, Rules.of(thresholds.as_dict(), last.categories))
    return Tuned(held=held, thresholds=thresholds, test=counted)


def own_targets() -> dict[str, float]:
    """The targets of the categories that have one of their own."""
    rows = Category.objects.values_list("slug", "target_precision")
    return {slug: target for slug, target in rows if target is not None}


def tune_again(version: ModelVersion, *, target: float) -> Thresholds:
    """The version's thresholds for a target and the categories' own of today; changes nothing.

    Raises NothingToTune, and ValueError for a target that is no share.
    """
    return solve(held_of(version), target=target, own=own_targets())


def neighbours(version: ModelVersion, *, target: float, others: Sequence[float] = NEIGHBOURS) -> dict[float, Trade]:
    """What the target and some others give over all categories, in ascending order. Raises NothingToTune."""
    held, own = held_of(version), own_targets()
    return {share: solve(held, target=share, own=own).whole for share in sorted({target, *others})}


def keep(version: ModelVersion, thresholds: Thresholds) -> None:
    """Makes them the version's own; every process that answers with it has them within a second."""
    version.thresholds = thresholds.as_dict()
    version.save(update_fields=["thresholds"])


def held_of(version: ModelVersion) -> Held:
    """What the version's first fit said of its validation tickets. Raises NothingToTune if that was not kept."""
    try:
        return Held.from_dict(version.validation_answers)
    except KeyError as error:
        raise NothingToTune(
            f"Solving thresholds needs what a version said of its validation tickets when it was made; {version} kept "
            "nothing, as it is older than they are. Train anew with: manage.py train"
        ) from error
