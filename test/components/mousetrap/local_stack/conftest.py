"""Fixtures of the stack: the processes that a test started."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """A setting that marks all processes of a test; `living` finds them by it."""
    return str(tmp_path)


@pytest.fixture
def living(mark: str) -> Callable[[], dict[int, str]]:
    """The processes that carry the mark, however they were started."""

    def find() -> dict[int, str]:
        listed = subprocess.run(
            ["ps", "axeww", "-o", "pid=,args="], capture_output=True, text=True, check=True
        )
        marked = (line for line in listed.stdout.splitlines() if f"MARK_OF_TEST={mark}" in line)
        return {int(line.split()[0]): line for line in marked}

    return find
