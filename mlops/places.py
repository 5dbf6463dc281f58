"""The pages by name: what each is called, its symbol, who may open it; the pages' frame and the admin list them."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

from classifier.models import Scope, User

READ, PREDICT, LABEL = (f"classifier.scope_{scope}" for scope in (Scope.READ, Scope.PREDICT, Scope.LABEL))
PROMOTE, RUN = (f"classifier.scope_{scope}" for scope in (Scope.PROMOTE, Scope.RUN))
IMPORT, EXPORT = "classifier.import_tickets", "classifier.export_rows"


@dataclass(frozen=True)
class Place:
    """A page: the name of its address, its title, its Material symbol, what it takes, and a line on what is there."""

    name: str
    title: str
    symbol: str
    permission: str
    line: str

    @property
    def address(self) -> str:
        return reverse(self.name)

    def is_open_to(self, user: User | AnonymousUser) -> bool:
        return user.has_perm(self.permission)


GROUPS = {
    "Watch": (
        Place("overview", "Overview", "space_dashboard", READ, "Whether all is well, at a glance."),
        Place("quality", "Model quality", "verified", READ, "How right it is, and where it errs."),
        Place("monitoring", "Monitoring", "monitoring", READ, "How many ask, how fast they are answered, what fails."),
        Place("drift", "Drift", "trending_up", READ, "Whether recent tickets are still like those it learned from."),
    ),
    "Work": (
        Place("try", "Try it", "edit_note", PREDICT, "Paste a ticket; see what it is taken for."),
        Place("queue", "Label queue", "checklist", LABEL, "Tickets that a person should look at."),
        Place("imports", "Import", "upload_file", IMPORT, "Bring in labelled tickets from a file."),
        Place("exports", "Export", "download", EXPORT, "Take tickets and predictions away as files."),
    ),
    "Read": (
        Place("runbook", "Runbook", "menu_book", READ, "What to do when something goes wrong."),
        Place("concepts", "Concepts", "school", READ, "What the words mean that are used here."),
    ),
}
