"""Writes the list of environment variables out: .env.example, and the table of the README between its two marks.

`python -m tests.environment_docs --write` writes both; without it the table is printed. test_environment.py compares.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ticketclf.environment import VARIABLES, Variable

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
HEAD = """\
# Every variable that ticketclf reads, with its default; one left empty counts as unset.
# The program reads the environment, not this file. To use a copy of it in a shell:
#     cp .env.example .env, edit it, then: set -a; . ./.env; set +a
# Written by `python -m tests.environment_docs --write` from ticketclf/environment.py.
"""


def shown_default(variable: Variable) -> str:
    return variable.shown or variable.default or ""


def example() -> str:
    """The text of .env.example."""
    entries = (f"\n# {item.meaning.replace('`', '')}\n{item.name}={shown_default(item)}\n" for item in VARIABLES)
    return HEAD + "".join(entries)


def table() -> str:
    """The README's table of settings, in Markdown."""
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for item in VARIABLES:
        default = f"`{shown_default(item)}`" if shown_default(item) else "unset" if item.default is None else "empty"
        lines.append(f"| `{item.name}` | {default} | {item.meaning} |")
    return "\n".join(lines)


def with_table(readme: str) -> str:
    """The README's text with the table between its marks.

    Raises ValueError if a mark is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md must hold the marks {BEGIN} and {END}, each on its own line; one is missing.")
    return f"{before}{begin}\n{table()}\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write .env.example and the README's table")
    if not parser.parse_args().write:
        print(table())
        return
    (ROOT / ".env.example").write_text(example(), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
