"""Runs the code of the page on tasks."""

import re
from pathlib import Path

import pytest

from support.page_code import run_blocks

_PAGE = Path(__file__).parents[2] / "docs/tasks.md"


def test_every_block_of_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_blocks(_PAGE, monkeypatch) > 7


def test_every_option_has_its_row() -> None:
    from mousetrap.handlers.task import TaskOptions

    table = _PAGE.read_text().partition("## Options")[2].partition("```")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {
        *TaskOptions.__annotations__,
        "lifespan",
    }
