"""`manage.py create_api_key`: a key for a client, shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from classifier.management.base import BadUsage, TicketclfCommand
from classifier.models import ApiKey, Scope

MAX_NAME = 50  # characters, the width of the column
MEANINGS = {
    Scope.PREDICT: "ask for answers",
    Scope.LABEL: "say what was right",
    Scope.READ: "read tickets, runs and figures",
    Scope.RUN: "start trainings",
    Scope.PROMOTE: "put versions into production",
    Scope.METRICS: "scrape /metrics",
}


class Command(TicketclfCommand):
    help = (
        "Makes an API key and prints it, alone, on the last line. Only its hash is kept, so it is shown this once; "
        "send it as the header `Authorization: Api-Key KEY`. Scopes: "
        + ", ".join(f"{scope} ({meaning})" for scope, meaning in MEANINGS.items())
        + "."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="Who uses it, such as `helpdesk`; shown in the admin.")
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            choices=Scope.values,
            metavar="SCOPE",
            dest="scopes",
            help=f"What it may do; give it again for more. One of: {', '.join(Scope.values)}.",
        )
        parser.add_argument("--expires", type=int, metavar="DAYS", help="Days until it ends; without it, never.")

    def handle(self, *, name: str, scopes: list[str], expires: int | None, **_options: Any) -> None:
        name = name.strip()
        if not 0 < len(name) <= MAX_NAME:
            raise BadUsage(f"The name must have 1 to {MAX_NAME} characters; it has {len(name)}.")
        if expires is not None and not 0 < expires <= 36_500:
            raise BadUsage(f"--expires must be 1 to 36500 days; it is {expires}.")
        ends = None if expires is None else timezone.now() + timedelta(days=expires)
        scopes = sorted(set(scopes))
        row, key = ApiKey.objects.create_key(name=name, scopes=scopes, expiry_date=ends)
        self.say(
            f"API key {row.prefix} for {name}: {', '.join(scopes)}; "
            f"{f'ends {ends:%Y-%m-%d %H:%M} UTC' if ends else 'never ends'}. It is shown only this once:",
            key,
        )
        self.print_json(
            {
                "key": key,
                "prefix": row.prefix,
                "name": name,
                "scopes": scopes,
                "expires_at": ends.isoformat() if ends else None,
            }
        )
