"""Runs the code of the page on graphs."""

from pathlib import Path

import pytest

from support.page_code import run_blocks

_PAGE = Path(__file__).parents[2] / "docs/graphs.md"


def test_every_block_of_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_blocks(_PAGE, monkeypatch) == 10
