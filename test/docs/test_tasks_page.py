"""Runs the code of the page on tasks."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

_PAGE = Path(__file__).parents[2] / "docs/tasks.md"


def test_every_block_of_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _PAGE.read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    page = ModuleType("tasks_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)

    assert len(blocks) > 7
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(_PAGE), "exec"), page.__dict__)  # noqa: S102  the code of our own page


def test_every_option_has_its_row() -> None:
    from mousetrap.handlers.task import TaskOptions

    table = _PAGE.read_text().partition("## Options")[2].partition("```")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {
        *TaskOptions.__annotations__,
        "lifespan",
    }
