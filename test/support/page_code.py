"""Runs the blocks of code of a page of docs."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def run_blocks(
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: Mapping[str, Any] | None = None,
    before: Callable[[int, dict[str, Any]], object] = lambda _number, _names: None,
) -> int:
    """Runs them from the top to the bottom in one module, with the page's own line numbers; how many there are.

    `given` is what the page takes for granted; `before` is called before each, with its number and the names so far.
    """
    text = page.read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    module = ModuleType(f"{page.stem}_page")
    module.__dict__.update(given or {})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for number, block in enumerate(blocks):
        before(number, module.__dict__)
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(page), "exec"), module.__dict__)  # noqa: S102  the code of our own page
    return len(blocks)
