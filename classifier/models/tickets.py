"""What is asked, what is answered and what was right: Category, Ticket, Prediction, Label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from classifier.ml.text import normalise


class Split(models.TextChoices):
    """Where a labelled ticket stands, for good. EXCLUDED: its near-duplicates stand in two splits."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    EXCLUDED = "excluded"


class CategoryQuerySet(models.QuerySet["Category"]):
    def active(self) -> CategoryQuerySet:
        return self.filter(active=True)


class Category(models.Model):
    """One answer that a ticket can get. The slug never changes; a retired category is no longer answered."""

    slug = models.SlugField(max_length=100, unique=True, allow_unicode=True)
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True, help_text="One line that tells people and clients what belongs here.")
    active = models.BooleanField(default=True, help_text="A retired category is not answered any more.")
    target_precision = models.FloatField(
        null=True,
        blank=True,
        help_text="Share of this category's automatic answers that must be right, such as 0.98; empty: what "
        "TARGET_PRECISION says. Takes effect with the next version, or at once by manage.py tune_thresholds --save.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = CategoryQuerySet.as_manager()

    class Meta:
        ordering = ("slug",)
        verbose_name_plural = "categories"
        constraints = [
            models.CheckConstraint(
                condition=Q(target_precision=None) | Q(target_precision__gt=0, target_precision__lt=1),
                name="category_target_precision_is_a_share",
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class TicketQuerySet(models.QuerySet["Ticket"]):
    def labelled(self) -> TicketQuerySet:
        """Tickets with a current label."""
        return self.filter(labels__ended_at=None, labels__isnull=False)

    def with_digest_of(self, text: str) -> TicketQuerySet:
        return self.filter(text_digest=Ticket.digest(text))

    def bring_back_texts(self, texts: Mapping[int, str]) -> None:
        """Gives those of these tickets their text again, by id, that lost it as too old."""
        lost = self.filter(text_removed_at__isnull=False).only("pk").in_bulk(list(texts))  # in batches, if need be
        for pk, ticket in lost.items():
            ticket.text, ticket.text_removed_at = texts[pk], None
        self.bulk_update(lost.values(), ["text", "text_removed_at"])


class Ticket(models.Model):
    """A text that was asked about or imported. Split and group are set when it is first labelled and never move."""

    class Source(models.TextChoices):
        IMPORT = "import"
        API = "api", "API"
        PAGE = "page"

    text = models.TextField()
    # Of the normalised text: finds the same text again without an index over the text itself.
    text_digest = models.CharField(max_length=32, db_index=True, editable=False)
    external_id = models.CharField(max_length=200, null=True, blank=True, unique=True)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.API)
    is_demo = models.BooleanField(default=False)
    split = models.CharField(max_length=10, choices=Split.choices, null=True, blank=True)  # noqa: DJ001 (NULL: unlabelled)
    # The id of the first ticket of its near-duplicates; no foreign key, so that this one may be deleted.
    group = models.BigIntegerField(null=True, blank=True, db_index=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True, editable=False)
    text_removed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When its text was taken away, as older than TEXT_RETENTION_DAYS.",
    )

    objects = TicketQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=Q(split=None, group=None) | Q(split__isnull=False, group__isnull=False),
                name="ticket_split_and_group_together",
            ),
            models.CheckConstraint(condition=~Q(text=""), name="ticket_text_not_empty"),
        ]
        permissions = [
            ("import_tickets", "May import tickets from a file"),
            ("export_rows", "May export tickets and predictions"),
        ]
        # What retention looks through each night: without it, every ticket there ever was.
        indexes = [models.Index(fields=["created_at"], condition=Q(text_removed_at=None), name="ticket_with_its_text")]

    def __str__(self) -> str:
        return f"Ticket {self.pk}"  # never the text: this reaches logs and the admin's history

    def save(self, **options: Any) -> None:
        if self.text_digest == "":
            self.text_digest = self.digest(self.text)
        super().save(**options)

    @staticmethod
    def digest(text: str) -> str:
        """128 bits of SHA-256 of the normalised text, in hex: enough that two texts never meet by chance."""
        return hashlib.sha256(normalise(text).encode()).hexdigest()[:32]


class TicketBand(models.Model):
    """One MinHash band of a labelled ticket: near-duplicates share at least one (classifier/ml/text.py)."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="bands")
    band = models.BigIntegerField(db_index=True)

    class Meta:
        verbose_name, verbose_name_plural = "mark of a near-duplicate", "marks of near-duplicates"

    def __str__(self) -> str:
        return f"{self.band} of ticket {self.ticket_id}"


class LabelQuerySet(models.QuerySet["Label"]):
    def current(self) -> LabelQuerySet:
        return self.filter(ended_at=None)

    def for_training(self) -> LabelQuerySet:
        """Current labels that may train, of real tickets of active categories."""
        return self.current().filter(source__in=Label.training_sources(), ticket__is_demo=False, category__active=True)


class Label(models.Model):
    """What was right for a ticket, by whom, since when. A correction ends a label and never erases it."""

    class Source(models.TextChoices):
        IMPORT = "import"
        AGENT = "agent"
        API = "api", "API"
        REVIEWER = "reviewer"

    CONFIRMED = (Source.IMPORT, Source.AGENT, Source.REVIEWER)  # a person stands behind these

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="labels")
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="labels")
    source = models.CharField(max_length=10, choices=Source.choices)
    by = models.ForeignKey("classifier.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    key = models.ForeignKey(
        "classifier.ApiKey", to_field="prefix", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = LabelQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=["ticket"], condition=Q(ended_at=None), name="label_one_current_per_ticket"),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("created_at")), name="label_ends_after_it_began"
            ),
        ]
        indexes = [models.Index(fields=["by", "created_at"], name="label_by_person")]  # how many of today are mine

    def __str__(self) -> str:
        return f"{self.category} for ticket {self.ticket_id}"

    @classmethod
    def training_sources(cls) -> tuple[str, ...]:
        """The sources whose labels train: those that a person stands behind and, where a setting says so, the API."""
        return (*cls.CONFIRMED, cls.Source.API) if settings.TRAIN_ON_API_LABELS else cls.CONFIRMED


class Prediction(models.Model):
    """What a version answered for a ticket. Written in one statement by storing.py; never changed."""

    class Decision(models.TextChoices):
        """AUTO: sure enough to be acted on. REVIEW: a person should look, and `reason` says why."""

        AUTO = "auto"
        REVIEW = "review"

    class Reason(models.TextChoices):
        BELOW_THRESHOLD = "below_threshold"
        AMBIGUOUS = "ambiguous"
        UNKNOWN_WORDS = "unknown_words"
        CATEGORY_RETIRED = "category_retired"

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="predictions")
    version = models.ForeignKey(  # its index is the one below
        "classifier.ModelVersion", on_delete=models.PROTECT, related_name="predictions", db_index=False
    )
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="predictions")
    request = models.ForeignKey(
        "classifier.ApiRequest", on_delete=models.SET_NULL, null=True, blank=True, related_name="predictions"
    )
    confidence = models.FloatField()
    n_words = models.IntegerField(help_text="Words of the text, for drift.")
    unknown_share = models.FloatField(help_text="Share of the words that the version has never seen, 0 to 1.")
    decision = models.CharField(max_length=6, choices=Decision.choices, default=Decision.AUTO)
    reason = models.CharField(max_length=20, choices=Reason.choices, blank=True, help_text="Why it needs a review.")
    is_demo = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=Q(confidence__gte=0, confidence__lte=1), name="prediction_confidence_is_a_probability"
            ),
            models.CheckConstraint(
                condition=Q(decision="auto", reason="") | (Q(decision="review") & ~Q(reason="")),
                name="prediction_review_has_a_reason",
            ),
        ]
        # A version's newest predictions, which a drift snapshot reads, among a million of older ones.
        indexes = [models.Index(fields=["version", "-id"], name="prediction_by_version")]

    def __str__(self) -> str:
        return f"Prediction {self.pk}"
