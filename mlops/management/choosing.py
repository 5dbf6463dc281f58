"""Which version a command is about: the one with a number, or the one that is meant when none is said."""

from __future__ import annotations

from classifier.management.base import BadUsage, Refused
from classifier.models import ModelVersion
from classifier.models.versions import ModelVersionQuerySet

SHOWN = 10  # numbers of versions in a refusal


def version_numbered(number: int, *, among: ModelVersionQuerySet | None = None) -> ModelVersion:
    """The version of that number. Raises BadUsage that names those there are.

    among: what is to be read of it; all its columns are megabytes for many categories.
    """
    found = _all(among).filter(number=number).first()
    if found is None:
        numbers = ModelVersion.objects.filter(is_demo=False).values_list("number", flat=True)[:SHOWN]
        known = ", ".join(map(str, numbers)) or "none yet: run train"
        raise BadUsage(f"There is no version {number}. The newest ones: {known}.")
    return found


def version_meant(number: int | None, *, to: str, among: ModelVersionQuerySet | None = None) -> ModelVersion:
    """The version of that number or, without one, that in production, else the newest candidate.

    to: what is to be done with it, for the error. Raises BadUsage and Refused.
    """
    if number is not None:
        named = version_numbered(number, among=among)
        if named.is_demo:
            raise Refused(
                f"{str(named).capitalize()} is made up for demonstration: it has no model to {to}. Name another."
            )
        return named
    found = _all(among).in_production().first() or _all(among).candidates().first()
    if found is None:
        raise Refused(f"There is no version to {to} yet. Train one with: manage.py train")
    return found


def _all(among: ModelVersionQuerySet | None) -> ModelVersionQuerySet:
    return ModelVersion.objects.all() if among is None else among
