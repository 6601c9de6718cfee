"""Runs the code of the page on submitting, beside a stack."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import Process, clean_environment

pytestmark = pytest.mark.servers

_PAGE = Path(__file__).parents[2] / "docs/submitting.md"
#: Asks the page's application, which has no server there.
_ASK = """
from starlette.testclient import TestClient

with TestClient(app) as web:
    assert web.post("/count", params={"text": "a b a"}).json() == {"a": 2, "b": 1}
    assert web.post("/count-later", params={"text": "later"}).status_code == 202
with Client(via="http") as client:
    assert client.submit(wordcount, "over http").wait(timeout=60) == {"over": 1, "http": 1}
print("all of the page ran")
"""


def test_every_block_of_code_runs_without_an_export(
    start_base: Callable[..., Process], tmp_path: Path
) -> None:
    words, *blocks = re.findall(r"^```python\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "words.py").write_text(words)
    (tmp_path / "page.py").write_text("\n".join([*blocks, _ASK]))
    stack = start_base("cli", "up", MOUSETRAP_API_PORT="0")
    stack.wait_for_line("The API is at", seconds=60)
    serving = start_base("cli", "worker", "words.py")
    serving.wait_for_line("serving counts, split")

    done = subprocess.run(
        [sys.executable, "page.py"],
        check=False,
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "all of the page ran\n"
    assert serving.terminate() == 0
    assert stack.terminate(60) == 0
