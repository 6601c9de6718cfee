"""Lets a test write modules, and forgets them after it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

#: The start of a module with bindings.
HEAD = """
from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline, Stage

def bind(name, queue=None):
    async def handler(given: str) -> str:
        return given
    stage = Stage(name=name, queue=queue or name, input=str, output=str)
    return Binding(pipeline=Pipeline(name=name, description="", stages=(stage,)), stage=stage, handler=handler)

"""


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Writes a module with bindings below `tmp_path`; all modules of the test are forgotten after it."""
    path, modules = list(sys.path), set(sys.modules)

    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(HEAD + text if text else "")
        return file

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
