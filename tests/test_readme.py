"""The README's command blocks: each is run by .ci/run or says why not; and the program that runs them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests import readme_blocks
from tests.readme_blocks import BadBlock, Block, Session

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCKS = readme_blocks.blocks(README.read_text(encoding="utf-8")) if README.exists() else []
NOT_RUN = [block for block in BLOCKS if block.reason]


# --- The README -----------------------------------------------------------------------------------
def test_readme_has_command_blocks_and_runs_most_of_them() -> None:
    assert BLOCKS
    assert len(NOT_RUN) <= len(BLOCKS) / 2, [block.line for block in NOT_RUN]


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: f"line {block.line}: {block.reason}")
def test_block_that_is_not_run_says_why(block: Block) -> None:
    assert len(block.reason.split()) >= 3, f"{block.reason!r} is no reason"


def test_readme_demo_serves() -> None:
    assert [block.commands.strip() for block in BLOCKS if block.serves] == ["make demo"]


# --- Reading blocks -------------------------------------------------------------------------------
EXAMPLE = """\
# Title
```sh
echo one
```
Text.
<!-- not run: needs a Docker engine -->
```sh
docker compose up
```
```json
{"a": 1}
```

<!-- run: serve -->

```sh
make demo
```
"""


def test_blocks_are_read_with_their_notes() -> None:
    assert readme_blocks.blocks(EXAMPLE) == [
        Block(2, "echo one\n"),
        Block(7, "docker compose up\n", reason="needs a Docker engine"),
        Block(16, "make demo\n", serves=True),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<!-- not run -->\n```sh\nx\n```\n", "Line 2: a note is"),
        ("<!-- not run: -->\n```sh\nx\n```\n", "Line 2: a note is"),
        ("<!-- run: later -->\n```sh\nx\n```\n", "Line 2: a note is"),
        ("```bash\nx\n```\n", "Line 1: commands stand in ```sh"),
        ("```console\n$ x\n```\n", "Line 1: commands stand in ```sh"),
    ],
)
def test_block_with_neither_run_nor_reason_is_refused(text: str, fault: str) -> None:
    with pytest.raises(BadBlock, match=fault):
        readme_blocks.blocks(text)


# --- Running them ---------------------------------------------------------------------------------
@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path, readme_blocks.clean(os.environ))


def test_blocks_share_variables_and_folder(session: Session, capfd: pytest.CaptureFixture[str]) -> None:
    text = "```sh\nNAME='a b'\nexport OTHER=c\nmkdir d && cd d\n```\n```sh\necho \"$NAME $OTHER ${PWD##*/}\"\n```\n"

    readme_blocks.run_all(readme_blocks.blocks(text), session)

    assert "\na b c d\n" in capfd.readouterr().out


@pytest.mark.parametrize("failing", ["false\necho after", "false | true", "cat; exit 3", "echo $("])
def test_failing_command_stops_the_run_and_names_the_line(
    failing: str, session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    text = f"# A\n```sh\necho first\n```\n```sh\n{failing}\n```\n```sh\necho never\n```\n"

    with pytest.raises(BadBlock, match="Line 5: ended with exit code"):
        readme_blocks.run_all(readme_blocks.blocks(text), session)

    assert "\nnever\n" not in capfd.readouterr().out


def test_block_with_reason_is_not_run(session: Session) -> None:
    text = "<!-- not run: it would fail -->\n```sh\nfalse\n```\n"

    readme_blocks.run_all(readme_blocks.blocks(text), session)


def test_reader_has_set_none_of_our_variables() -> None:
    given = {"API_PORT": "1", "VIRTUAL_ENV": "x", "PYTHONPATH": "y", "HOME": "z"}

    assert readme_blocks.clean(given) == {"HOME": "z"}


SERVER = """\
import http.server, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'ANSWER')
    def log_message(self, *arguments): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print("ready; paste this:", flush=True)
print(f"  curl -s http://127.0.0.1:{server.server_port}/ -H 'Authorization: Api-Key abc.def'", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    open("stopped", "w").close()
"""


def serving(tmp_path: Path, answer: str) -> str:
    (tmp_path / "serve.py").write_text(SERVER.replace("ANSWER", answer))
    return f'<!-- run: serve -->\n```sh\n"{sys.executable}" serve.py\n```\n```sh\ntest "$API_KEY" = abc.def\n```\n'


@pytest.mark.servers
def test_serving_block_is_asked_and_stopped_by_ctrl_c(session: Session, tmp_path: Path) -> None:
    readme_blocks.run_all(readme_blocks.blocks(serving(tmp_path, '{"predicted_label": 1}')), session)

    assert (tmp_path / "stopped").exists()


@pytest.mark.servers
def test_serving_block_with_a_wrong_answer_fails_and_is_stopped(session: Session, tmp_path: Path) -> None:
    with pytest.raises(BadBlock, match="Line 2: its curl line was not answered with a predicted_label"):
        readme_blocks.run_all(readme_blocks.blocks(serving(tmp_path, "nothing")), session)

    assert (tmp_path / "stopped").exists()


def test_serving_block_that_ends_fails(session: Session) -> None:
    with pytest.raises(BadBlock, match="Line 2: ended with exit code 7 before it served"):
        readme_blocks.run_all(readme_blocks.blocks("<!-- run: serve -->\n```sh\nexit 7\n```\n"), session)
