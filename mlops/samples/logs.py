"""A made-up inference log: tickets, the calls they came in, and what a demo version said of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from classifier import exporting, rollups
from classifier.models import ApiRequest, Category, ModelVersion, Prediction, Ticket
from mlops.samples.categories import Places, places, texts_of
from mlops.samples.versions import make_version, newest_version

MOST_LOGS = 1_000_000  # an hour's work on SQLite; a slip of the finger would fill the disk
MOST_HOURS = 24 * 365
BATCH = 1_000  # rows a transaction: SQLite has one writer, and real calls want to be stored in between
# Calls of a day by its hours, UTC: few at night, most before and after lunch.
RHYTHM = np.array([2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 19, 15, 17, 19, 18, 15, 11, 8, 7, 6, 5, 4, 3], dtype=np.float64)
LATENCY_MS = (50.0, 500.0)  # the range of the system that this one re-creates; most lie at its lower end
# Calls that were refused or failed, beside the answered ones: their shares of these, with the codes of the API.
REFUSED = (
    (400, "invalid_input", 0.020),
    (403, "scope_missing", 0.005),
    (409, "external_id_taken", 0.005),
    (500, "server_error", 0.004),
    (503, "no_model_in_production", 0.006),
)
RIGHT = 0.92  # share of the tickets that are answered with their own category
UNKNOWN, UNSURE, THRESHOLD = 0.4, 0.4, 0.7  # unknown words above, confidence below: for review
Watch = Callable[[Iterable[Any], int, str], Iterator[Any]]
Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class SampleLog:
    """What was made: so many predictions, each in an answered call, so many refused calls, and their span of time."""

    version: ModelVersion
    n_predictions: int
    n_refused: int
    first: datetime
    last: datetime
    ids: tuple[int, int]  # of the oldest and the newest prediction

    def rows(self) -> Iterator[exporting.Row]:
        """Its predictions in the form of `export_predictions`."""
        low, high = self.ids
        made = Prediction.objects.filter(version=self.version, is_demo=True, pk__gte=low)
        return exporting.Log(made, newest=high, n_rows=self.n_predictions).rows()


@dataclass(frozen=True)
class Drawn:
    """Columns of the predictions to make, of shape (n,); truth and guess: indices into the categories."""

    moments: list[datetime]
    truth: Indices
    guess: Indices
    confidence: Numbers
    unknown: Numbers
    latency_ms: Numbers
    choice: Numbers  # 0 to 1: which text of its category


def unwatched(rows: Iterable[Any], _total: int, _text: str) -> Iterator[Any]:
    """Progress that nobody watches."""
    return iter(rows)


def make_log(
    *, n_predictions: int, hours_back: float = 24.0, seed: int, now: datetime, progress: Watch = unwatched
) -> SampleLog:
    """Makes so many demo predictions of the hours before now; with the same seed and moment the same, apart from ids.

    Written in batches, so that real calls are stored in between; what was cut off stays, flagged, until it is purged.
    What is rolled up of these hours is counted again at the end.
    Raises ValueError for a count or hours out of range, and UnreadableFile without the shipped tickets.
    """
    _check(n_predictions, hours_back)
    there = places()
    texts = texts_of(there.categories)
    version = newest_version(there.slugs) or make_version(there, seed=seed, now=now)
    rng = np.random.default_rng(seed)
    since = now - timedelta(hours=hours_back)
    drawn = _draw(rng, n=n_predictions, n_categories=len(there.categories), since=since, now=now)
    refused = _refused(rng, n=n_predictions, since=since, now=now)
    starts = range(0, n_predictions, BATCH)
    bounds: list[int] = []
    told = 0  # refused calls that are written: in their turn, so that a list by ids is one by time
    for start in progress(starts, len(starts), "Making"):
        rows = slice(start, min(start + BATCH, n_predictions))
        end = drawn.moments[rows.stop] if rows.stop < n_predictions else None
        upto = bisect_left(refused, end, key=_moment) if end else len(refused)
        bounds += _write(drawn, rows, refused[told:upto], version=version, there=there, texts=texts)
        told = upto
    rollups.rebuild(since, now, is_demo=True)
    return SampleLog(
        version=version,
        n_predictions=n_predictions,
        n_refused=len(refused),
        first=drawn.moments[0],
        last=drawn.moments[-1],
        ids=(min(bounds), max(bounds)),
    )


def _check(n_predictions: int, hours_back: float) -> None:
    if not 1 <= n_predictions <= MOST_LOGS:
        raise ValueError(f"A sample log has 1 to {MOST_LOGS:,} predictions; {n_predictions:,} were asked for.")
    if not 0 < hours_back <= MOST_HOURS:
        raise ValueError(
            f"A sample log reaches back for more than 0 and at most {MOST_HOURS:,} hours; asked for: {hours_back:g}."
        )


# --- Drawn ----------------------------------------------------------------------------------------
def _moments(rng: np.random.Generator, *, n: int, since: datetime, now: datetime) -> list[datetime]:
    """So many moments from since to now, in order, more by day than at night."""
    span = (now - since).total_seconds()
    minutes = np.arange(0, span, 60.0)
    of_day = (since.hour * 3600 + since.minute * 60 + since.second + minutes) % 86_400
    weights = RHYTHM[(of_day // 3600).astype(np.int64)]
    chosen = rng.choice(minutes, size=n, p=weights / weights.sum()) + rng.uniform(0, 60, size=n)
    return [since + timedelta(seconds=round(offset, 6)) for offset in np.sort(np.minimum(chosen, span)).tolist()]


def _latencies(rng: np.random.Generator, n: int) -> Numbers:
    low, high = LATENCY_MS
    return np.clip(rng.lognormal(np.log(110), 0.5, size=n), low, high).round(1)


def _draw(rng: np.random.Generator, *, n: int, n_categories: int, since: datetime, now: datetime) -> Drawn:
    moments = _moments(rng, n=n, since=since, now=now)
    weights = 1 / (3 + np.arange(n_categories))  # some categories are asked more often than others
    truth = rng.choice(n_categories, size=n, p=weights / weights.sum())
    is_right = rng.random(n) < RIGHT
    others = (truth + rng.integers(1, n_categories, size=n)) % n_categories
    confidence = np.where(is_right, 0.5 + 0.5 * rng.beta(5, 1.3, size=n), 0.25 + 0.55 * rng.beta(2, 2, size=n))
    is_foreign = rng.random(n) < 0.02
    unknown = np.where(is_foreign, rng.uniform(UNKNOWN, 1, size=n), UNKNOWN * rng.beta(1, 8, size=n))
    return Drawn(
        moments=moments,
        truth=truth,
        guess=np.where(is_right, truth, others),
        confidence=confidence.round(4),
        unknown=unknown.round(4),
        latency_ms=_latencies(rng, n),
        choice=rng.random(n),
    )


def _refused(rng: np.random.Generator, *, n: int, since: datetime, now: datetime) -> list[ApiRequest]:
    """Calls without an answer, in the order of their moments."""
    kinds = [(status, code) for status, code, share in REFUSED for _ in range(round(n * share))]
    order = rng.permutation(len(kinds)).tolist()
    moments = _moments(rng, n=len(kinds), since=since, now=now)
    latencies = _latencies(rng, len(kinds)).tolist()
    return [
        _request(status=kinds[kind][0], code=kinds[kind][1], latency_ms=latency, created_at=moment)
        for kind, latency, moment in zip(order, latencies, moments, strict=True)
    ]


def _moment(request: ApiRequest) -> datetime:
    return request.created_at


def _request(**fields: Any) -> ApiRequest:
    return ApiRequest(route="predict", method="POST", is_demo=True, **fields)


# --- Written --------------------------------------------------------------------------------------
def _write(
    drawn: Drawn,
    rows: slice,
    refused: Sequence[ApiRequest],
    *,
    version: ModelVersion,
    there: Places,
    texts: dict[str, list[str]],
) -> list[int]:
    """Writes one batch with the refused calls of its span, all or nothing; gives the ids of its predictions."""
    moments, guesses = drawn.moments[rows], drawn.guess[rows].tolist()
    said = [_pick(texts[there.slugs[index]], share) for index, share in _pairs(drawn.truth, drawn.choice, rows)]
    requests = [
        _request(status=200, n_tickets=1, latency_ms=latency, created_at=moment)
        for latency, moment in zip(drawn.latency_ms[rows].tolist(), moments, strict=True)
    ]
    with transaction.atomic():
        ApiRequest.objects.bulk_create(sorted([*requests, *refused], key=_moment))
        tickets = Ticket.objects.bulk_create(
            Ticket(text=text, text_digest=Ticket.digest(text), is_demo=True, created_at=moment)
            for text, moment in zip(said, moments, strict=True)
        )
        made = Prediction.objects.bulk_create(
            _prediction(ticket, request, category=there.categories[guess], version=version, sure=sure, unknown=unknown)
            for ticket, request, guess, (sure, unknown) in zip(
                tickets, requests, guesses, _pairs(drawn.confidence, drawn.unknown, rows), strict=True
            )
        )
    return [prediction.pk for prediction in made]


def _pairs(one: NDArray[Any], other: NDArray[Any], rows: slice) -> Iterator[tuple[Any, Any]]:
    return zip(one[rows].tolist(), other[rows].tolist(), strict=True)


def _pick(texts: Sequence[str], share: float) -> str:
    return texts[int(share * len(texts))]


def _prediction(
    ticket: Ticket, request: ApiRequest, *, category: Category, version: ModelVersion, sure: float, unknown: float
) -> Prediction:
    reason = _reason(sure, unknown)
    return Prediction(
        ticket=ticket,
        version=version,
        category=category,
        request=request,
        confidence=sure,
        n_words=len(ticket.text.split()),
        unknown_share=unknown,
        decision=Prediction.Decision.REVIEW if reason else Prediction.Decision.AUTO,
        reason=reason,
        is_demo=True,
        created_at=ticket.created_at,
    )


def _reason(sure: float, unknown: float) -> str:
    """Why a person should look first, the first of the reasons that holds; empty: it is automatic."""
    if unknown >= UNKNOWN:
        return Prediction.Reason.UNKNOWN_WORDS
    if sure < UNSURE:
        return Prediction.Reason.AMBIGUOUS
    return Prediction.Reason.BELOW_THRESHOLD if sure < THRESHOLD else ""
