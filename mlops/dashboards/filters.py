"""What a page is asked to show, from its query string: the range of time, category, status, version, sample data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from classifier.models import Category, Grain, ModelVersion
from classifier.wording import local

MOST_POINTS = 120  # of a chart over time: each is 6 pixels wide on a desk and 2 on a phone
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LONGEST_NUMBER = 9  # digits; a longer one is no version's, and no database takes it


@dataclass(frozen=True)
class Range:
    """A range of time that ends now: its name in the query string, in words, how it is counted and drawn."""

    name: str
    words: str
    span: timedelta | None  # None: since the first row
    grain: Grain
    step: timedelta


RANGES = {
    each.name: each
    for each in (
        Range("1h", "1 hour", HOUR, Grain.MINUTE, MINUTE),
        Range("6h", "6 hours", 6 * HOUR, Grain.MINUTE, 5 * MINUTE),
        Range("24h", "24 hours", DAY, Grain.MINUTE, 15 * MINUTE),
        Range("7d", "7 days", 7 * DAY, Grain.HOUR, 2 * HOUR),
        Range("30d", "30 days", 30 * DAY, Grain.HOUR, 6 * HOUR),
        Range("all", "all time", None, Grain.DAY, DAY),
    )
}
STATUSES = {"ok": "answered", "4xx": "refused (4xx)", "5xx": "failed (5xx)"}


@dataclass(frozen=True)
class Filters:
    """What to show. complaints: a sentence for each part of the query string that says nothing we know."""

    range: Range
    until: datetime
    category: Category | None = None
    status: str = ""
    version: ModelVersion | None = None
    words: str = ""
    is_demo: bool = False
    complaints: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def since(self) -> datetime:
        """Where the range begins, at the start of a step; for all time, the beginning of time."""
        if self.range.span is None:
            return datetime(1970, 1, 1, tzinfo=UTC)
        return down_to(self.until - self.range.span, MINUTE)

    @property
    def real_address(self) -> str:
        """The query string of the same page without sample rows."""
        return self.address(demo="")

    def address(self, **other: str) -> str:
        """The query string of the same page with something else; an empty value takes a part away."""
        asked = {name: value for name, value in {**self.given, **other}.items() if value}
        return f"?{urlencode(asked)}" if asked else "?"


def read(
    query: Mapping[str, str], *, now: datetime, default: str = "24h", offers: Sequence[str] = ("range", "demo")
) -> Filters:
    """The filters that a page offers, as its query string sets them; what it cannot mean is told and left out."""
    given = {name: query[name].strip() for name in (*offers, "page") if query.get(name, "").strip()}
    complaints: list[str] = []
    name = given.get("range", default)
    if name not in RANGES:
        complaints.append(_unknown("range", name, f"one of {', '.join(RANGES)}", f"the last {RANGES[default].words}"))
    status = given.get("status", "")
    if status and status not in STATUSES:
        complaints.append(_unknown("status", status, f"one of {', '.join(STATUSES)}", "every status"))
    category = _category(given.get("category", ""), complaints)
    version = _version(given.get("version", ""), complaints)
    return Filters(
        range=RANGES.get(name, RANGES[default]),
        until=now,
        category=category,
        status=status if status in STATUSES else "",
        version=version,
        words=given.get("words", "").replace("\0", " ")[:200],
        is_demo=given.get("demo") == "1",
        complaints=tuple(complaints),
        given={name: value.replace("\0", "") for name, value in given.items()},
    )


def _unknown(part: str, found: str, wanted: str, shown: str) -> str:
    return f"The {part} must be {wanted}; the address says “{found[:40]}”. Shown is {shown}."


def _category(slug: str, complaints: list[str]) -> Category | None:
    if not slug:
        return None
    found = Category.objects.filter(slug=slug).first() if "\0" not in slug else None
    if found is None:
        complaints.append(_unknown("category", slug, "the slug of a category", "every category"))
    return found


def _version(number: str, complaints: list[str]) -> ModelVersion | None:
    if not number:
        return None
    is_number = number.isdecimal() and number.isascii() and len(number) <= LONGEST_NUMBER
    found = ModelVersion.objects.light().filter(number=int(number)).first() if is_number else None
    if found is None:
        complaints.append(_unknown("version", number, "the number of a version", "every version"))
    return found


# --- Steps of time --------------------------------------------------------------------------------
def down_to(moment: datetime, step: timedelta) -> datetime:
    """The start of the step that a moment lies in; steps are counted from 1970, UTC."""
    beginning = datetime(1970, 1, 1, tzinfo=UTC)
    return beginning + (moment - beginning) // step * step


@dataclass(frozen=True)
class Steps:
    """The equal steps of a chart over time: where each begins, and how long one is."""

    starts: tuple[datetime, ...]
    step: timedelta

    @property
    def labels(self) -> list[str]:
        """Each start as people read it: the hour within a day, the day beyond."""
        form = "%H:%M" if self.step < HOUR else "%b %-d, %H:%M" if self.step < DAY else "%Y-%m-%d"
        return [f"{local(start):{form}}" for start in self.starts]

    def place(self, moment: datetime) -> int:
        """The index of the step that a moment lies in; it may lie outside of all of them."""
        return (moment - self.starts[0]) // self.step


def steps(since: datetime, until: datetime, step: timedelta) -> Steps:
    """The steps from the one that `since` lies in to the one of `until`; made longer while there are too many."""
    while (until - since) / step > MOST_POINTS:
        step *= 2
    first = down_to(since, step)
    return Steps(tuple(first + n * step for n in range((until - first) // step + 1)), step)
