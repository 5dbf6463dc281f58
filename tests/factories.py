"""Rows and models for tests: each builds only what the test speaks of."""

from __future__ import annotations

import csv
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from classifier.ml.model import TextModel
from classifier.ml.pipeline import refit
from classifier.models import ApiKey, Category, ModelArtifact, ModelVersion, Ticket, User

SLUGS = ("account", "billing", "general", "shipping", "technical")


@functools.cache
def shipped(limit: int = 600) -> tuple[tuple[str, str], ...]:
    """The first of the shipped tickets: (text, label)."""
    with settings.SHIPPED_TICKETS.open(encoding="utf-8", newline="") as file:
        return tuple((row["text"], row["label"]) for row, _ in zip(csv.DictReader(file), range(limit), strict=False))


@functools.cache
def small_model(categories: Sequence[str] = SLUGS) -> TextModel:
    """A real model, fitted on 600 shipped tickets in about a second, once a process."""
    rows = [(text, label) for text, label in shipped() if label in categories]
    return refit(
        [text for text, _ in rows], [label for _, label in rows], recipe="word_char", c=10.0, temperature=1.0, seed=0
    ).model


def make_categories(slugs: Sequence[str] = SLUGS) -> list[Category]:
    return [Category.objects.get_or_create(slug=slug, defaults={"name": slug.title()})[0] for slug in slugs]


def make_version(*, status: str = "candidate", model: TextModel | None = None, **fields: Any) -> ModelVersion:
    """A version with its artifact row; its categories exist as well. The file is left out: serving writes it."""
    model = model or small_model()
    make_categories(model.categories)
    content = model.to_bytes()
    artifact = ModelArtifact.objects.get_or_create(
        sha256=sha256_of(content), defaults={"content": content, "n_bytes": len(content)}
    )[0]
    return ModelVersion.objects.create(
        **{
            "number": ModelVersion.objects.next_number(),
            "status": status,
            "recipe": "word_char",
            "categories": list(model.categories),
            "artifact": artifact,
            **fields,
        }
    )


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_key(*scopes: str, name: str = "test", **fields: Any) -> tuple[ApiKey, str]:
    """A key row and the key itself."""
    return ApiKey.objects.make(name=name, scopes=list(scopes or ("predict",)), **fields)


def make_ticket(text: str = "Where is my parcel?", **fields: Any) -> Ticket:
    return Ticket.objects.create(text=text, **fields)


def make_user(name: str = "ada", *, is_superuser: bool = False, **fields: Any) -> User:
    return User.objects.create_user(
        name, password="a long enough one", is_superuser=is_superuser, is_staff=True, **fields
    )
