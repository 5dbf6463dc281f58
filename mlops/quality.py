"""Live quality: what was answered in the last days, held against the labels that came after it. Writes nothing.

A label counts if it holds now, a person stands behind it (or TRAIN_ON_API_LABELS takes the API's word), its ticket is
no demonstration, and it was set after the answer. One that was there before may have taught the very version that
answered, so being right about it says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Case, CharField, Count, F, Sum, When
from django.db.models.functions import Cast, Left

from classifier.ml.bootstrap import wilson
from classifier.models import Category, Label, ModelVersion, Prediction

SUMMARY_DAYS = 7  # people label what went to review within days; a longer window would tell of weeks ago
AUTO = Prediction.Decision.AUTO.value
CAUTION = (
    "Labelled answers may not stand for all: people look first at what went to review. So the figures of automatic "
    "answers and of those for review stand apart. The estimate trusts confidence, which was calibrated on validation "
    "tickets."
)
# The UTC day, as text. TruncDate would ask Python for each row on SQLite: 0.7 s of 140,000 answers' 0.9 s. Both
# databases write a moment as 2026-11-23 09:30, in UTC, which is the connection's zone.
DAY = Left(Cast("created_at", CharField()), 10)


@dataclass(frozen=True)
class Counts:
    """Answers, counted. confidence, labelled_confidence: its sums over all of them, and over the labelled ones."""

    n: int = 0
    confidence: float = 0.0
    n_labelled: int = 0
    n_right: int = 0
    labelled_confidence: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))

    @property
    def observed(self) -> float | None:
        """The share of the labelled ones that were right."""
        return _ratio(self.n_right, self.n_labelled)

    @property
    def expected(self) -> float | None:
        """The share of the labelled ones that confidence would have right."""
        return _ratio(self.labelled_confidence, self.n_labelled)

    @property
    def estimated(self) -> float | None:
        """The share of those without a label that are right, as far as confidence can tell."""
        return _ratio(self.confidence - self.labelled_confidence, self.n - self.n_labelled)

    def as_dict(self) -> dict[str, Any]:
        """The counts, what they show, and the 95 % interval of what was observed."""
        interval = wilson(self.n_right, self.n_labelled) if self.n_labelled else None
        return {
            "n": self.n,
            "n_labelled": self.n_labelled,
            "n_right": self.n_right,
            "observed": self.observed,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "expected": self.expected,
        }


@dataclass(frozen=True)
class Figures:
    """Automatic answers and those for review, counted apart."""

    automatic: Counts = field(default_factory=Counts)
    review: Counts = field(default_factory=Counts)

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.automatic + other.automatic, self.review + other.review)

    @property
    def all(self) -> Counts:
        return self.automatic + self.review

    @property
    def coverage(self) -> float | None:
        """The share of answers that were automatic."""
        return _ratio(self.automatic.n, self.all.n)

    def as_dict(self) -> dict[str, Any]:
        """All figures in plain JSON types; None where there is nothing to divide by.

        precision: of labelled automatic answers, the share that was right. accuracy: the same of all labelled ones;
        override_rate is the rest. expected_accuracy: what confidence would have of the labelled ones.
        """
        both = self.all
        return {
            "n": both.n,
            "n_labelled": both.n_labelled,
            "labelled_share": _ratio(both.n_labelled, both.n),
            "coverage": self.coverage,
            "precision": self.automatic.observed,
            "accuracy": both.observed,
            "override_rate": _ratio(both.n_labelled - both.n_right, both.n_labelled),
            "expected_accuracy": both.expected,
            "estimated_accuracy": both.estimated,
            "automatic": self.automatic.as_dict(),
            "review": self.review.as_dict(),
        }


def summary(version: ModelVersion, now: datetime) -> dict[str, Any]:
    """The last 7 days of one version in nine figures, for DriftSnapshot.quality; None where nothing is known yet."""
    figures = counted(now, timedelta(days=SUMMARY_DAYS), "version_id").get((version.pk,), Figures())
    told = figures.as_dict()
    kept = ("n", "n_labelled", "precision", "accuracy", "override_rate", "coverage", "estimated_accuracy")
    return {
        "window_days": SUMMARY_DAYS,
        "n_automatic_labelled": figures.automatic.n_labelled,
        **{name: told[name] for name in kept},
    }


def live(
    now: datetime, window: timedelta, *, version: ModelVersion | None = None, category: Category | None = None
) -> dict[str, Any]:
    """The figures of a window that ends now, in all and per UTC day, category answered and version.

    Every day of the window is there, the first and the last as far as the window reaches. version, category: only the
    answers of the one, only those that name the other.
    """
    found = {
        (day, of_category, of_version): figures
        for (day, of_category, of_version), figures in counted(now, window, DAY, "category_id", "version_id").items()
        if (version is None or of_version == version.pk) and (category is None or of_category == category.pk)
    }
    slugs = dict(Category.objects.values_list("pk", "slug"))
    numbers = dict(ModelVersion.objects.values_list("pk", "number"))
    by_day = {day.isoformat(): Figures() for day in _days(now - window, now)} | _rolled_up(found, lambda key: key[0])
    return {
        "since": now - window,
        "until": now,
        "version": version.number if version else None,
        "category": category.slug if category else None,
        "caution": CAUTION,
        "totals": sum(found.values(), Figures()).as_dict(),
        "per_day": _told("day", by_day),
        "per_category": _told("category", _rolled_up(found, lambda key: slugs[key[1]])),
        "per_version": _told("version", _rolled_up(found, lambda key: numbers[key[2]])),
    }


def counted(now: datetime, window: timedelta, *by: str | Left) -> dict[tuple[Any, ...], Figures]:
    """The figures of a window that ends now, by the values of fields of Prediction. Two queries.

    by: never a filter, above all not on the version. On SQLite, which knows nothing of the values, `version = 3` wins
    over the moment's index, and all answers that the version ever gave are read: of a million, 140,000 in the window,
    0.3 to 1 s in place of 0.1 s.
    """
    answers = Prediction.objects.filter(is_demo=False, created_at__gt=now - window, created_at__lte=now).order_by()
    labelled = answers.filter(
        ticket__is_demo=False,
        ticket__labels__ended_at=None,
        ticket__labels__source__in=Label.training_sources(),
        ticket__labels__created_at__gte=F("created_at"),
    )
    is_right = Case(When(ticket__labels__category_id=F("category_id"), then=1))
    found: dict[tuple[Any, ...], Figures] = defaultdict(Figures)
    # The labelled first: what comes in between is then one more answer, and never a label of an answer not counted.
    for *key, decision, n, n_right, confidence in _grouped(labelled, *by).annotate(
        n=Count("pk"), n_right=Count(is_right), sum=Sum("confidence")
    ):
        found[tuple(key)] += _of(decision, Counts(n_labelled=n, n_right=n_right, labelled_confidence=confidence))
    for *key, decision, n, confidence in _grouped(answers, *by).annotate(n=Count("pk"), sum=Sum("confidence")):
        found[tuple(key)] += _of(decision, Counts(n=n, confidence=confidence))
    return dict(found)


def _grouped(answers: models.QuerySet[Prediction], *by: str | Left) -> models.QuerySet[Prediction, tuple[Any, ...]]:
    return answers.values_list(*by, "decision")


def _of(decision: str, counts: Counts) -> Figures:
    return Figures(automatic=counts) if decision == AUTO else Figures(review=counts)


def _rolled_up(found: Mapping[tuple[Any, ...], Figures], name: Callable[[tuple[Any, ...]], Any]) -> dict[Any, Figures]:
    """Summed over all that have a name in common."""
    sums: dict[Any, Figures] = defaultdict(Figures)
    for key, figures in found.items():
        sums[name(key)] += figures
    return dict(sums)


def _told(name: str, found: Mapping[Any, Figures]) -> list[dict[str, Any]]:
    return [{name: key, **found[key].as_dict()} for key in sorted(found)]


def _days(since: datetime, until: datetime) -> Iterable[date]:
    first, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None
