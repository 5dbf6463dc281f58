"""Who may ask and who asked: User, ApiKey, ApiRequest, and what keeps a repeated or a refused call honest."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, cast

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import F
from django.utils import timezone
from rest_framework_api_key.models import AbstractAPIKey, APIKeyManager


class Scope(models.TextChoices):
    """What a key may do; the same words as the roles' permissions."""

    PREDICT = "predict"
    LABEL = "label"
    READ = "read"
    RUN = "run"
    PROMOTE = "promote"
    METRICS = "metrics"


class User(AbstractUser):
    """A person who signs in. Our own from the first migration, so that a field can be added to it later."""

    class Meta(AbstractUser.Meta):
        permissions = [(f"scope_{scope}", f"May {scope} by API and pages") for scope in Scope.values]


def check_scopes(scopes: object) -> None:
    known = ", ".join(Scope.values)
    if not isinstance(scopes, list) or not scopes or not set(map(str, scopes)) <= set(Scope.values):
        raise ValidationError(f"Scopes must be a list of at least one of: {known}; found {scopes!r}.")


class ApiKeyManager(APIKeyManager):
    """Makes keys and finds their rows."""

    def make(self, *, name: str, scopes: list[str], expiry_date: datetime | None = None) -> tuple[ApiKey, str]:
        """The row, and the key itself, which is kept nowhere: show it once. Raises ValidationError for odd scopes."""
        check_scopes(scopes)
        row, key = self.create_key(name=name, scopes=scopes, expiry_date=expiry_date)
        return cast(ApiKey, row), key

    def valid(self, key: str) -> ApiKey:
        """The row of a key that is neither revoked nor expired. Raises ApiKey.DoesNotExist otherwise."""
        row = cast(ApiKey, self.get_from_key(key))
        if row.has_expired:
            raise ApiKey.DoesNotExist("The key has expired.")
        return row


class ApiKey(AbstractAPIKey):
    """A client's key, hashed. Its primary key holds the hash, so other rows point at `prefix`."""

    scopes = models.JSONField(default=list, validators=[check_scopes])
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[ApiKeyManager] = ApiKeyManager()

    class Meta(AbstractAPIKey.Meta):
        abstract = False

    def touch(self, now: datetime) -> None:
        """Notes the use, at most once a minute: a busy key must not become a hot row."""
        if self.last_used_at is None or now - self.last_used_at >= timedelta(minutes=1):
            self.last_used_at = now
            type(self).objects.filter(prefix=self.prefix).update(last_used_at=now)


def doer(by: User | None, key: ApiKey | None) -> str | None:
    """Who did it, as every page and address names them; None for what ran by itself or from the command line.

    No user name has a space in it, so that nobody can be taken for a key.
    """
    if by is not None:
        return by.get_username()
    return None if key is None else f"API key {key.name}"


class ApiRequest(models.Model):
    """One authenticated call, refused ones too."""

    key = models.ForeignKey(
        ApiKey, to_field="prefix", on_delete=models.SET_NULL, null=True, blank=True, related_name="requests"
    )
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    route = models.CharField(max_length=60, help_text="The route's name, never a path.")
    method = models.CharField(max_length=7)
    status = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=60, blank=True, help_text="The problem's code when it was refused.")
    n_tickets = models.PositiveSmallIntegerField(default=0, help_text="Tickets that were stored for it.")
    latency_ms = models.FloatField()
    is_demo = models.BooleanField(default=False, db_default=False)  # in the database: storing.py names no such column
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "API request"

    def __str__(self) -> str:
        return f"{self.method} {self.route} {self.status}"


class IdempotentAnswer(models.Model):
    """The first answer to a call that named an Idempotency-Key; a repeated call gets it again."""

    key = models.ForeignKey(ApiKey, to_field="prefix", on_delete=models.CASCADE, null=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    idempotency_key = models.CharField(max_length=200)
    body_sha256 = models.CharField(max_length=64, help_text="Of the first call's body and query.")
    answer = models.TextField(help_text="The first call's answer, JSON.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        verbose_name, verbose_name_plural = "answer to a repeatable call", "answers to repeatable calls"
        constraints = [
            models.UniqueConstraint(fields=["key", "idempotency_key"], name="idempotent_answer_once_per_key"),
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="idempotent_answer_once_per_user"),
        ]

    def __str__(self) -> str:
        return f"Answer {self.pk}"


class RefusalMinuteManager(models.Manager["RefusalMinute"]):
    def count_one(self, *, code: str, now: datetime) -> None:
        """Adds one refusal to its minute: a row a minute and code, however many are refused."""
        minute = now.replace(second=0, microsecond=0)
        for _ in range(2):
            if self.filter(minute=minute, code=code).update(count=F("count") + 1):
                return
            try:
                with transaction.atomic():
                    self.create(minute=minute, code=code, count=1)
                return
            except IntegrityError:
                continue  # another process made the row in between


class RefusalMinute(models.Model):
    """Calls refused before they said who they are, counted per minute: no row a call, so nobody fills the disk."""

    minute = models.DateTimeField()
    code = models.CharField(max_length=60)
    count = models.PositiveIntegerField()

    objects = RefusalMinuteManager()

    class Meta:
        verbose_name, verbose_name_plural = "minute of refusals", "minutes of refusals"
        constraints = [models.UniqueConstraint(fields=["minute", "code"], name="refusal_minute_once_per_code")]

    def __str__(self) -> str:
        return f"{self.count} {self.code} at {self.minute}"
