"""Runs the code of the page about handlers."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/handlers.md"


def test_the_code_of_the_page_runs_as_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "page_about_handlers.py"
    file.write_text("\n\n".join(blocks))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)

    spec.loader.exec_module(module)

    assert len(blocks) == 6
    assert sum(block.count("\nassert ") for block in blocks) >= 10
