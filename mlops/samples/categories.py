"""The categories that made-up rows are spread over, and the texts of made-up tickets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from classifier.models import Category
from classifier.reading import UnreadableFile, read
from mlops import shipped

__all__ = ["Places", "TooFewCategories", "UnreadableFile", "places", "texts_of"]
LEAST = 2  # with one category there is nothing to take for another


class TooFewCategories(ValueError):
    """There are no two active categories, and none may be made; the message says why."""


@dataclass(frozen=True)
class Places:
    """Active categories in the order of their slugs; made: slugs of those that were not there before."""

    categories: Sequence[Category]
    made: Sequence[str] = ()

    @property
    def slugs(self) -> tuple[str, ...]:
        return tuple(category.slug for category in self.categories)


def places() -> Places:
    """The active categories; if there are fewer than two, the five of the shipped tickets are made first.

    Raises TooFewCategories if those were retired.
    """
    made = shipped.make_categories() if Category.objects.active().count() < LEAST else []
    found = list(Category.objects.active())
    if len(found) < LEAST:  # the five are there, and were retired
        raise TooFewCategories(
            f"Made-up tickets need at least {LEAST} active categories; there are {len(found)}, and those of the "
            "shipped tickets are retired. Activate some, or add your own, under Categories in the admin."
        )
    return Places(found, tuple(made))


def texts_of(categories: Sequence[Category]) -> dict[str, list[str]]:
    """Texts for each category: the shipped tickets of it or, for a category of yours, all of them under its name.

    Nothing that a customer wrote is copied: the shipped tickets are invented. Raises UnreadableFile without them.
    """
    found: dict[str, list[str]] = {}
    for row in read(settings.SHIPPED_TICKETS):
        if row.text and row.label:
            found.setdefault(row.label, []).append(row.text)
    every = [text for texts in found.values() for text in texts]
    return {
        category.slug: found.get(category.slug) or [f"{category.name}: {text}" for text in every]
        for category in categories
    }
