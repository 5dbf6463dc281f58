"""The one way an answer is made: which version answers, loading it, and predicting with or without storing."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from classifier import metrics, storing
from classifier.ml import artifact
from classifier.ml import model as models
from classifier.ml.artifact import DamagedModel
from classifier.ml.deciding import AUTOMATIC, Rules, decide
from classifier.ml.model import Answers, TextModel
from classifier.ml.text import normalise
from classifier.models import Category, ModelArtifact, ModelVersion, Prediction

logger = logging.getLogger(__name__)
SERVING_SECONDS = 0.5  # how old the knowledge of which version is in production may be
AUTO, REVIEW = Prediction.Decision.AUTO.value, Prediction.Decision.REVIEW.value
PROBE = "I was double charged"  # before a ticket is: NaN would be the first category
MODELS_KEPT = 2  # the one in production and, during a promotion, the one before


class NoModelInProduction(RuntimeError):
    """No version answers yet."""

    def __init__(self) -> None:
        super().__init__("No model is in production. Train one with: manage.py train")


class NoActiveCategory(RuntimeError):
    """The version in production knows no category that is still active."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"Version {number} knows no active category. Activate one in the admin, or train a version anew."
        )


@dataclass(frozen=True, eq=False)
class Serving:
    """The version that answers, ready to: its model and the ids of the rows that an answer points at."""

    version_id: int
    number: int
    model: TextModel
    rules: Rules
    category_ids: tuple[int, ...]  # in the order of the model's categories; 0 where there is no such row
    active: np.ndarray  # bool, (n_categories,)
    every_active: bool
    stands_in: str = ""  # why the version in production cannot answer, where an older one does


@dataclass(frozen=True, eq=False)
class Answered:
    """What was answered for each text, in order; ids are None when nothing was stored."""

    serving: Serving
    answers: Answers
    best: np.ndarray  # index of the answered category, (n_texts,)
    labels: list[str]
    confidences: list[float]
    reasons: list[str]  # why each needs a review, "" for the automatic ones
    stored: storing.Stored | None

    @property
    def decisions(self) -> list[str]:
        return [AUTO if reason == AUTOMATIC else REVIEW for reason in self.reasons]


_lock = threading.Lock()
_models: dict[str, TextModel] = {}
_current: tuple[float, Serving] | None = None


def serving() -> Serving:
    """The version in production, as of at most half a second ago. Raises NoModelInProduction if there is none.

    While one thread looks again (and perhaps loads), the others go on with what they have. So do all if a new version
    turns out to be damaged; a process that has nothing yet raises DamagedModel.
    """
    global _current
    known = _current
    if known is not None and time.monotonic() < known[0]:
        return known[1]
    if not _lock.acquire(blocking=known is None):
        return known[1]  # type: ignore[index]  # blocking is only False when known is not None
    try:
        if _current is not None and time.monotonic() < _current[0]:
            return _current[1]  # another thread looked while this one waited
        found = _look_up()
        _current = (time.monotonic() + SERVING_SECONDS, found)
        metrics.note_loaded(found.number)
        return found
    except NoModelInProduction:
        _current = None
        metrics.note_loaded(0)
        raise
    except DamagedModel as error:
        if known is None:
            raise
        logger.error("version %s goes on answering, the one in production cannot: %s", known[1].number, error)
        found = replace(known[1], stands_in=str(error))
        _current = (time.monotonic() + SERVING_SECONDS, found)
        return found
    finally:
        _lock.release()


def forget_serving() -> None:
    """Empties the caches of this process: for tests."""
    global _current
    with _lock:
        _current = None
        _models.clear()


def _look_up() -> Serving:
    # Twice a second: the thresholds each time, since they may be solved anew; the scores and answers, megabytes, never.
    version = ModelVersion.objects.in_production().only("number", "artifact", "thresholds").first()
    if version is None:
        raise NoModelInProduction
    model = _models.get(version.artifact_id)
    if model is None:
        model = load(version)
        with np.errstate(all="ignore"):
            probabilities = model.predict([PROBE]).probabilities
        if not np.isfinite(probabilities).all():
            raise DamagedModel(f"Version {version.number} answers with numbers that are none. {artifact.MEND}")
        while len(_models) >= MODELS_KEPT:
            _models.pop(next(iter(_models)))
        _models[version.artifact_id] = model
    rows = {slug: (pk, active) for slug, pk, active in Category.objects.values_list("slug", "pk", "active")}
    found = [rows.get(slug, (0, False)) for slug in model.categories]
    active = np.array([is_active for _, is_active in found])
    if not active.any():
        raise NoActiveCategory(version.number)
    return Serving(
        version_id=version.pk,
        number=version.number,
        model=model,
        rules=Rules.of(version.thresholds, model.categories),
        category_ids=tuple(pk for pk, _ in found),
        active=active,
        every_active=bool(active.all()),
    )


def load(version: ModelVersion) -> TextModel:
    """The version's model, its digest checked: from this machine's file or, where that is bad or missing, from the row.

    Both copies are looked at, and a good one mends the other. Raises DamagedModel if neither is whole: nothing is ever
    answered from a bad copy.
    """
    path = version.path
    try:
        model = models.load(path, sha256=version.artifact_id)
    except FileNotFoundError:
        logger.info("model file of version %s is not on this machine: taken from the database", version.number)
        return _load_from_row(version)
    except (DamagedModel, OSError) as error:
        logger.warning("model file of version %s is damaged: taken from the database (%s)", version.number, error)
        return _load_from_row(version)
    _mend_row(version)
    return model


def _load_from_row(version: ModelVersion) -> TextModel:
    path, content = version.path, _content_of(version)
    model = models.from_bytes(content, sha256=version.artifact_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        artifact.write(path, content)  # these very bytes: a later version of the program may pack others
    except OSError as error:  # a full or read-only disk must not keep a good model from answering
        logger.warning("model file of version %s cannot be written: %s", version.number, error)
    return model


def _mend_row(version: ModelVersion) -> None:
    """Writes the row again if its bytes are not the model's: other machines, and a backup, live by it."""
    if _digest(_content_of(version)) == version.artifact_id:
        return
    content = version.path.read_bytes()
    if _digest(content) == version.artifact_id:
        logger.warning("the database's bytes of version %s are damaged: mended from the file", version.number)
        ModelArtifact.objects.filter(pk=version.artifact_id).update(content=content, n_bytes=len(content))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content_of(version: ModelVersion) -> bytes:
    return bytes(ModelArtifact.objects.only("content").get(pk=version.artifact_id).content)


def answer(texts: Sequence[str]) -> Answered:
    """Answers texts with the version in production and stores nothing."""
    return _answer(serving(), texts)


def _answer(using: Serving, texts: Sequence[str]) -> Answered:
    answers = using.model.predict(texts)
    # A retired category is not answered: the most likely of the others is.
    masked = answers.probabilities if using.every_active else np.where(using.active, answers.probabilities, -1.0)
    best = masked.argmax(axis=1)
    confidences = answers.probabilities[np.arange(len(best)), best].tolist()
    labels = [using.model.categories[index] for index in best.tolist()]
    return Answered(
        serving=using,
        answers=answers,
        best=best,
        labels=labels,
        confidences=confidences,
        reasons=decide(answers, texts, chosen=best, rules=using.rules),
        stored=None,
    )


def predict(
    texts: Sequence[str],
    *,
    external_ids: Sequence[str | None],
    request: storing.RequestFacts,
    now: datetime,
) -> Answered:
    """Answers texts and stores tickets, predictions and the request before it returns."""
    using = serving()
    began = time.perf_counter()
    answered = _answer(using, texts)
    seconds = time.perf_counter() - began
    decisions = answered.decisions
    stored = storing.store(
        storing.Rows(
            texts=texts,
            normalised=[normalise(text) for text in texts],
            external_ids=external_ids,
            version_id=using.version_id,
            category_ids=[using.category_ids[index] for index in answered.best.tolist()],
            confidences=answered.confidences,
            n_words=[len(text.split()) for text in texts],
            unknown_shares=answered.answers.unknown.tolist(),
            decisions=decisions,
            reasons=answered.reasons,
        ),
        request=request,
        now=now,
    )
    metrics.count_answers(
        labels=answered.labels, decisions=decisions, confidences=answered.confidences, seconds=seconds
    )
    return Answered(**{**vars(answered), "stored": stored})
