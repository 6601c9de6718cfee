"""Tests that a project's lock is what Poetry would write."""

import tomllib
from pathlib import Path

import pytest

from mousetrap.api_client import Misused
from mousetrap.workspace.locks import (
    library,
    lock_of_project,
    requirements_of_project,
    with_all_they_need,
)

ROOT = Path(__file__).parents[4]


def _has_extras(pyproject: Path) -> bool:
    """Whether its lock has markers of extras, which the lock of a new worker never has."""
    return "optional-dependencies" in tomllib.loads(pyproject.read_text())["project"]


_LOCK = (ROOT / "poetry.lock").read_text()
_PROJECTS = sorted(file.parent for file in ROOT.glob("projects/*/pyproject.toml") if not _has_extras(file))


@pytest.mark.parametrize("project", _PROJECTS, ids=lambda project: project.name)
def test_the_lock_of_each_project_follows_from_that_of_the_workspace(project: Path) -> None:
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    requirements = (ROOT / "requirements/run.txt").read_text()

    libraries = with_all_they_need(_LOCK, table["dependencies"])

    # Both files were written by Poetry.
    assert lock_of_project(_LOCK, libraries, table) == (project / "poetry.lock").read_text()
    assert (
        requirements_of_project(requirements, libraries)
        == (ROOT / f"requirements/{project.name}.txt").read_text()
    )


def test_a_library_that_is_not_locked_is_named() -> None:
    with pytest.raises(Misused, match=r"poetry\.lock lacks no-such-library"):
        with_all_they_need(_LOCK, ["No_Such.Library>=1"])


def test_a_library_has_one_name_in_all_files() -> None:
    assert library("psycopg[binary]>=3.3,<4") == "psycopg"
    assert library("Typing_Extensions") == "typing-extensions"
