"""What every command of ours shares: exit codes, `--json`, progress bars, errors in one line. No business rule here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn, TypeVar

from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, ProgrammingError
from tqdm import tqdm

T = TypeVar("T")

DATA_SAYS_NO = 1
BAD_USAGE = 2  # argparse's own code, so that an unknown option and a missing file look the same to a script


class Refused(Exception):
    """The data or the model says no: one line on standard error, exit code 1."""

    exit_code = DATA_SAYS_NO


class BadUsage(Exception):
    """The command cannot begin as it was called: one line on standard error, exit code 2."""

    exit_code = BAD_USAGE


class TicketclfCommand(BaseCommand):
    """A command with `--json` (one object on standard output and nothing else) and exit codes 0, 1 and 2.

    `handle` shows its result with `say` (people) and `print_json` (machines), and fails by raising Refused or BadUsage.
    """

    # `manage.py check` looks the whole project over; before each command it would load every page and ask the database.
    requires_system_checks = []
    has_json: ClassVar[bool] = True
    as_json = False
    printed = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.has_json:  # here and not in add_arguments, where every command would have to call its parent's
            parser.add_argument("--json", action="store_true", help="Print one JSON object on standard output.")
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        """Runs the command as from a shell: what is expected to go wrong ends in one line and an exit code."""
        try:
            super().run_from_argv(argv)
            self.stdout.flush()  # here, where a reader that went away is met in peace, and not at Python's end
        except (Refused, BadUsage) as error:
            self._fail(str(error), exit_code=error.exit_code)
        except (OperationalError, ProgrammingError) as error:
            if "--traceback" in argv:
                raise
            fact = (str(error).splitlines() or ["no reason given"])[0]
            self._fail(
                f"The database must answer and have its tables; it says: {fact}. Check DATABASE_URL, then run "
                "manage.py migrate (--traceback shows the place).",
                exit_code=BAD_USAGE,
            )
        except BrokenPipeError:  # `| head` has seen enough; what is left unsaid goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(141) from None  # 128 + SIGPIPE, as shells have it
        except KeyboardInterrupt:
            self._fail("Stopped.", exit_code=130)  # 128 + SIGINT, as shells have it

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.as_json = bool(options.get("json"))
        return super().execute(*args, **options)

    def say(self, *lines: str) -> None:
        """Writes lines for people on standard output; with `--json` nothing."""
        if not self.as_json:
            for line in lines:
                self.stdout.write(line)

    def print_json(self, result: Mapping[str, Any]) -> None:
        """Writes the one object of `--json`; without `--json` nothing. NaN is refused, as JSON has none."""
        if self.as_json:
            self.printed = True
            self.stdout.write(json.dumps(result, indent=2, allow_nan=False))

    def progress(self, iterable: Iterable[T], total: int | None = None, text: str = "") -> Iterator[T]:
        """The same items, with a bar on standard error if that is a terminal."""
        return iter(tqdm(iterable, total=total, desc=text, file=sys.stderr, disable=not sys.stderr.isatty()))

    def _fail(self, message: str, *, exit_code: int) -> NoReturn:
        self.stderr.write(f"Error: {message}")
        if not self.printed:  # a machine that asked for an object gets one, unless a report went before
            self.print_json({"error": message, "exit_code": exit_code})
        raise SystemExit(exit_code)
