"""Runs the blocks of code of a page of docs."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest


def run_blocks(page: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs them from the top to the bottom in one module, with the page's own line numbers; how many there are."""
    text = page.read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    module = ModuleType(f"{page.stem}_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(page), "exec"), module.__dict__)  # noqa: S102  the code of our own page
    return len(blocks)
