"""Bad files through every command that takes one: refused in words, in bounded memory, and nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from classifier.models import Label, Ticket
from mlops.models import Dataset, TrainingRun
from tests.factories import make_categories, make_version
from tests.mlops.making import label_tickets, make_trained, rows_of
from tests.mlops.test_commands_mlops import Ended

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent
HEADER = b"text,label\n"
# name -> content; None: there is none.
UNREADABLE: dict[str, bytes | None] = {
    "empty.csv": b"",
    "header_only.csv": HEADER,
    "latin1.csv": HEADER + "wo ist mein Päckchen,shipping\n".encode("latin-1"),
    "utf16.csv": (HEADER + b"hello there,general\n").decode().encode("utf-16"),
    "nul_in_line_1.csv": b"text,\0label\nhello there,general\n",
    "unclosed.csv": HEADER + b'"I was charged twice,billing\nThe app crashes,technical\n',
    "long_line.csv": HEADER + b'"' + b"word " * 500_000 + b'",billing\n',
    "long_field.csv": HEADER + b'"' + b"word word\n" * 150_000 + b'",billing\n',
    "long_line.jsonl": b'{"text": "' + b"word " * 500_000 + b'", "label": "billing"}\n',
    "list.json": b'[\n{"text": "a text", "label": "billing"}\n]\n',
    "other_columns.csv": b"body,topic\na text,billing\n",
    "missing.csv": None,
}
# Files that can be read, and hold nothing to learn from or rows that cannot be used.
ROWS = {
    "nul.csv": HEADER + b"I was charged twice,billing\nbad \0 text,billing\n",
    "broken.jsonl": b'{"text": "I was charged twice", "label": "billing"}\n{"text": "App cra\n',
    "unknown_labels.csv": HEADER + b"hello there,weather\nanother one,biling\n",
}
POOR = {
    "one_category.csv": HEADER + b"".join(f"{text!r},billing\n".encode() for text in "abcdefghi"),
    "alike.csv": HEADER
    + b"".join(
        b"Where is parcel %07d of mine please,%s\n" % (number, (b"billing", b"shipping")[number % 2])
        for number in range(40)
    ),
}


def one_ticket() -> bytes:
    """Twenty different tickets of one category, and one of another."""
    texts = [*rows_of("billing", 40)]
    texts = [text for text in texts if '"' not in text][:20]
    return HEADER + "".join(f'"{text}",billing\n' for text in texts).encode() + b"The app crashes,technical\n"


def write(folder: Path, name: str, content: bytes | None) -> Path:
    if content is not None:
        (folder / name).write_bytes(content)
    return folder / name


@pytest.fixture
def home(settings: Any, tmp_path: Path) -> Path:
    settings.VAR = tmp_path / "var"
    settings.MODELS_DIR, settings.REPORTS_DIR = settings.VAR / "models", settings.VAR / "reports"
    make_categories()
    return tmp_path


def call(command: str, path: Path, *more: object) -> Ended:
    file = [path] if command == "import_tickets" else ["--data", path]
    return Ended(command, *file, *more)


def is_one_line(ended: Ended) -> bool:
    return ended.error.getvalue().count("\n") == 0


@pytest.mark.parametrize("command", ["import_tickets", "validate_data", "train", "evaluate"])
@pytest.mark.parametrize("name", UNREADABLE)
def test_file_that_cannot_be_read_is_refused_everywhere(home, command, name):
    if command == "evaluate":
        make_version(status="production")
    path = write(home, name, UNREADABLE[name])

    ended = call(command, path)

    assert ended.code == 2
    assert ended.error.getvalue().startswith(f"{path} must ")
    assert is_one_line(ended)
    assert not Ticket.objects.exists()
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize("command", ["import_tickets", "validate_data", "train", "evaluate"])
def test_folder_is_no_file(home, command):
    if command == "evaluate":
        make_version(status="production")

    ended = call(command, home)

    assert (ended.code, ended.error.getvalue()) == (
        2,
        f"{home} must be a file that can be read; it is a folder. Check the path.",
    )


@pytest.mark.parametrize("command", ["import_tickets", "validate_data", "train"])
@pytest.mark.parametrize("name", ROWS)
def test_file_with_bad_rows_is_refused_whole(home, command, name):
    ended = call(command, write(home, name, ROWS[name]))

    assert ended.code == 1
    assert is_one_line(ended) or command == "train"  # whose steps go there, too
    assert not Ticket.objects.exists()
    assert not Label.objects.exists()
    assert not Dataset.objects.exists()
    assert list(TrainingRun.objects.values_list("status", flat=True)) == (["rejected"] if command == "train" else [])


@pytest.mark.parametrize("command", ["validate_data", "train"])
@pytest.mark.parametrize("name", [*POOR, "one_ticket.csv"])
def test_file_to_learn_nothing_from_is_refused(home, command, name):
    content = POOR[name] if name in POOR else one_ticket()

    ended = call(command, write(home, name, content), "--json")

    found = ended.found if command == "validate_data" else ended.found["data_report"]
    assert ended.code == 1
    assert {"one_category", "too_much_alike"} & {row["code"] for row in found["findings"] if row["level"] == "error"}
    assert not Dataset.objects.exists()
    assert not (home / "var" / "models").exists()


def test_rejected_training_says_why_categories_were_left_out(home):
    ended = call("train", write(home, "one_ticket.csv", one_ticket()))

    words = ended.error.getvalue()
    assert "Training needs tickets of at least two categories; these are of 1 (billing)." in words
    assert "Category 'technical' needs 7 labelled tickets to enter a training; it has 1" in words
    assert "Category 'general'" not in words


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([f"label {number}" for number in range(3000)], "3,000 of 3,000 are others ('label 0', 'label 1', "),
        (["billing", *(f"label {number}" for number in range(101))], "101 of 102 are others"),
        (["weather"], "1 of 1 are others ('weather'). Correct them"),
    ],
)
def test_evaluation_on_labels_of_a_wrong_column_is_refused(home, labels, words):
    make_version(status="production")
    rows = "".join(f"text {number},{label}\n" for number, label in enumerate(labels))

    ended = call("evaluate", write(home, "wrong.csv", HEADER + rows.encode()), "--output", home / "out")

    assert ended.code == 1
    assert words in ended.error.getvalue()
    assert not (home / "out").exists()


@pytest.mark.parametrize("begin", [b'text,label\n"', b'text,label\n"word\n', b'{"text": "'])
def test_field_of_200_megabytes_is_refused_in_bounded_memory(tmp_path, begin):
    path = tmp_path / ("huge.jsonl" if begin.startswith(b"{") else "huge.csv")
    line = b"word " * 20 + b"\n" if begin.endswith(b"\n") else b"word " * 20
    with path.open("wb") as file:
        file.write(begin)
        for _ in range(200):
            file.write(line * 10_000)
    script = (
        "import os, resource, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'ticketclf.settings'\n"
        "import django; django.setup()\n"
        "from classifier.reading import UnreadableFile, read\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    list(read(sys.argv[1]))\n"
        "except UnreadableFile:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes, Linux kilobytes
    assert path.stat().st_size >= 200_000_000
    assert int(done.stdout) / unit < 20_000  # a line of 2 MB, its text, and a field of 1 MB: measured 3 to 6 MB


def test_the_last_good_version_goes_on_answering_after_bad_data(home):
    label_tickets()
    version = make_trained(status="production")
    before = Ended("predict", "I was double charged").out.getvalue()

    for name, content in ROWS.items():
        call("train", write(home, name, content))

    version.refresh_from_db()
    assert version.status == "production"
    assert Ended("predict", "I was double charged").out.getvalue() == before
