"""The Mermaid pictures of the README and the docs render, in a real browser, with nothing from a network."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = [
    pytest.param(picture, id=f"{page.name}-{number}")
    for page in PAGES
    if page.exists()
    for number, picture in enumerate(re.findall(r"```mermaid\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]
SERVICES = {"web", "worker", "beat", "db", "redis", "mlflow"}


def test_the_readme_has_a_picture_of_the_parts():
    names = set(
        re.findall(
            r"\b(\w+)[\[(]", (ROOT / "README.md").read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
        )
    )

    assert names >= SERVICES


@pytest.mark.browser
@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_renders(picture: str):
    from playwright.sync_api import sync_playwright

    script = os.environ.get("TICKETCLF_TEST_MERMAID")
    if script is None:
        pytest.fail("Set TICKETCLF_TEST_MERMAID to the path of npm's mermaid/dist/mermaid.min.js, as .ci/run does.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-quic"]
        )
        page = browser.new_page()
        page.set_content("<body></body>")
        page.add_script_tag(path=script)
        svg = page.evaluate(
            "async text => { mermaid.initialize({startOnLoad: false}); return (await mermaid.render('p', text)).svg }",
            picture,
        )
        browser.close()

    assert "<svg" in svg
    assert "Syntax error" not in svg
