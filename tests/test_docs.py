"""The texts of docs/: what they name is there, their commands are those of the program, and they are shown as pages."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.utils.html import escape

from mlops import runbook
from mlops.health import NAMES
from tests import readme_blocks
from tests.factories import make_user
from tests.readme_blocks import Block
from ticketclf import environment

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("runbook", "concepts")
TEXTS = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in PAGES}
TOLD = {**TEXTS, "README": (ROOT / "README.md").read_text(encoding="utf-8")}
BLOCKS = {name: readme_blocks.blocks(text) for name, text in TEXTS.items()}
NOT_RUN = [block for found in BLOCKS.values() for block in found if block.reason]
COMMAND = re.compile(r"manage\.py ([a-z_]+)((?: +(?:\"[^\"]*\"|'[^']*'|[^\s`|]+))*)")
FOLDERS = ("classifier", "mlops", "ticketclf", "tests", "docs", "monitoring", "tools", "data")


def calls(text: str) -> list[tuple[str, list[str]]]:
    """Each manage.py command that a text names, with the options that stand behind it."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [
        (name, [word.split("=")[0] for word in shlex.split(rest) if word.startswith("--")])
        for line in lines
        for name, rest in COMMAND.findall(line)
    ]


# --- Commands -------------------------------------------------------------------------------------
def test_calls_are_found_with_their_options():
    assert calls('x `manage.py promote 2 --reason "a --b"` and manage.py train.') == [
        ("promote", ["--reason"]),
        ("train", []),
    ]


@pytest.mark.parametrize("name", sorted(TOLD))
def test_each_command_and_option_that_is_named_exists(name: str):
    known = get_commands()
    for command, options in calls(TOLD[name]):
        assert command in known, f"{name} names manage.py {command}"
        parser = load_command_class(str(known[command]), command).create_parser("manage.py", command)
        unknown = set(options) - set(parser._option_string_actions)
        assert unknown == set(), f"{name}: manage.py {command} has no {unknown}"


def test_each_command_of_the_program_stands_in_the_runbook_or_the_readme():
    ours = {name for name, app in get_commands().items() if app in {"classifier", "mlops"}}
    told = {name for text in TOLD.values() for name, _ in calls(text)} | set(
        re.findall(r"^\| `([a-z_]+)", TOLD["README"], re.MULTILINE)
    )

    assert ours - told - {"quickstart", "up"} == set()


def test_most_blocks_are_run():
    assert BLOCKS["runbook"]
    assert sum(bool(block.reason) for block in BLOCKS["runbook"]) <= len(BLOCKS["runbook"]) / 2
    assert [block for block in BLOCKS["runbook"] if block.serves] == []  # the README's goes on below it


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: f"line {block.line}: {block.reason}")
def test_block_that_is_not_run_says_why(block: Block):
    assert len(block.reason.split()) >= 3, f"{block.reason!r} is no reason"


def test_ci_runs_the_runbooks_blocks():
    assert "tests/readme_blocks.py README.md docs/runbook.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# --- What is named ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(TEXTS))
def test_each_path_and_link_that_is_named_exists(name: str):
    paths = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w/.-]+)`", TEXTS[name])
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXTS[name]) if not link.startswith("http")]

    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_each_setting_that_is_named_exists(name: str):
    named = re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", TEXTS[name])

    assert {each for each in named if each not in environment.BY_NAME} == set()


def test_runbook_has_a_mend_for_each_check_and_each_alert():
    alerts = re.findall(r"alert: (\w+)", (ROOT / "monitoring" / "alerts.yml").read_text(encoding="utf-8"))

    assert [check for check in NAMES if f"| `{check}` |" not in TEXTS["runbook"]] == []
    assert alerts
    assert [alert for alert in alerts if f"`{alert}`" not in TEXTS["runbook"]] == []


def test_readme_points_to_both():
    assert "(docs/runbook.md)" in TOLD["README"]
    assert "(docs/concepts.md)" in TOLD["README"]


def test_concepts_name_module_and_source_in_each_part():
    parts = TEXTS["concepts"].split("\n## ")[1:-1]

    assert [part.splitlines()[0] for part in parts if "**In the code:**" not in part] == []
    assert [part.splitlines()[0] for part in parts if not re.search(r"\*\*(Sources?|Further reading):\*\*", part)] == []


# --- As HTML --------------------------------------------------------------------------------------
def test_html_in_the_text_is_shown_and_not_obeyed():
    found = runbook.render("# T\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1))\n\n`<b>`\n")

    assert "<script" not in found.html
    assert "javascript:" not in re.sub(r">[^<]*<", "><", found.html)
    assert "&lt;b&gt;" in found.html


def test_headings_have_ids_of_their_own_and_are_listed():
    found = runbook.render("# T\n\n## A `b` c!\n\n### Under\n\n## A b c\n\n#### Deep\n")

    assert [(heading.id, heading.text, heading.is_under) for heading in found.headings] == [
        ("a-b-c", "A b c!", False),
        ("under", "Under", True),
        ("a-b-c-1", "A b c", False),
    ]
    assert '<h2 id="a-b-c-1">' in found.html
    assert "<h1" not in found.html


def test_code_can_be_copied_and_notes_and_pictures_are_left_out():
    text = "# T\n\n<!-- not run: a reason -->\n```sh\necho '<x>'\n```\n\n```mermaid\nflowchart LR\n```\n\n|a|\n|-|\n"

    found = runbook.render(text)

    assert "<code>echo &#x27;&lt;x&gt;&#x27;\n</code>" in found.html
    assert found.html.count("<button") == 1
    assert "not run" not in found.html
    assert "flowchart" not in found.html
    assert '<div class="scroll" tabindex="0"' in found.html


def test_text_is_read_again_when_its_file_has_changed(tmp_path: Path):
    file = tmp_path / "x.md"
    file.write_text("# One\n")
    first = runbook.text("x", folder=tmp_path)
    assert runbook.text("x", folder=tmp_path) is first

    file.write_text("# Two\n")
    os.utime(file, ns=(1, 1))

    assert runbook.text("x", folder=tmp_path).title == "Two"


def test_missing_text_is_told(tmp_path: Path):
    with pytest.raises(runbook.NoText, match=r"docs/x\.md.*cannot be read"):
        runbook.text("x", folder=tmp_path)


# --- As pages -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", PAGES)
def test_page_shows_the_text(at, name: str):
    page = at.get(f"/{name}")

    assert page.status_code == 200
    for heading in re.findall(r"^## (.*)$", TEXTS[name], re.MULTILINE):
        assert f">{escape(heading)}</a>" in page.text
        assert f">{escape(heading)}</h2>" in page.text
    assert page.text.count("<h1") == 1
    assert "<!--" not in page.text.split('class="prose"')[1]


@pytest.mark.parametrize("name", PAGES)
def test_links_between_the_pages_lead_to_pages(at, name: str):
    prose = at.get(f"/{name}").text.split('class="prose"')[1]

    links = re.findall(r'href="([^"#][^"]*)"', prose)
    assert [link for link in links if link.endswith(".md") or link.startswith("..")] == []


@pytest.mark.parametrize("name", PAGES)
def test_page_without_its_file_says_so(at, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(runbook, "FOLDER", tmp_path)

    page = at.get(f"/{name}")

    assert page.status_code == 200
    assert f"docs/{name}.md" in page.text


@pytest.mark.parametrize("name", PAGES)
def test_page_wants_a_person_who_may_read(client, db, name: str):
    assert client.get(f"/{name}").status_code == 302

    client.force_login(make_user("eve"))

    assert client.get(f"/{name}").status_code == 403


def test_folder_is_that_of_the_docs():
    assert settings.BASE_DIR / "docs" == runbook.FOLDER
