"""Runs the blocks and the rows of a page that compares."""

import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
#: As a page names a test.
_TEST = re.compile(r"test_\w+")


class RowsPage:
    """A page whose tables have three columns; the last is an expression, or the name of a test."""

    def __init__(self, name: str) -> None:
        self.path = ROOT / "docs" / name
        self.text = self.path.read_text()
        self.rows = re.findall(r"^\| (?!there \|)(.+) \| (.+) \| `(.+)` \|$", self.text, re.MULTILINE)

    def count_rows(self) -> int:
        """How many lines of its tables are rows."""
        lines = [line for line in self.text.splitlines() if line.startswith("|")]
        return len(lines) - 2 * self.text.count("\n| there | here | check |\n")

    def run_blocks(self, serve: Callable[[dict[str, Any]], object] = lambda _: None) -> dict[str, Any]:
        """What its blocks define, in their order; those of the worker's file come second, and then `serve` is called."""
        page = ModuleType(re.sub(r"\W", "_", self.path.stem) + "_page")
        sys.modules[page.__name__] = page
        page.__dict__["test_is_there"] = test_is_there
        first, *others = re.finditer(r"^```python\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        of_worker = [block for block in others if block[1].startswith("# tasks.py\n")]
        for block in (first, *of_worker):
            self._run(block, page)
        serve(page.__dict__)
        for block in others:
            if block not in of_worker:
                self._run(block, page)
        return page.__dict__

    def _run(self, block: re.Match[str], page: ModuleType) -> None:
        lines = "\n" * self.text.count("\n", 0, block.start(1))
        exec(compile(lines + block[1], str(self.path), "exec"), page.__dict__)  # noqa: S102  our own page

    def wrong_rows(self, names: dict[str, Any]) -> list[str]:
        """The rows whose check does not hold, and why."""
        return [f"{there}: {found}" for there, _, check in self.rows if (found := _failure(check, names))]


@cache
def _tests() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "test").rglob("test_*.py"))


def test_is_there(name: str) -> bool:
    """Whether a test of that name is in the suite."""
    return f"def {name}(" in _tests()


def _failure(check: str, names: dict[str, Any]) -> str:
    """Why the check does not hold; empty where it does."""
    if _TEST.fullmatch(check):
        return "" if test_is_there(check) else f"there is no {check}"
    try:
        return "" if eval(check, names) else f"{check} is not true"
    except Exception as error:  # noqa: BLE001  whatever a check raises is its failure
        return f"{check} raised {error!r}"
