"""Tests about the repository itself: the house rules of the style and the design that a program can check."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OWN = ("ticketclf", "classifier", "mlops")

MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 40
# Path (and name) to the reason why it may be longer.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[tuple[str, str], str] = {}
DIALECTS = {"classifier/storing.py", "classifier/rollups/reading.py", "classifier/searching.py"}  # design, decision 15
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}  # reading one can run code
NO_NAMES = {"utils.py", "helpers.py", "services.py", "common.py", "signals.py", "misc.py"}
NOT_IN_THE_CORE = {
    "django", "rest_framework", "rest_framework_api_key", "celery", "mlflow", "prometheus_client", "structlog",
    "psycopg", "redis", "logging", "time", "datetime", "sqlite3", "socket", "subprocess", "ticketclf", "mlops",
}  # fmt: skip
# May be imported when they are first needed: they cost a start 0.1 to 1.6 s.
HEAVY = {"mlflow", "sklearn", "numpy", "scipy", "matplotlib", "skops", "pandas", "celery"}
VERBS = (
    "classifier/inference.py", "classifier/labelling.py", "classifier/storing.py", "mlops/training.py",
    "mlops/evaluation.py", "mlops/promotion.py", "mlops/retraining.py", "mlops/tracking.py", "mlops/quickstart.py",
    "mlops/supervisor.py", "mlops/recording.py", "mlops/reconciling.py",
)  # fmt: skip
INDEX = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.org|deb\.debian\.org|--(extra-)?index-url|--trusted-host|--find-links"
)
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(root|work|home|Users)/")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!.{0,3}#\d)")


# --- What there is --------------------------------------------------------------------------------
@cache
def files() -> tuple[Path, ...]:
    """Every file of the repository, or about to be, but this one, which holds the patterns."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    return tuple(sorted(Path(name) for name in names - {"tests/test_house.py"}))


@cache
def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path), str(path))


def modules(*folders: str) -> list[Path]:
    """The Python files that are the program: no tests, no migrations."""
    return [
        path for path in files() if path.suffix == ".py" and path.parts[0] in folders and "migrations" not in path.parts
    ]


def program() -> list[Path]:
    return [*modules(*OWN, ".ci", "tools"), Path("manage.py")]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every module that a file imports, at its top or inside a function."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


def importing(paths: list[Path], packages: set[str]) -> list[str]:
    return [
        f"{path}:{line}: {name}" for path in paths for line, name in imports(path) if name.split(".")[0] in packages
    ]


def matching(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in paths
        for number, line in enumerate(text(path).splitlines(), 1)
        if pattern.search(line)
    ]


# --- Size and names -------------------------------------------------------------------------------
def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {str(path): len(text(path).splitlines()) for path in program()}
    long = {path: length for path, length in lengths.items() if length > MAX_FILE_LINES}

    assert set(long) == set(LONG_FILES), f"a long file wants two names: {long}"


def length_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; a docstring with its doctest is no reason to split."""
    last = function.end_lineno or function.lineno
    docstring = function.body[0] if ast.get_docstring(function) else None
    said = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return last - function.lineno + 1 - said


def test_no_function_is_longer_than_40_lines() -> None:
    long = {
        (str(path), node.name): length_without_docstring(node)
        for path in program()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and length_without_docstring(node) > MAX_FUNCTION_LINES
    }

    assert set(long) == set(LONG_FUNCTIONS), f"a long function wants two names: {long}"


def test_no_file_is_named_after_nothing() -> None:
    assert [str(path) for path in program() if path.name in NO_NAMES] == []


def test_every_module_says_what_lives_in_it() -> None:
    # An empty __init__.py holds nothing to tell of; a command says it in its help.
    silent = [path for path in program() if text(path).strip() and not ast.get_docstring(tree(path))]

    assert [str(path) for path in silent if "commands" not in path.parts] == []


def test_public_functions_of_the_verbs_have_docstrings() -> None:
    silent = [
        f"{path}:{node.lineno}: {node.name}"
        for path in VERBS
        for node in tree(Path(path)).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]

    assert silent == []


# --- Who may import what (the floors themselves are contracts of import-linter) -------------------
def test_nothing_reads_a_pickle() -> None:
    assert importing(program(), PICKLES) == []


def test_only_tracking_imports_mlflow() -> None:
    assert importing([path for path in program() if path != Path("mlops/tracking.py")], {"mlflow"}) == []


def test_the_core_is_mathematics() -> None:
    core = [path for path in modules("classifier") if path.parts[1] == "ml"]
    beyond = [
        f"{path}:{line}: {name}"
        for path in core
        for line, name in imports(path)
        if name.startswith("classifier") and name.split(".")[:2] != ["classifier", "ml"]
    ]

    assert core
    assert importing(core, NOT_IN_THE_CORE) + beyond == []
    assert [node for node in tree(Path("classifier/ml/__init__.py")).body if not isinstance(node, ast.Expr)] == []


def test_there_are_no_signals() -> None:
    signals = [
        f"{path}:{line}: {name}"
        for path in program()
        for line, name in imports(path)
        if name.startswith(("django.dispatch", "django.db.models.signals", "django.core.signals"))
    ]

    assert signals == []


def inner_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and package of the imports that stand inside functions."""
    for function in ast.walk(tree(path)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield node.lineno, node.names[0].name.split(".")[0]
                elif isinstance(node, ast.ImportFrom):
                    yield node.lineno, (node.module or "").split(".")[0]


def test_imports_inside_functions_spare_a_heavy_library_and_the_file_says_so() -> None:
    found = {path: list(inner_imports(path)) for path in program()}
    light = [f"{path}:{line}: {name}" for path in found for line, name in found[path] if name not in HEAVY.union(OWN)]
    silent = [
        str(path)
        for path, inner in found.items()
        if inner
        and "import" not in (ast.get_docstring(tree(path)) or "")
        and not any("#" in text(path).splitlines()[line - 1] for line, _name in inner)
    ]

    assert light + silent == []


def test_start_imports_neither_the_fitting_nor_the_tracking_library(tmp_path: Path) -> None:
    script = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'ticketclf.settings'\n"
        "import django; django.setup(); import ticketclf.wsgi, ticketclf.urls\n"
        "print(*sorted({'sklearn', 'mlflow', 'matplotlib', 'pandas', 'skops'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [], "they cost a start 3 s and 200 MB; import them where they are used"


# --- What stands in the files ---------------------------------------------------------------------
def test_dialects_stand_in_their_files() -> None:
    asking = {hit.split(":")[0] for hit in matching(re.compile(r"\.vendor\b"), modules(*OWN))}

    assert asking <= DIALECTS


def test_no_package_index_is_named() -> None:
    assert matching(INDEX, [path for path in files() if path.suffix != ".md"]) == []


def test_no_path_of_one_machine_is_named() -> None:
    assert matching(MACHINE_PATH, [path for path in files() if path.suffix not in {".csv", ".png"}]) == []


def test_nothing_unfinished_without_its_issue() -> None:
    assert matching(UNFINISHED, [path for path in files() if path.suffix not in {".csv", ".png"}]) == []


def test_pages_load_nothing_from_elsewhere() -> None:
    pages = [path for path in files() if path.parts[0] in {"templates", "static"}]

    assert matching(re.compile(r"""(src|href|url|import|@import)\s*[=(]?\s*["']?(https?:)?//"""), pages) == []


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-test.txt"])
def test_lock_pins_every_package_with_its_hash(lock: str) -> None:
    entries = [entry for entry in re.split(r"\n(?=[a-zA-Z])", text(Path(lock))) if re.match(r"[a-zA-Z]", entry)]

    assert entries
    assert [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_every_dependency_is_locked_and_says_why() -> None:
    project = tomllib.loads(text(Path("pyproject.toml")))
    lines = text(Path("pyproject.toml")).splitlines()
    for lock, wanted in {
        "requirements.txt": project["project"]["dependencies"],
        "requirements-test.txt": project["dependency-groups"]["test"],
    }.items():
        locked = set(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==", text(Path(lock)), re.MULTILINE))
        names = {re.match(r"[\w.-]+", requirement).group().lower() for requirement in wanted}  # type: ignore[union-attr]
        assert names <= locked, f"{lock} lacks {names - locked}"
    unsaid = [
        line
        for requirement in project["project"]["dependencies"]
        for line in lines
        if line.strip().startswith(f'"{requirement}"') and "#" not in line
    ]
    assert unsaid == []


def test_extras_that_packages_ask_for_are_locked_as_extras() -> None:
    """Otherwise pip finds them unpinned and refuses, but only on the day that a newer version is out."""
    locked: set[str] = set()
    for lock in ("requirements.txt", "requirements-test.txt"):
        locked |= set(re.findall(r"^([a-z0-9._-]+(?:\[[^]]*\])?)==", text(Path(lock)), re.MULTILINE))
    names = {name.split("[")[0] for name in locked}
    asked = {
        f"{canonicalize_name(wanted.name)}[{','.join(sorted(wanted.extras))}]"
        for name in names
        for wanted in requirements_of(name)
        if wanted.extras and (wanted.marker is None or wanted.marker.evaluate({"extra": ""}))
    }

    assert "coverage[toml]" in asked
    assert asked - locked == set()


def requirements_of(name: str) -> list[Requirement]:
    """What an installed package asks for; nothing of one that this system does not need."""
    try:
        return [Requirement(line) for line in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return []


# --- Commands -------------------------------------------------------------------------------------
OUR_COMMANDS = sorted((app, name) for name, app in get_commands().items() if app in OWN)


@pytest.mark.parametrize(("app", "name"), OUR_COMMANDS)
def test_command_and_each_of_its_options_has_help(app: str, name: str) -> None:
    command = load_command_class(app, name)
    parser = command.create_parser("manage.py", name)
    general = {action.dest for action in load_command_class("django.core", "check").create_parser("", "")._actions}

    silent = [action.dest for action in parser._actions if not action.help and action.dest not in general]

    assert command.help
    assert silent == []


def test_there_are_commands() -> None:
    assert {"import_tickets", "train", "quickstart", "up"} <= {name for _app, name in OUR_COMMANDS}


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
