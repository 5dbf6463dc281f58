"""The inference log: every prediction with its ticket, its call and what is right by now, one row at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from django.db.models import Count, FilteredRelation, Max, Q, QuerySet

from classifier.models import Prediction

PAGE = 2000  # rows read at once: at 10,000 characters each 20 to 80 MB, and no more is ever held
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
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is computed by a spreadsheet
Row = dict[str, Any]


@dataclass(frozen=True)
class Log:
    """The predictions of a span of time, those that were there when it was asked for."""

    predictions: QuerySet[Prediction]
    newest: int
    n_rows: int

    def rows(self) -> Iterator[Row]:
        """The rows in the order they were answered, in constant memory: a query for each page, whatever its size."""
        last = 0
        names = list(COLUMNS)
        wanted = self.predictions.annotate(
            current=FilteredRelation("ticket__labels", condition=Q(ticket__labels__ended_at=None))
        ).order_by("pk")
        while last < self.newest:
            page = list(wanted.filter(pk__gt=last, pk__lte=self.newest).values_list(*COLUMNS.values())[:PAGE])
            for values in page:
                row = dict(zip(names, values, strict=True))
                row["timestamp"] = (
                    f"{row['timestamp'].astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
                )
                row["reason"] = row["reason"] or None
                yield row
            last = page[-1][names.index("prediction_id")] if len(page) == PAGE else self.newest


def log(*, since: datetime | None = None, until: datetime | None = None, include_demo: bool = False) -> Log:
    """The log of predictions from since on and before until; without demo rows unless they are asked for."""
    predictions = Prediction.objects.all() if include_demo else Prediction.objects.filter(is_demo=False)
    if since is not None:
        predictions = predictions.filter(created_at__gte=since)
    if until is not None:
        predictions = predictions.filter(created_at__lt=until)
    found = predictions.aggregate(newest=Max("pk"), n_rows=Count("pk"))
    return Log(predictions, newest=found["newest"] or 0, n_rows=found["n_rows"])


def write_jsonl(rows: Iterable[Mapping[str, Any]], file: TextIO) -> None:
    """Writes one JSON object a line."""
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(rows: Iterable[Mapping[str, Any]], file: TextIO, *, for_spreadsheet: bool = False) -> None:
    """Writes CSV with the names of the columns, line ends CR LF, nothing for null.

    for_spreadsheet: a quotation mark goes before what a spreadsheet would take for a formula. Customers write these
    texts, and a formula can send away what stands beside it.
    """
    writer = csv.DictWriter(file, list(COLUMNS))
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _quoted(value) for name, value in row.items()} if for_spreadsheet else row)


def _quoted(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
