"""The Markdown of docs/ as pages: HTML without any of the writer's own, headings with anchors, a table of contents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.token import Token

FOLDER: Path = settings.BASE_DIR / "docs"
COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)  # notes for the tests (tests/readme_blocks.py)
LISTED = ("h2", "h3")  # of the table of contents
PAGES = {"runbook.md": "/runbook", "concepts.md": "/concepts"}  # links between the texts; others stay in the repository


class NoText(RuntimeError):
    """The Markdown is not there or cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Heading:
    """A line of the table of contents."""

    id: str
    text: str
    is_under: bool  # of the heading before that is not


@dataclass(frozen=True)
class Text:
    """A text as a page shows it. title: its first heading, which is not in html."""

    title: str
    html: SafeString
    headings: tuple[Heading, ...]


def text(name: str, *, folder: Path | None = None) -> Text:
    """The text of docs/<name>.md, rendered once for each change of its file. Raises NoText."""
    path = (folder or FOLDER) / f"{name}.md"
    try:
        changed = path.stat()
        return _rendered(path, changed.st_mtime_ns, changed.st_size)
    except (OSError, UnicodeDecodeError) as error:
        raise NoText(
            f"The text of this page must be in docs/{name}.md, in UTF-8; it cannot be read. It belongs to the program: "
            "bring the file back from the release that runs here."
        ) from error


@lru_cache(maxsize=8)
def _rendered(path: Path, _changed: int, _size: int) -> Text:
    return render(path.read_text(encoding="utf-8"))


def render(markdown: str) -> Text:
    """Markdown as a Text. HTML in it is shown as written; comments and Mermaid pictures are left out.

    >>> found = render("# Title" + chr(10) + "## A part" + chr(10) + "<b>x</b>")
    >>> found.title, found.headings[0].id, "<b>" in found.html
    ('Title', 'a-part', False)
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(COMMENT.sub("", markdown))
    title = ""
    if tokens and tokens[0].tag == "h1":
        title, tokens = _plain(tokens[1]), tokens[3:]
    headings = _anchored(tokens)
    _lead_to_pages(tokens)
    for rule, draw in {"fence": _code, "table_open": _table_open, "table_close": _table_close}.items():
        parser.add_render_rule(rule, draw)
    html = parser.renderer.render(tokens, parser.options, {})
    return Text(title=title, html=mark_safe(html), headings=tuple(headings))  # noqa: S308 (html of the text is escaped)


def _anchored(tokens: Sequence[Token]) -> list[Heading]:
    """Gives each heading an id, the same that forges give it; and those that are listed."""
    listed: list[Heading] = []
    taken: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        said = _plain(inline)
        slug = slugify(said) or "part"
        taken[slug] = taken.get(slug, -1) + 1
        opening.attrSet("id", f"{slug}-{taken[slug]}" if taken[slug] else slug)
        if opening.tag in LISTED:
            listed.append(Heading(str(opening.attrs["id"]), said, is_under=opening.tag != LISTED[0]))
    return listed


def _lead_to_pages(tokens: Sequence[Token]) -> None:
    """Turns links to the other text into links to its page, and links to files of the repository into their words."""
    for token in tokens:
        children = token.children or []
        for place, child in enumerate(children):
            href = str(child.attrs.get("href", ""))
            if child.type != "link_open" or href.startswith(("http://", "https://", "#")):
                continue
            name, _, part = href.partition("#")
            if name in PAGES:
                child.attrSet("href", f"{PAGES[name]}#{part}" if part else PAGES[name])
            else:
                closing = next(other for other in children[place:] if other.type == "link_close")
                child.hidden = closing.hidden = True
                child.type = closing.type = "text"


def _plain(inline: Token) -> str:
    """The words of a heading without their marks."""
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


# --- What is drawn in a way of our own --------------------------------------------------------------
def _code(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    if token.info.strip() == "mermaid":
        return ""  # what it shows is said in the text, too; drawing it takes a library
    return format_html(
        '<div class="code"><pre tabindex="0"><code>{}</code></pre>'
        '<button type="button" class="copy" data-copied="Copied" hidden>Copy</button></div>\n',
        token.content,
    )


def _table_open(*_: Any) -> str:
    return '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n'


def _table_close(*_: Any) -> str:
    return "</table></div>\n"
