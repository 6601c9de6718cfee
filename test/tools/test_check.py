"""Tests that `make check` runs all checks and lists all failures."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TOOLS = ("ruff", "mypy", "lint-imports")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace of one project whose every check goes well; its programs print their arguments."""
    (tmp_path / "tools").mkdir()
    for name in ("check", "step"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools" / name)
    for folder in (tmp_path, tmp_path / "projects" / "one"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("pyproject.toml", "poetry.lock"):
            (folder / name).touch()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "develop.txt").write_text("left==1 \\\n")
    _program(tmp_path / "tools" / "poetry")
    _program(tmp_path / "tools" / "export", 'cp requirements/* "$1"')
    for name in _TOOLS:
        _program(tmp_path / ".venv" / "bin" / name)
    return tmp_path


def _program(path: Path, what: str = "exit 0") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "asked: $(basename "$0") $*"\n{what}\n')
    path.chmod(0o755)


def check(workspace: Path) -> tuple[int, str]:
    done = subprocess.run(
        [workspace / "tools" / "check"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_a_workspace_that_is_right_passes(workspace: Path) -> None:
    code, output = check(workspace)

    assert code == 0, output
    assert "failed" not in output


def test_all_that_fails_is_listed_at_the_end_with_what_puts_it_right(workspace: Path) -> None:
    for name in _TOOLS:
        _program(workspace / ".venv" / "bin" / name, "exit 1")
    _program(workspace / "tools" / "poetry", '[ "$1" != poly ]')

    code, output = check(workspace)

    assert code == 1
    _, _, listed = output.partition("6 of the checks failed:\n")
    headings = [line.split(":")[0].strip() for line in listed.splitlines()]
    assert headings == [
        *("Style", "Format", "Types", "Borders between bricks", "Brick lists", "Bricks of the projects")
    ]
    assert all(line.partition(": ")[2] for line in listed.splitlines())


def test_a_lock_that_is_missing_or_old_is_named_with_its_project_and_what_makes_it(workspace: Path) -> None:
    (workspace / "projects" / "one" / "poetry.lock").unlink()
    _program(workspace / "tools" / "poetry", '[ "$1" != check ]')

    code, output = check(workspace)

    assert code == 1
    assert "projects/one/poetry.lock is missing: tools/lock makes it" in output
    assert "./poetry.lock does not fit ./pyproject.toml: tools/lock" in output
    assert output.rstrip().endswith("1 of the checks failed:\n  Locks: tools/lock, or what is named above")


def test_what_only_a_project_locks_is_named(workspace: Path) -> None:
    (workspace / "requirements" / "one.txt").write_text("stranger==2 \\\n")

    code, output = check(workspace)

    assert code == 1
    assert "locked by a project, but not by the workspace: stranger==2" in output
