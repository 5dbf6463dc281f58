"""Every environment variable the program reads: its name, its form, its default and what it is for.

The settings read them from here; .env.example and the README's table are this list written out (a test compares).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


class BadVariable(ImproperlyConfigured):
    """An environment variable is missing or malformed; the message names it and the mend."""


def text(value: str) -> str:
    if not value.strip():
        raise ValueError("some text")
    return value.strip()


def switch(value: str) -> bool:
    if value.strip().lower() in TRUE:
        return True
    if value.strip().lower() in FALSE:
        return False
    raise ValueError("true or false")


def words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def origins(value: str) -> list[str]:
    found = words(value)
    for origin in found:
        if urlsplit(origin).scheme not in {"http", "https"} or not urlsplit(origin).netloc:
            raise ValueError("origins with their scheme, such as https://tickets.example.com, separated by commas")
    return found


def whole(low: int, high: int) -> Callable[[str], int]:
    def cast(value: str) -> int:
        if not value.strip().isdecimal() or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return cast


def number(low: float, high: float) -> Callable[[str], float]:
    def cast(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = float("nan")
        if not low <= found <= high:
            raise ValueError(f"a number from {low} to {high}")
        return found

    return cast


def one_of(*choices: str) -> Callable[[str], str]:
    def cast(value: str) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return value

    return cast


def time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("a time zone such as UTC or Europe/Berlin")
    return ZoneInfo(value).key


def address(*schemes: str, form: str) -> Callable[[str], str]:
    """A URL with one of the schemes; `form` is the example that the error shows."""

    def cast(value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.scheme not in schemes or not (parts.netloc or parts.path):
            raise ValueError(f"an address such as {form}")
        try:
            _ = parts.port  # urlsplit only checks the port when it is asked for
        except ValueError:
            raise ValueError(f"an address such as {form}, with a port from 1 to 65535") from None
        return value.strip()

    return cast


def folder(value: str) -> Path:
    return Path(text(value)).expanduser().absolute()


@dataclass(frozen=True)
class Variable:
    """One environment variable. `shown` is the default as .env.example and the README write it."""

    name: str
    cast: Callable[[str], Any]
    default: str | None
    meaning: str
    shown: str = ""


POSTGRES = "postgres://user:password@host:5432/ticketclf"
VARIABLES: tuple[Variable, ...] = (
    Variable("TICKETCLF_VAR", folder, None, "Folder for everything the program writes", "var"),
    Variable(
        "DATABASE_URL",
        address("postgres", "postgresql", "sqlite", form=POSTGRES),
        None,
        f"Database, `{POSTGRES}`; unset: SQLite in the var folder",
    ),
    Variable(
        "REDIS_URL",
        address("redis", "rediss", form="redis://:password@host:6379/0"),
        None,
        "Broker, `redis://:password@host:6379/0`; unset: `manage.py up` starts an embedded Valkey",
    ),
    Variable(
        "MLFLOW_TRACKING_URI",
        address(
            "http",
            "https",
            "sqlite",
            "postgresql",
            "postgresql+psycopg",
            form="http://host:5000 or postgresql://user:password@host/mlflow",
        ),
        None,
        "MLflow server or database; unset: SQLite in the var folder",
    ),
    Variable("MLFLOW_EXPERIMENT_NAME", text, "support-tickets", "MLflow experiment that the runs go to"),
    Variable("MODEL_NAME", text, "support_ticket_classifier", "Name of the registered model in MLflow"),
    Variable("API_HOST", text, "127.0.0.1", "Address that `manage.py up` listens on"),
    Variable("API_PORT", whole(1, 65535), "8000", "Port that `manage.py up` listens on"),
    Variable(
        "WEB_PROCESSES", whole(1, 64), "1", "Web processes; with more than one, their counters add up at /metrics"
    ),
    Variable("WEB_THREADS", whole(1, 64), "8", "Threads of each web process"),
    Variable(
        "WORKER_PROCESSES", whole(2, 64), "2", "Processes of the Celery worker: one may train while another rings"
    ),
    Variable(
        "SECRET_KEY",
        text,
        None,
        "Signs sessions; at least 50 characters. Unset without DATABASE_URL: made once, kept in the var folder",
    ),
    Variable("ALLOWED_HOSTS", words, "localhost,127.0.0.1,[::1]", "Host names that are answered, separated by commas"),
    Variable("CSRF_TRUSTED_ORIGINS", origins, "", "Origins of the pages behind a proxy, `https://tickets.example.com`"),
    Variable("HTTPS", switch, "false", "Pages are reached by HTTPS only: secure cookies, redirect, HSTS"),
    Variable(
        "BEHIND_PROXY",
        switch,
        "false",
        "Trust what the proxy in front says: X-Forwarded-Proto, and of X-Forwarded-For the last address",
    ),
    Variable(
        "SIGN_IN_FAILURES",
        whole(1, 100),
        "5",
        "Failures to sign in, of one user name from one address, that lock it out",
    ),
    Variable("SIGN_IN_LOCKOUT_MINUTES", whole(1, 1440), "15", "Minutes that this lock-out lasts"),
    Variable("DEBUG", switch, "false", "Django's debug pages; never in production"),
    Variable("LOG_LEVEL", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "Least level that is logged"),
    Variable("LOG_FORMAT", one_of("console", "json"), "console", "How log lines are written"),
    Variable("DISPLAY_TIME_ZONE", time_zone, "UTC", "Time zone of the pages; stored times are UTC"),
    Variable("RECIPE", one_of("word_char", "original"), "word_char", "Recipe that a training uses unless it is told"),
    Variable("SEED", whole(0, 2**31 - 1), "0", "Seed of splits and fits"),
    Variable(
        "IMBALANCE_RATIO",
        number(1, 1e6),
        "10",
        "Validation warns when the largest category is so many times the smallest",
    ),
    Variable("MIN_TICKETS_PER_CATEGORY", whole(2, 10000), "7", "Labelled tickets a category needs to enter a training"),
    Variable(
        "TRAIN_ON_API_LABELS",
        switch,
        "false",
        "Labels that came by an API key alone train, unconfirmed by a person, too",
    ),
    Variable(
        "TARGET_PRECISION",
        number(0.5, 0.999),
        "0.95",
        "Share of the automatic answers of a category that must be right; a category may have its own",
    ),
    Variable("AUTO_PROMOTE", switch, "true", "A retrained candidate that passes the gate goes to production by itself"),
    Variable(
        "GATE_MIN_MACRO_F1", number(0, 1), "0.6", "Least macro-F1 on the test tickets of a version to be promoted"
    ),
    # The gate against production. What chance alone does was measured on the shipped tickets: eight models of equal
    # worth, each trained on its own 80 % of the tickets, every one against every other on 424 test tickets.
    # 0: any gain will do, as the interval below guards against luck; a tie never passes.
    Variable("GATE_MIN_GAIN", number(0, 1), "0", "Macro-F1 that a candidate must gain over production, more than this"),
    # Equals differed by up to 0.017, so no less would let a small step forward pass. At 0 the gain must be beyond
    # chance, which takes 0.01 to 0.02 there.
    Variable(
        "GATE_MAX_LIKELY_LOSS",
        number(0, 1),
        "0.02",
        "How far below 0 the 95 % interval of that gain may reach; 0 demands a gain beyond chance",
    ),
    # Twice the worst that chance did to a category of 84 test tickets (0.048), which is four standard errors of them
    # (0.024, of the 5 % of tickets that two equals answer differently). Of a category with fewer than 60, what
    # chance takes is not held against the candidate.
    Variable(
        "GATE_MAX_RECALL_LOSS",
        number(0, 1),
        "0.1",
        "Recall that no category may lose more of; of one with fewer than 60 test tickets, beyond chance",
    ),
    # Twice the worst that chance did (0.027).
    Variable(
        "GATE_MAX_CALIBRATION_LOSS", number(0, 1), "0.05", "Calibration error that a candidate may add to production's"
    ),
    # Less often right than wrong, a category only takes tickets from the others.
    Variable("GATE_MIN_NEW_RECALL", number(0, 1), "0.5", "Least recall of a category that production does not know"),
    # The vocabulary grows with the tickets and the time hardly: from half of the shipped ones to all, 1.06 times.
    Variable(
        "GATE_MAX_LATENCY_RATIO", number(1, 100), "1.5", "How many times production's time a single answer may take"
    ),
    Variable("DRIFT_WINDOW", whole(50, 1000), "500", "Newest predictions that a drift snapshot compares"),
    Variable("DRIFT_WINDOW_HOURS", whole(1, 8760), "168", "How old a prediction may be to be among them"),
    # Of unchanged windows with ten bins, 84 % passed a PSI of 0.1 by chance at 50 predictions, 39 % at 100.
    Variable("DRIFT_MIN_PREDICTIONS", whole(20, 1000), "100", "Predictions below which a snapshot says `too_few`"),
    Variable("DRIFT_SNAPSHOT_MINUTES", whole(1, 10080), "60", "Minutes after which the next drift snapshot is due"),
    Variable(
        "DRIFT_SNAPSHOT_PREDICTIONS", whole(1, 100000), "200", "New predictions after which it is due before that"
    ),
    Variable(
        "RETRAIN_AUTOMATIC", switch, "true", "Retrainings begin by themselves: nightly, by labels, drift, quality"
    ),
    Variable("RETRAIN_NEW_LABELS", whole(1, 1000000), "200", "New confirmed labels that begin a retraining"),
    Variable(
        "RETRAIN_COOL_DOWN_HOURS",
        number(0, 8760),
        "6",
        "Hours after the end of a training in which none begins by itself",
    ),
    Variable("RETRAIN_MAX_PER_DAY", whole(1, 1440), "1", "Retrainings that may begin by themselves in 24 hours"),
    Variable(
        "TEXT_RETENTION_DAYS",
        whole(0, 36500),
        "365",
        "Days after which an unlabelled ticket's text is removed; 0: never",
    ),
    Variable("IMPORT_MAX_MEGABYTES", whole(1, 500), "20", "Largest file that can be uploaded for an import, in MB"),
    Variable("REQUEST_RETENTION_DAYS", whole(0, 36500), "90", "Days after which request rows are removed; 0: never"),
)
BY_NAME: Mapping[str, Variable] = {variable.name: variable for variable in VARIABLES}


def read(name: str) -> Any:
    """The variable's value in its own type, or None if it is unset and has no default.

    An empty value counts as unset. Raises BadVariable with the name, what was wanted, what was found and the mend.
    """
    variable = BY_NAME[name]
    found = os.environ.get(name, "")
    if not found.strip():
        return None if variable.default is None else variable.cast(variable.default)
    try:
        return variable.cast(found)
    except ValueError as error:
        # A value may hold a password (an address does), so it is not repeated.
        raise BadVariable(f"{name} must be {error}; what the environment holds is not. Correct or unset it.") from None
