"""Runs the tests that the page on testing shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.servers
def test_every_example_of_the_page_on_testing_passes(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (_ROOT / "docs/testing.md").read_text(), re.DOTALL)
    (tmp_path / "test_page.py").write_text("\n\n".join(blocks))
    # cloudcoil's plugin imports a library that it does not ask for; the workspace's own runs leave it out, too.
    left_out = ["-p", "no:cacheprovider", "-p", "no:cloudcoil", "-p", "no:schemathesis"]
    options = ["-q", "-W", "error", "-p", "mousetrap.testing.plugin", *left_out]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(block.count('def test_') for block in blocks)} passed" in done.stdout
