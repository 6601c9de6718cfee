"""Runs the code of the page on routing, beside a stack."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import Process, clean_environment

pytestmark = pytest.mark.servers

_PAGE = Path(__file__).parents[2] / "docs/routing.md"


def test_every_block_of_code_runs(start_base: Callable[..., Process], tmp_path: Path) -> None:
    shop, publishing = re.findall(r"^```python\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "shop.py").write_text(shop)
    (tmp_path / "publish.py").write_text(publishing)
    stack = start_base("cli", "up", MOUSETRAP_API_PORT="0")
    stack.wait_for_line("The API is at", seconds=60)
    serving = start_base("cli", "worker", "shop.py")
    serving.wait_for_line("serving")

    done = subprocess.run(
        [sys.executable, "publish.py"],
        check=False,
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert serving.terminate() == 0
    assert stack.terminate(60) == 0
