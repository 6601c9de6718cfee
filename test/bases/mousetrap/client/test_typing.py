"""Tests what type checkers accept and reject of users' programs."""

import shutil
from pathlib import Path

import pytest

from support.type_checkers import expected, found_by_mypy, found_by_pyright

_TEST = Path(__file__).parents[3]
#: The programs. A checker takes them together: reading the bricks that they import is most of its work.
_PROGRAMS = (
    "bases/mousetrap/client/typed_submits",
    "components/mousetrap/handlers/typed_graphs",
    "components/mousetrap/handlers/typed_tasks",
)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The folder of the programs, outside the workspace, as a user's are."""
    for program in _PROGRAMS:
        shutil.copy(_TEST / f"{program}.txt", (tmp_path / Path(program).name).with_suffix(".py"))
    return tmp_path


@pytest.mark.slow
def test_mypy_rejects_wrong_calls_chains_inputs_and_results(programs: Path) -> None:
    assert found_by_mypy(programs) == expected(programs, "mypy")


@pytest.mark.slow
def test_pyright_rejects_wrong_calls_chains_inputs_and_results(programs: Path) -> None:
    assert found_by_pyright(programs) == expected(programs, "pyright")
