"""Model quality: how often a version is right, where it errs, whether its confidence holds, and how it came there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.paginator import Paginator

from classifier.models import Category
from mlops.dashboards import confusion, mistakes, scores
from mlops.dashboards.promotions import promotions, since
from mlops.dashboards.versions import Chosen, Shown, Status
from mlops.dashboards.versus import compared

TICKETS_A_PAGE = 50
HOW_TO_KEEP = (
    "It was trained before answers to test tickets were kept, so the cells lead nowhere and its surest mistakes are "
    "unknown. From a shell: manage.py evaluate --version {number} --split test."
)
Address = Callable[[str, str], str]


def quality(chosen: Chosen, *, page: str, tickets_at: Address) -> dict[str, Any]:
    """All that the page shows. page: of the history; tickets_at: the address of a cell's tickets."""
    categories = list(Category.objects.values_list("slug", "name", "active"))
    names = {slug: name for slug, name, _ in categories}
    version = chosen.version
    shown: dict[str, Any] = {
        "version": version,
        "against": chosen.against,
        "has_scores": version is not None and bool(version.scores),
        "offered_categories": [(slug, name) for slug, name, active in categories if active],
        **(promotions(page) if not chosen.filters.is_demo else {"promotions": [], "n_promotions": 0}),
    }
    if version is None:
        return shown
    now = chosen.filters.until
    answers = [mistakes.surest(version), mistakes.corrected(version, now=now)]
    looked = mistakes.looked_up([*answers[0], *answers[1]], names)
    shown |= {"surest": looked[: len(answers[0])], "corrected": looked[len(answers[0]) :], "days": mistakes.DAYS}
    return shown | _scored(version, chosen.against, names, tickets_at) if version.scores else shown


def _scored(version: Shown, against: Shown | None, names: dict[str, str], tickets_at: Address) -> dict[str, Any]:
    """What the scores tell; a version to compare with that has none is told so."""
    has_both = against is not None and bool(against.scores)
    other = against if has_both else None
    moment = since(version.pk) if version.status == Status.PRODUCTION else ""
    address: Address = tickets_at if version.tested.has_tickets else lambda _truth, _guess: ""
    charts = (scores.reliability(version, other), scores.coverage(version, other))
    return {
        "macro_f1": f"{version.scores['macro_f1']:.3f}",
        "headline": scores.headline(version, since=_answers_since(version, moment)),
        "figures": scores.figures(version, other, names),
        "comparison": compared(version, other) if other else None,
        "not_scored": str(against).capitalize() if against and not has_both else "",
        "rows": scores.by_category(version, other, names),
        "matrix": confusion.matrix(version.scores, names, address=address),
        "largest": confusion.largest(version.scores, names),
        "calibration": scores.calibration(version.scores),
        "charts": [chart for chart in charts if chart],
        "how_to_keep": "" if version.is_demo or version.tested.ids else HOW_TO_KEEP.format(number=version.number),
    }


def _answers_since(version: Shown, moment: str) -> str:
    if version.status != Status.PRODUCTION:
        return ""
    return f"It answers since {moment}." if moment else "It is in production."


def tickets(chosen: Chosen, *, truth: str, guess: str, page: str) -> dict[str, Any]:
    """The tickets behind a cell of the matrix, surest answer first, 50 a page; an empty truth or guess means any."""
    categories = list(Category.objects.values_list("slug", "name", "active"))
    names = {slug: name for slug, name, _ in categories}
    version = chosen.version
    places = version.tested.places(truth=truth, guess=guess) if version else []
    found = Paginator(places, TICKETS_A_PAGE).get_page(page)
    answers = mistakes.answers_at(version.tested, found) if version else []
    return {
        "version": version,
        "truth": names.get(truth, truth),
        "guess": names.get(guess, guess),
        "n_tickets": len(places),
        "answers": mistakes.looked_up(answers, names),
        "offered_categories": [(slug, name) for slug, name, active in categories if active],
        "how_to_keep": HOW_TO_KEEP.format(number=version.number) if version and not version.tested.ids else "",
        "newer": str(found.previous_page_number()) if found.has_previous() else "",
        "older": str(found.next_page_number()) if found.has_next() else "",
    }
