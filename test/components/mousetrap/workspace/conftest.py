"""A copy of this workspace to change."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
_PARTS = (
    "bases",
    "components",
    "projects",
    "requirements",
    "deploy",
    "pyproject.toml",
    "poetry.lock",
    "workspace.toml",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A copy of all that the commands read and change."""
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "secrets"))
        else:
            shutil.copy(source, tmp_path / part)
    return tmp_path
