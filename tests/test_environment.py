"""Every environment variable: what is refused, in which words, and that .env.example and the README list them all."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests import environment_docs
from ticketclf import environment
from ticketclf.environment import BY_NAME, VARIABLES, BadVariable

ROOT = Path(__file__).resolve().parent.parent
MARK = "hunter2"  # stands for a password in every malformed value: no message may repeat it
FREE_TEXT = {
    "TICKETCLF_VAR",
    "MLFLOW_EXPERIMENT_NAME",
    "MODEL_NAME",
    "API_HOST",
    "ALLOWED_HOSTS",
}  # any text will do; a var folder that cannot be written is in test_settings.py
MALFORMED: dict[str, list[str]] = {
    "DATABASE_URL": [MARK, f"mysql://u:{MARK}@h/d", f"postgres://u:{MARK}@h:99999/d", f"postgres://u:{MARK}@h:x/d"],
    "REDIS_URL": [MARK, f"http://:{MARK}@h", f"redis://:{MARK}@h:port/0", "redis://"],
    "MLFLOW_TRACKING_URI": [MARK, f"ftp://{MARK}@host", f"postgres://u:{MARK}@h/mlflow", f"http://{MARK}:70000"],
    "API_PORT": [MARK, "0", "65536", "-1", "8000.5", "80 80"],
    "WEB_THREADS": [MARK, "0", "65"],
    "WORKER_PROCESSES": [MARK, "0", "65", "1"],
    "SECRET_KEY": [MARK, "ab" * 40],
    "CSRF_TRUSTED_ORIGINS": [MARK, f"{MARK}.example.com", f"https://tickets.example.com,ftp://{MARK}", "https://"],
    "HTTPS": [MARK, "maybe", "2"],
    "BEHIND_PROXY": [MARK],
    "SIGN_IN_FAILURES": [MARK, "0", "101"],
    "SIGN_IN_LOCKOUT_MINUTES": [MARK, "0", "1.5"],
    "DEBUG": [MARK],
    "LOG_LEVEL": [MARK, "info", "TRACE"],
    "LOG_FORMAT": [MARK, "xml"],
    "DISPLAY_TIME_ZONE": [MARK, "Mars/Olympus", "../../etc/passwd"],
    "RECIPE": [MARK, "WORD_CHAR"],
    "SEED": [MARK, "-1", "2147483648", "1e3"],
    "IMBALANCE_RATIO": [MARK, "0.5", "nan", "inf"],
    "MIN_TICKETS_PER_CATEGORY": [MARK, "1"],
    "TRAIN_ON_API_LABELS": [MARK],
    "TARGET_PRECISION": [MARK, "1", "0.4"],
    "AUTO_PROMOTE": [MARK],
    "GATE_MIN_MACRO_F1": [MARK, "1.1", "-0.1", "nan"],
    "GATE_MIN_GAIN": [MARK, "2", "-0.01"],
    "GATE_MAX_LIKELY_LOSS": [MARK, "-0.1", "2"],
    "GATE_MAX_RECALL_LOSS": [MARK, "-0.1", "2"],
    "GATE_MAX_CALIBRATION_LOSS": [MARK, "-0.1", "nan"],
    "GATE_MIN_NEW_RECALL": [MARK, "50"],
    "GATE_MAX_LATENCY_RATIO": [MARK, "0.5", "inf"],
    "WEB_PROCESSES": [MARK, "0", "65"],
    "DRIFT_WINDOW": [MARK, "49", "1001"],
    "DRIFT_WINDOW_HOURS": [MARK, "0", "-1"],
    "DRIFT_MIN_PREDICTIONS": [MARK, "19", "1001"],
    "DRIFT_SNAPSHOT_MINUTES": [MARK, "0", "1.5"],
    "DRIFT_SNAPSHOT_PREDICTIONS": [MARK, "0"],
    "RETRAIN_AUTOMATIC": [MARK, "2"],
    "RETRAIN_NEW_LABELS": [MARK, "0"],
    "RETRAIN_COOL_DOWN_HOURS": [MARK, "-1", "nan"],
    "RETRAIN_MAX_PER_DAY": [MARK, "0"],
    "TEXT_RETENTION_DAYS": [MARK, "-1", "1.5"],
    "REQUEST_RETENTION_DAYS": [MARK, "-1"],
    "IMPORT_MAX_MEGABYTES": [MARK, "0", "501"],
}
CASES = [(name, value) for name, values in MALFORMED.items() for value in values]


@pytest.fixture(autouse=True)
def only_what_the_test_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in BY_NAME:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TICKETCLF_VAR", str(tmp_path / "var"))


def start_settings() -> dict[str, Any]:
    """What a start reads: the settings module run anew, beside the one that the suite uses."""
    return runpy.run_path(str(ROOT / "ticketclf" / "settings.py"))


@pytest.mark.parametrize(("name", "value"), CASES)
def test_malformed_variable_stops_the_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "a long enough and quite random secret key 0123456789")
    monkeypatch.setenv(name, value)

    with pytest.raises(BadVariable) as caught:
        start_settings()

    message = str(caught.value)
    assert message.startswith(name), "the message begins with the variable's name"
    assert any(mend in message for mend in ("Correct or unset it", "Write ", "Make one with")), "and says the mend"
    assert MARK not in message
    assert "\n" not in message
    assert caught.value.__cause__ is None, "the cause would show the value in a traceback"


def test_malformed_values_are_tried_for_every_variable() -> None:
    assert set(MALFORMED) | FREE_TEXT == set(BY_NAME)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_default_is_well_formed(variable: environment.Variable) -> None:
    value = environment.read(variable.name) if variable.name != "TICKETCLF_VAR" else Path()

    assert (value is None) == (variable.default is None and variable.name != "TICKETCLF_VAR")


@pytest.mark.parametrize("blank", ["", "  "])
def test_empty_variable_counts_as_unset(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", blank)

    assert environment.read("API_PORT") == 8000


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("API_PORT", " 9000 ", 9000),
        ("HTTPS", "YES", True),
        ("HTTPS", "off", False),
        ("ALLOWED_HOSTS", "a.example.com, b.example.com,", ["a.example.com", "b.example.com"]),
        ("CSRF_TRUSTED_ORIGINS", "https://a.example.com", ["https://a.example.com"]),
        ("GATE_MIN_GAIN", "0.01", 0.01),
        ("DISPLAY_TIME_ZONE", "Asia/Kolkata", "Asia/Kolkata"),
        ("DATABASE_URL", " postgres://u:p@h:5432/d ", "postgres://u:p@h:5432/d"),
        ("DATABASE_URL", "sqlite:////tmp/d.sqlite3", "sqlite:////tmp/d.sqlite3"),
        ("MLFLOW_TRACKING_URI", "postgresql+psycopg://u:p@h/mlflow", "postgresql+psycopg://u:p@h/mlflow"),
        ("MODEL_NAME", " tickets ", "tickets"),
        ("TICKETCLF_VAR", "/tmp/a", Path("/tmp/a")),  # noqa: S108 -- only read, not written
    ],
)
def test_value_is_read_in_its_own_type(name: str, given: str, wanted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, given)

    assert environment.read(name) == wanted


def test_variable_that_is_not_listed_cannot_be_read() -> None:
    with pytest.raises(KeyError):
        environment.read("NOT_A_VARIABLE")


def test_names_are_unique_and_every_meaning_is_said() -> None:
    assert len(BY_NAME) == len(VARIABLES)
    assert all(variable.meaning and "\n" not in variable.meaning for variable in VARIABLES)


def test_example_file_lists_every_variable() -> None:
    written = (ROOT / ".env.example").read_text(encoding="utf-8")

    assert written == environment_docs.example(), "run: python -m tests.environment_docs --write"


def test_readme_lists_every_variable() -> None:
    written = (ROOT / "README.md").read_text(encoding="utf-8")

    assert environment_docs.with_table(written) == written, "run: python -m tests.environment_docs --write"


def test_example_file_is_what_the_defaults_are(monkeypatch: pytest.MonkeyPatch) -> None:
    names = environment.BY_NAME.keys() - {"TICKETCLF_VAR"}
    defaults = {name: environment.read(name) for name in names}

    for line in environment_docs.example().splitlines():
        if not line.startswith("#") and "=" in line:
            monkeypatch.setenv(*line.split("=", 1))

    assert {name: environment.read(name) for name in names} == defaults


def test_readme_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="settings: begin"):
        environment_docs.with_table("# ticketclf\n")
