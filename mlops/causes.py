"""What speaks for a retraining, and what does not: labels, drift, live quality, each with its figures. Decides nothing.

Each gives a clause that fits into a sentence; considering.py puts the sentences together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from classifier.ml.bootstrap import wilson
from classifier.ml.split import SPLITS
from classifier.models import Category, Label, ModelVersion
from mlops import gathering, quality
from mlops.models import Dataset, DriftSnapshot, RetrainDecision, TrainingRun

Name = RetrainDecision.Cause
IN_A_ROW = 2  # one window in fifty is called drifted by chance; a second one tells drift from that
# Asked after each of 600 labels, a version that is right in 97 of 100 is once found below 0.95 in 13 % of streams from
# the first label on, in 1 % from the 50th on. One that is right in 85 of 100 is found there in 78 %.
LEAST_LABELLED = 50


@dataclass(frozen=True)
class Cause:
    """Something that may speak for a retraining. holds: whether it does. words: a clause that says why, or why not."""

    name: str
    holds: bool
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    snapshot: DriftSnapshot | None = None


def scheduled() -> Cause:
    return Cause(name=Name.SCHEDULE, holds=True, words="the schedule asks for a retraining")


def labels(version: ModelVersion) -> Cause:
    """Whether enough labels that train are not in what the version learnt from.

    Counted are current labels that were set since its run began and say of their ticket what its frozen dataset does
    not: a correction counts, one that was taken back does not, nor does what the run itself imported. Older labels that
    may train only since a setting or a category was changed are left to the schedule.
    """
    run = TrainingRun.objects.filter(version=version).only("started_at", "dataset_id").first()
    since = (run.started_at if run else None) or version.created_at
    rows = Label.objects.for_training().filter(created_at__gte=since, ticket__split__in=SPLITS).order_by()
    found = list(rows.values_list("ticket_id", "category__slug"))
    taught = _taught(run) if run and found else {}
    n, wanted = sum(taught.get(ticket) != slug for ticket, slug in found), settings.RETRAIN_NEW_LABELS
    be = "is" if n == 1 else "are"
    return Cause(
        name=Name.LABELS,
        holds=n >= wanted,
        words=f"{_count(n, 'confirmed label')} {be} new since {version} was trained ({wanted:,} begin a retraining)",
        figures={"new_labels": n, "new_labels_wanted": wanted},
    )


def _taught(run: TrainingRun) -> dict[int, str]:
    """What the run's frozen dataset says of its tickets; nothing if it has none."""
    members = Dataset.objects.filter(runs=run).values_list("members", flat=True).first() or {}
    return {ticket: slug for split in members.values() for slug, tickets in split.items() for ticket in tickets}


def drift(version: ModelVersion, *, given: DriftSnapshot | None) -> Cause:
    """Whether the newest snapshots of the version are all drifted, and no older than the one given.

    Windows may overlap, so two are no proof; a window that nothing was added to is the same one again.
    """
    rows = DriftSnapshot.objects.real().filter(version=version).defer(*DriftSnapshot.HEAVY).order_by("-pk")
    newest = list(rows[:IN_A_ROW])
    figures: dict[str, Any] = {"snapshots": [each.pk for each in newest], "verdicts": [each.verdict for each in newest]}
    first = newest[0] if newest else None

    def no(words: str) -> Cause:
        return Cause(name=Name.DRIFT, holds=False, words=words, figures=figures, snapshot=first)

    if first is None:
        return no(f"{version} has no drift snapshot yet")
    if given is not None and given.pk > first.pk:
        return no(f"{given} is not of {version}")
    if first.verdict == DriftSnapshot.Verdict.TOO_FEW:
        return no(f"its newest drift {first} has too few predictions to tell")
    if first.verdict == DriftSnapshot.Verdict.STEADY:
        return no(f"its newest drift {first} is steady")
    drifted = [each for each in newest if each.verdict == DriftSnapshot.Verdict.DRIFTED]
    ends = {each.last_prediction or -each.pk for each in newest}
    if len(drifted) < IN_A_ROW or len(ends) < IN_A_ROW:
        return no(f"its newest drift {first} is drifted, but not yet {IN_A_ROW} in a row of different predictions")
    told = DriftSnapshot.objects.only("signals").get(pk=first.pk).signals
    if {signal["name"] for signal in told if signal.get("drifted")} == {"category_shares"}:
        return no(f"its newest drift {first} is of the shares of the categories alone, which no training mends")
    headline = first.words.split(". ")[0].rstrip(".")  # the snapshot has the rest
    words = f"the newest {IN_A_ROW} drift snapshots of {version} are drifted, last {first}: {headline}"
    return Cause(name=Name.DRIFT, holds=True, words=words, figures=figures, snapshot=first)


def precision(version: ModelVersion, now: datetime) -> Cause:
    """Whether the labels of the last days show automatic answers below their target by more than chance."""
    window = timedelta(days=quality.SUMMARY_DAYS)
    rows = quality.counted(now, window, "version_id", "category_id").items()
    automatic = {category: figures.automatic for (pk, category), figures in rows if pk == version.pk}
    counts = sum(automatic.values(), quality.Counts())
    n, days = counts.n_labelled, quality.SUMMARY_DAYS
    answers = f"{_count(n, 'automatic answer')} of the last {days} days {'has' if n == 1 else 'have'} a later label"
    figures = {"n_automatic_labelled": n, "precision": counts.observed}
    if n < LEAST_LABELLED:
        words = f"{answers}, too few to tell their precision ({LEAST_LABELLED} are needed)"
        return Cause(name=Name.QUALITY, holds=False, words=words, figures=figures)
    target = _target(version, {category: of_it.n_labelled for category, of_it in automatic.items()})
    high = wilson(counts.n_right, n).high
    words = (
        f"{answers}, and {percent(counts.n_right / n)} of them were right, at most {percent(high)} by the 95 % "
        f"interval, where {percent(target)} are the target"
    )
    return Cause(
        name=Name.QUALITY, holds=high < target, words=words, figures={**figures, "high": high, "target": target}
    )


def _target(version: ModelVersion, labelled: Mapping[int, int]) -> float:
    """The precision that the version's thresholds were solved for, of the labelled answers of each category.

    labelled: how many, by the category's id. Categories may have targets of their own, also lower ones.
    """
    whole = version.thresholds.get("target", settings.TARGET_PRECISION)
    own = version.thresholds.get("per_category", {})
    slugs = dict(Category.objects.filter(pk__in=labelled).values_list("pk", "slug"))
    wanted = sum(n * own.get(slugs[category], {}).get("target", whole) for category, n in labelled.items())
    return float(round(wanted / sum(labelled.values()), 6))  # 0.7 is a hair more as a sum of sevenths


# --- Before anything is in production ---------------------------------------------------------------
def first_version(*, is_scheduled: bool) -> Cause:
    """Whether a first version may be trained by itself: only with every active category, since it answers for all.

    A person may do so sooner, and with fewer; so it waits for the schedule, and gets in nobody's way who has just
    imported tickets.
    """
    tally = gathering.tally()
    ready = {slug for counts in tally.used.values() for slug in counts}
    missing = sorted({*Category.objects.active().values_list("slug", flat=True)} - ready)
    each = settings.MIN_TICKETS_PER_CATEGORY
    figures = {"labelled_tickets": tally.n_used, "missing_categories": missing}
    asked = Name.SCHEDULE if is_scheduled else Name.NONE
    beginning = "no version is in production, so there is nothing to retrain"
    if len(ready) < 2:
        words = (
            f"{beginning}, and for a first one at least two categories must have {each} different labelled tickets "
            "each: import them with manage.py import_tickets, or label them"
        )
        return Cause(name=asked, holds=False, words=words, figures=figures)
    if missing:
        words = (
            f"{beginning}. The labelled tickets suffice for a first one that never answers {_listed(missing)}, which "
            f"does not begin by itself. Label {each} different tickets of it, retire it, or run manage.py train"
        )
        return Cause(name=asked, holds=False, words=words, figures=figures)
    tickets = f"{_count(tally.n_used, 'labelled ticket')} of {len(ready)} categories"
    words = f"no version is in production, and {tickets} suffice for a first one"
    if is_scheduled:
        return Cause(name=Name.SCHEDULE, holds=True, words=words, figures=figures)
    words += ". It begins when the schedule asks; manage.py train begins it now"
    return Cause(name=asked, holds=False, words=words, figures=figures)


# --- In words -------------------------------------------------------------------------------------
def percent(share: float) -> str:
    """A share as people read it.

    >>> percent(0.9048)
    '90.5 %'
    """
    return f"{share * 100:.1f} %"


def _count(n: int, noun: str) -> str:
    """A number of things.

    >>> _count(1, "label"), _count(1200, "label")
    ('1 label', '1,200 labels')
    """
    return f"{n:,} {noun if n == 1 else noun + 's'}"


def _listed(slugs: list[str]) -> str:
    """The first of them by name.

    >>> _listed(["a", "b", "c", "d", "e"])
    "'a', 'b', 'c' and 2 more"
    """
    shown = ", ".join(repr(slug) for slug in slugs[:3])
    return shown if len(slugs) <= 3 else f"{shown} and {len(slugs) - 3} more"
