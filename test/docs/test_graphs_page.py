"""Runs the code of the page on graphs."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

_PAGE = Path(__file__).parents[2] / "docs/graphs.md"


def test_every_block_of_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _PAGE.read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    page = ModuleType("graphs_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)

    assert len(blocks) == 4
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(_PAGE), "exec"), page.__dict__)  # noqa: S102  the code of our own page
