"""Predictions (the inference log) and tickets as CSV and JSONL: one row at a time, in constant memory, safe to open."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TextIO, TypeVar

from django.db.models import Case, Count, F, FilteredRelation, Max, Model, Q, QuerySet, When

from classifier.models import Prediction, Ticket

PAGE = 2000  # rows read at once: at 10,000 characters each 20 to 80 MB, and no more is ever held
CHUNK = 64_000  # characters of a stream that are sent at once
FORMATS = ("jsonl", "csv")
# Names in the log, after those of the system that this one re-creates, and where each comes from.
COLUMNS = {
    "timestamp": "created_at",
    "prediction_id": "pk",
    "ticket_id": "ticket_id",
    "external_id": "ticket__external_id",
    "text": "ticket__text",
    "predicted_label": "category__slug",
    "confidence": "confidence",
    "decision": "decision",
    "reason": "reason",
    "model_version": "version__number",
    "latency_ms": "request__latency_ms",
    "status_code": "request__status",
    "label": "current__category__slug",
    "is_demo": "is_demo",
}
TICKET_COLUMNS = {
    "id": "pk",
    "external_id": "external_id",
    "text": "kept_text",
    "label": "current__category__slug",
    "label_source": "current__source",
    "split": "split",
    "created_at": "created_at",
    "is_demo": "is_demo",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is computed by a spreadsheet
Row = dict[str, Any]
M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Export(Generic[M]):
    """Rows of one table, those that were there when it was asked for, by rising id. columns: name to its source."""

    chosen: QuerySet[M]
    columns: Mapping[str, str]
    newest: int
    n_rows: int

    def rows(self) -> Iterator[Row]:
        """The rows in constant memory: a query for each page, whatever its size.

        By pages and not by a cursor of the server's: that would hold a transaction open for as long as a slow reader
        takes, and on SQLite keep its log from being cut.
        """
        last = 0
        wanted = self.chosen.order_by("pk")
        while last < self.newest:
            page = list(
                wanted.filter(pk__gt=last, pk__lte=self.newest).values_list("pk", *self.columns.values())[:PAGE]
            )
            for _, *values in page:
                yield {name: _plain(value) for name, value in zip(self.columns, values, strict=True)}
            last = page[-1][0] if len(page) == PAGE else self.newest


class Log(Export[Prediction]):
    """Predictions, each with its ticket, its call and what is right by now."""

    def __init__(self, predictions: QuerySet[Prediction], *, newest: int, n_rows: int) -> None:
        chosen = predictions.annotate(
            current=FilteredRelation("ticket__labels", condition=Q(ticket__labels__ended_at=None))
        )
        super().__init__(chosen, COLUMNS, newest, n_rows)


def log(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    include_demo: bool = False,
    category: str | None = None,
) -> Log:
    """The log of predictions from since on and before until; without demo rows unless they are asked for.

    category: the slug that was answered.
    """
    rows = _of_span(Prediction.objects.all(), since=since, until=until, include_demo=include_demo)
    if category is not None:
        rows = rows.filter(category__slug=category)
    return Log(rows, **_counted(rows))


def tickets(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    include_demo: bool = False,
    category: str | None = None,
    split: str | None = None,
    is_labelled: bool | None = None,
) -> Export[Ticket]:
    """Tickets with their current labels, by when they came; a text that was removed as too old is null.

    category: the slug of the label; split: of those that have one; is_labelled: None for both.
    """
    rows = _of_span(Ticket.objects.all(), since=since, until=until, include_demo=include_demo).annotate(
        current=FilteredRelation("labels", condition=Q(labels__ended_at=None)),
        kept_text=Case(When(text_removed_at=None, then=F("text"))),
    )
    if category is not None:
        rows = rows.filter(current__category__slug=category)
    if split is not None:
        rows = rows.filter(split=split)
    if is_labelled is not None:
        rows = rows.filter(current__isnull=not is_labelled)
    return Export(rows, TICKET_COLUMNS, **_counted(rows))


def _of_span(rows: QuerySet[M], *, since: datetime | None, until: datetime | None, include_demo: bool) -> QuerySet[M]:
    if not include_demo:
        rows = rows.filter(is_demo=False)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    return rows if until is None else rows.filter(created_at__lt=until)


def _counted(rows: QuerySet[Any]) -> dict[str, int]:
    found = rows.aggregate(newest=Max("pk"), n_rows=Count("pk"))
    return {"newest": found["newest"] or 0, "n_rows": found["n_rows"]}


def _plain(value: Any) -> Any:
    """A value in JSON types: moments in UTC, null for an empty string."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    return None if value == "" else value


# --- Written --------------------------------------------------------------------------------------
def write_jsonl(rows: Iterable[Mapping[str, Any]], file: TextIO) -> None:
    """Writes one JSON object a line."""
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(
    rows: Iterable[Mapping[str, Any]],
    file: TextIO,
    *,
    columns: Iterable[str] = COLUMNS,
    for_spreadsheet: bool = False,
    header: bool = True,
) -> None:
    """Writes CSV with the names of the columns, line ends CR LF, nothing for null.

    for_spreadsheet: a quotation mark goes before what a spreadsheet would take for a formula. Customers write these
    texts, and a formula can send away what stands beside it.
    """
    writer = csv.DictWriter(file, list(columns))
    if header:
        writer.writeheader()
    for row in rows:
        writer.writerow({name: quoted(value) for name, value in row.items()} if for_spreadsheet else row)


def quoted(value: Any) -> Any:
    """A cell that no spreadsheet computes.

    >>> quoted("=1+1"), quoted(-1)
    ("'=1+1", -1)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def stream(export: Export[Any], *, form: str) -> Iterator[bytes]:
    """The export in pieces, UTF-8, for an answer that is sent while it is read; CSV is for spreadsheets."""
    buffer = io.StringIO(newline="")
    if form == "csv":
        buffer.write("\ufeff")  # without it Excel takes UTF-8 for something else; our own import takes it off
        write_csv((), buffer, columns=export.columns)
    for row in export.rows():
        if form == "csv":
            write_csv([row], buffer, columns=export.columns, for_spreadsheet=True, header=False)
        else:
            write_jsonl([row], buffer)
        if buffer.tell() >= CHUNK:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()
