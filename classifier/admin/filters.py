"""Filters by another table's rows, which may be many: the first so many are offered, and any other can be asked for."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from classifier.admin.base import number_in
from classifier.models import Category, ModelVersion

MOST_CHOICES = 100  # a longer list is no choice, and a page of 100,000 takes seconds; the address takes any other name


class ByRowFilter(admin.SimpleListFilter):
    """By a row of another table, named in the address as people name it. Django's own filter offers them all."""

    def names(self) -> QuerySet[Any, Any]:
        """What the rows are called in the address, those first that matter most."""
        raise NotImplementedError

    def in_words(self, name: Any) -> str:
        return str(name)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(name), self.in_words(name)) for name in self.names()[:MOST_CHOICES]]

    def narrowed(self, rows: QuerySet, name: str) -> QuerySet:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset if self.value() is None else self.narrowed(queryset, str(self.value()))


class OfCategory(ByRowFilter):
    title = parameter_name = "category"

    def names(self) -> QuerySet[Any, Any]:
        return Category.objects.order_by("slug").values_list("slug", flat=True)

    def narrowed(self, rows: QuerySet, name: str) -> QuerySet:
        # The id first: the rows of a category have an index, and a condition on the joined table reads both whole.
        return rows.filter(category__in=list(Category.objects.filter(slug=name).values_list("pk", flat=True)))


class OfVersion(ByRowFilter):
    """By the version's number. Django's own filter would read every version whole, scores and all, to name it."""

    title = parameter_name = "version"

    def names(self) -> QuerySet[Any, Any]:
        return ModelVersion.objects.order_by("-number").values_list("number", flat=True)

    def in_words(self, name: Any) -> str:
        return f"version {name}"

    def narrowed(self, rows: QuerySet, name: str) -> QuerySet:
        known = ModelVersion.objects.filter(number=number_in(name))  # None for a word: no version has that
        return rows.filter(version__in=list(known.values_list("pk", flat=True)))


class InGroup(ByRowFilter):
    title = parameter_name = "group"

    def names(self) -> QuerySet[Any, Any]:
        return Group.objects.order_by("name").values_list("name", flat=True)

    def narrowed(self, rows: QuerySet, name: str) -> QuerySet:
        return rows.filter(groups__in=list(Group.objects.filter(name=name).values_list("pk", flat=True)))
