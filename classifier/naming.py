"""Which category a file's label means, and which slug a new one gets."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from django.utils.text import slugify

from classifier.ml.validation import label_key
from classifier.models import Category

MAX_LENGTH = 100  # characters, the width of the database's columns


class UnusableLabel(ValueError):
    """No category can be made of the label; the message says why."""


class CategoryNames:
    """The categories, found by slug or, where no slug fits, by name: stripped and casefolded."""

    def __init__(self, categories: Iterable[Category]) -> None:
        rows = sorted(categories, key=lambda category: category.slug)
        self._categories = {label_key(row.name): row for row in rows} | {label_key(row.slug): row for row in rows}
        self._slugs = {row.pk: row.slug for row in rows}
        self._alike = {_alike(row.slug): row for row in rows}

    def find(self, label: str) -> Category | None:
        return self._categories.get(label_key(label))

    def slug(self, category_id: int) -> str:
        if category_id not in self._slugs:  # one of make(), saved since
            self._slugs = {row.pk: row.slug for row in self._categories.values()}
        return self._slugs[category_id]

    def nearest(self, label: str) -> str | None:
        """The slug whose slug or name looks most like the label, for an error to propose."""
        if len(label) > 2 * MAX_LENGTH:  # nothing looks like it, and comparing a megabyte takes a second
            return None
        near = difflib.get_close_matches(label_key(label), self._categories, n=1, cutoff=0.7)
        return self._categories[near[0]].slug if near else None

    def make(self, label: str) -> tuple[Category, bool]:
        """A category for a label that none is found for, unsaved, and whether it is new.

        It is not if its slug differs from an existing one's by hyphens and underscores only: nobody wants both
        "card arrival" and "card_arrival". Raises UnusableLabel.
        """
        slug, name = slugify(label, allow_unicode=True), label.strip()
        if not slug or max(len(slug), len(name)) > MAX_LENGTH:
            raise UnusableLabel(
                f"A category's name must have a letter or digit and at most {MAX_LENGTH} characters; {name[:40]!r} is "
                "another thing. Rename it."
            )
        existing = self._alike.get(_alike(slug))
        category = existing or Category(slug=slug, name=name)
        self._categories[label_key(label)] = self._alike[_alike(slug)] = category
        return category, existing is None


def _alike(slug: str) -> str:
    return label_key(slug).replace("-", "_")
