"""Commands in this process, and the processes of a test."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mousetrap.cli import main
from support.processes import clean_environment


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def mousetrap(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs a command in this process, with these settings alone."""

    def run(*arguments: str, settings: dict[str, str]) -> Done:
        monkeypatch.setattr("os.environ", clean_environment(**settings))
        return Done(main(arguments), *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def _no_forced_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


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
