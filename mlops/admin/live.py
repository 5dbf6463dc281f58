"""What a page of work shares that is still being done: it brings itself up to date, and tells its steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest
from django.utils import timezone

from classifier.admin.base import CarefulAdmin
from classifier.admin.cells import figure, when
from classifier.admin.sheets import Table


class LiveAdmin(CarefulAdmin):
    """A page that fetches itself every few seconds while its row is at work: static/js/live.js."""

    at_work: ClassVar[Sequence[str]] = ()  # the row's states in which more is to come
    change_form_outer_before_template = "admin/live.html"

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(js=["js/live.js"])

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *given: Any, **named: Any) -> Any:
        row = context.get("original")
        context["is_at_work"] = row is not None and row.status in self.at_work
        context["as_of"] = when(timezone.now(), to_the_second=True)
        return super().render_change_form(request, context, *given, **named)


def steps_taken(steps: Sequence[dict[str, Any]], *, ended_at: datetime | None, now: datetime) -> Table:
    """Each step with when it began and how long it took; the last one lasts until the end, or until now."""
    begins = [datetime.fromisoformat(step["at"]) for step in steps]
    ends = [*begins[1:], ended_at or now]
    return Table(
        title="Steps",
        headers=("Step", "Began", "Seconds"),
        rows=[
            (step["words"], when(begin, to_the_second=True), figure((end - begin).total_seconds(), 1))
            for step, begin, end in zip(steps, begins, ends, strict=False)
        ],
        empty="No step is on record.",
        numbers=frozenset({2}),
    )
