"""Tests what type checkers accept and reject of tasks and chains."""

import shutil
from pathlib import Path

import pytest

from support.type_checkers import expected, found_by_mypy, found_by_pyright


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The tasks as a module, outside the workspace, as a user's are."""
    file = tmp_path / "typed_tasks.py"
    shutil.copy(Path(__file__).with_name("typed_tasks.txt"), file)
    return file


@pytest.mark.slow
def test_mypy_rejects_wrong_calls_chains_and_deps(program: Path) -> None:
    assert found_by_mypy(program) == expected(program, "mypy")


@pytest.mark.slow
def test_pyright_rejects_wrong_calls_chains_and_deps(program: Path) -> None:
    assert found_by_pyright(program) == expected(program, "pyright")
