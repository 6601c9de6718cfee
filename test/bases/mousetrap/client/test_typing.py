"""Tests what type checkers accept and reject of submits and results."""

import shutil
from pathlib import Path

import pytest

from support.type_checkers import expected, found_by_mypy, found_by_pyright


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that submits, outside the workspace, as a user's is."""
    file = tmp_path / "typed_submits.py"
    shutil.copy(Path(__file__).with_name("typed_submits.txt"), file)
    return file


@pytest.mark.slow
def test_mypy_rejects_wrong_inputs_and_results(program: Path) -> None:
    assert found_by_mypy(program) == expected(program, "mypy")


@pytest.mark.slow
def test_pyright_rejects_wrong_inputs_and_results(program: Path) -> None:
    assert found_by_pyright(program) == expected(program, "pyright")
