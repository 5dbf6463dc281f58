"""`make screenshots`: the pictures of the pages in docs/pictures, of a demonstration that is thrown away."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests import browsing

FOLDER = browsing.ROOT / "docs" / "pictures"
# The pages of the system that this one re-creates, and two that it lacked: (name, address).
PICTURES = (
    ("overview", "/?demo=1&range=24h"),
    ("quality", "/quality"),
    ("monitoring", "/monitoring?demo=1&range=24h"),
    ("drift", "/drift?demo=1"),
    ("runbook", "/runbook"),
    ("queue", "/queue"),
    ("try", "/try"),
)
HEIGHT = 900


def main() -> None:
    """Makes the demonstration, serves it, and writes one PNG a page. Chromium must be installed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ticketclf-screenshots-") as folder:
        var, work = Path(folder) / "var", Path(folder)
        with browsing.served(browsing.make_full(var, work)) as address, browsing.chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": HEIGHT}, color_scheme="light")
            browsing.sign_in(page, address)
            for name, path in PICTURES:
                page.goto(address + path, wait_until="networkidle")
                page.screenshot(path=FOLDER / f"{name}.png")
                sys.stdout.write(f"docs/pictures/{name}.png\n")


if __name__ == "__main__":
    main()
