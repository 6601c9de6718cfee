"""Runs the README's second screen as it is written."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from support.commands import called
from support.processes import Process

pytestmark = pytest.mark.servers

README = Path(__file__).parents[2] / "README.md"
#: Lines that hold something.
LONGEST_FILE = 12


def _block(language: str, text: str) -> str:
    block: str = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    return block


def test_a_file_of_twelve_lines_is_served_and_gives_the_result_that_the_readme_shows(
    start_base: Callable[..., Process], tmp_path: Path
) -> None:
    screen = README.read_text().partition("## Your own function\n")[2].partition("\n## ")[0]
    code = _block("python", screen)
    name = code.partition("\n")[0].removeprefix("# ")
    (tmp_path / name).write_text(code)
    up, run = (
        shlex.split(line.removeprefix(".venv/bin/mousetrap "), comments=True)
        for line in _block("sh", screen).splitlines()
    )

    stack = start_base("cli", *up, MOUSETRAP_API_PORT="0")
    stack.wait_for_line("The API is at", seconds=60)
    done = called(start_base, *run)

    assert done.wait() == 0, done.output
    assert done.output.endswith("\n\n" + _block("json", screen).rstrip())
    assert sum(bool(line.strip()) for line in code.splitlines()) <= LONGEST_FILE
    assert stack.terminate(60) == 0
