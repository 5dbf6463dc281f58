"""A made-up version with complete scores, which never answers, and its report files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from numpy.typing import NDArray

from classifier.ml.bootstrap import RESAMPLES
from classifier.ml.deciding import Rules
from classifier.ml.scoring import Scores, score
from classifier.ml.thresholds import Held, measure, solve
from classifier.models import ModelArtifact, ModelVersion
from mlops.evaluation import write_json, write_report
from mlops.models import DriftSnapshot
from mlops.samples.categories import Places
from mlops.tuning import own_targets

NO_MODEL = b"This version is made up for demonstration. It has no model.\n"  # a version must have an artifact
SHA256 = hashlib.sha256(NO_MODEL).hexdigest()
TICKETS = (60, 141)  # of a category in a split, from and below: enough for a threshold of its own
MADE = "made_categories"  # among the parameters: the categories that came with it, and go with it if nobody uses them
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """What a made-up model said of a split; probabilities of shape (n_tickets, n_categories)."""

    truth: list[str]
    guess: list[str]
    probabilities: Numbers


def newest_version(slugs: Sequence[str]) -> ModelVersion | None:
    """The newest demo version of these very categories, without its heavy columns; None if there is none."""
    found = ModelVersion.objects.filter(is_demo=True).order_by("-number").light().first()
    return found if found is not None and found.categories == list(slugs) else None


def make_version(there: Places, *, seed: int, now: datetime) -> ModelVersion:
    """A demo version with scores, thresholds and all that a training leaves, but no model; the same for a seed.

    The scores are computed, as a training's are, from a made-up list of truths and answers: so each row of the
    confusion adds up to its category's support. It is archived: a list of candidates is no place for it.
    """
    rng = np.random.default_rng(seed)
    slugs = there.slugs
    validation, test = _answer(rng, slugs), _answer(rng, slugs)
    held = _held(validation, slugs, rng)
    thresholds = solve(held, target=settings.TARGET_PRECISION, own=own_targets())
    counted, _ = measure(_held(test, slugs, rng), Rules.of(thresholds.as_dict(), slugs))
    with transaction.atomic():
        artifact, _ = ModelArtifact.objects.get_or_create(
            sha256=SHA256, defaults={"content": NO_MODEL, "n_bytes": len(NO_MODEL), "created_at": now}
        )
        return ModelVersion.objects.create(
            number=ModelVersion.objects.next_number(is_demo=True),
            status=ModelVersion.Status.ARCHIVED,
            is_demo=True,
            recipe=settings.RECIPE,
            categories=list(slugs),
            artifact=artifact,
            metrics={
                "validation": _score(validation, slugs).as_dict(),
                "test": _score(test, slugs).as_dict(),
                "automatic": {"validation": thresholds.whole.as_dict(), "test": counted.as_dict()},
            },
            parameters={"seed": seed, "target_precision": thresholds.target, MADE: list(there.made)},
            thresholds=thresholds.as_dict(),
            validation_answers=held.as_dict(),
            test_answers=_told(test),
            created_at=now,
        )


def _answer(rng: np.random.Generator, slugs: Sequence[str]) -> Answered:
    """Answers that are right as often as they say: the confidence is drawn first, and then whether it is right."""
    n_categories = len(slugs)
    truth = np.repeat(np.arange(n_categories), rng.integers(*TICKETS, size=n_categories))
    ease = rng.uniform(3, 7, size=n_categories)[truth]  # some categories are easier than others
    confidence = 0.5 + 0.5 * rng.beta(ease, 0.9)
    is_right = rng.random(len(truth)) < confidence
    guess = np.where(is_right, truth, (truth + rng.integers(1, n_categories, size=len(truth))) % n_categories)
    # What the answered category leaves is shared out among the others: as it has half or more, it is the likeliest.
    rest = rng.dirichlet(np.ones(n_categories - 1), size=len(truth)) * (1 - confidence)[:, None]
    table = np.zeros((len(truth), n_categories))
    columns = (guess[:, None] + 1 + np.arange(n_categories - 1)) % n_categories
    np.put_along_axis(table, columns, rest, axis=1)
    np.put_along_axis(table, guess[:, None], confidence[:, None], axis=1)
    return Answered([slugs[index] for index in truth.tolist()], [slugs[index] for index in guess.tolist()], table)


def _told(answered: Answered) -> dict[str, list[Any]]:
    """The answers as a training keeps them; they are about no ticket, so the ids are null."""
    return {
        "ticket_ids": [None] * len(answered.truth),
        "truth": answered.truth,
        "guess": answered.guess,
        "confidence": answered.probabilities.max(axis=1).round(6).tolist(),
    }


def _score(answered: Answered, slugs: Sequence[str]) -> Scores:
    return score(answered.truth, answered.guess, answered.probabilities, categories=slugs, resamples=RESAMPLES)


def _held(answered: Answered, slugs: tuple[str, ...], rng: np.random.Generator) -> Held:
    """The answers as thresholds are solved from them; of words and letters there are none, so nothing is foreign."""
    falling = np.sort(answered.probabilities, axis=1)[:, ::-1]
    n = len(answered.truth)
    place = {slug: index for index, slug in enumerate(slugs)}
    return Held(
        categories=slugs,
        truth=np.array([place[slug] for slug in answered.truth], dtype=np.int64),
        guess=np.array([place[slug] for slug in answered.guess], dtype=np.int64),
        confidence=np.floor(falling[:, 0] * 1e6) / 1e6,
        margin=np.floor((falling[:, 0] - falling[:, 1]) * 1e4) / 1e4,
        unknown=(0.3 * rng.beta(1, 8, size=n)).round(4),
        letters=np.full(n, 9, dtype=np.int64),
    )


# --- Files ----------------------------------------------------------------------------------------
def write_files(version: ModelVersion, folder: Path, *, snapshot: DriftSnapshot | None = None) -> list[Path]:
    """Writes the version's report and confusion picture as `evaluate` does, and the snapshot as drift_report.json."""
    about = {"version": version.number, "split": "test", "is_demo": True}
    files = list(write_report(Scores.from_dict(version.metrics["test"]), folder, prefix="test", about=about))
    if snapshot is not None:
        path = folder / "drift_report.json"
        write_json({"is_demo": True, **json.loads(json.dumps(snapshot.as_dict(), cls=DjangoJSONEncoder))}, path)
        files.append(path)
    return files
