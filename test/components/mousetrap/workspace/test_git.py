"""Tests that files are removed only where git has them."""

import subprocess
from pathlib import Path

import pytest

from mousetrap.api_client import Misused
from mousetrap.workspace import check_committed

_WHO = ("-c", "user.name=someone", "-c", "user.email=someone@localhost")


@pytest.fixture(params=["", "inside/another"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A workspace that is committed: all of a repository, or a subfolder of one."""
    root: Path = tmp_path / request.param
    (root / "brick").mkdir(parents=True)
    (root / "brick" / "code.py").write_text("code\n")
    (tmp_path / ".gitignore").write_text("*.db\n__pycache__/\n")
    for command in (["init", "-q"], ["add", "."], [*_WHO, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return root


def test_what_is_committed_may_be_removed(root: Path) -> None:
    (root / "other.txt").write_text("not to be removed\n")

    check_committed(root, ["brick/code.py"])


def test_a_changed_file_is_refused_wherever_the_workspace_is(root: Path) -> None:
    (root / "brick" / "code.py").write_text("mine\n")

    with pytest.raises(Misused, match=r"not committed.*: brick/code\.py$"):
        check_committed(root, ["brick/code.py"])


def test_a_file_that_is_staged_only_is_refused(root: Path) -> None:
    (root / "brick" / "code.py").rename(root / "brick" / "new.py")
    subprocess.run(["git", "-C", str(root), "add", "."], check=True)

    with pytest.raises(Misused, match=r"not committed.*: brick/new\.py$"):
        check_committed(root, ["brick/new.py"])


@pytest.mark.parametrize("name", ["notes é.txt", "results.db"])
def test_a_file_that_git_does_not_track_is_refused(root: Path, name: str) -> None:
    """Git lists the first as untracked; the second is ignored, and git's list of changes does not have it."""
    (root / "brick" / name).write_text("mine\n")

    with pytest.raises(Misused, match=rf"git does not track.*: brick/{name}$"):
        check_committed(root, ["brick/code.py", f"brick/{name}"])


def test_what_python_compiled_is_no_loss(root: Path) -> None:
    (root / "brick" / "__pycache__").mkdir()
    (root / "brick" / "__pycache__" / "code.pyc").write_bytes(b"\xff")

    check_committed(root, ["brick/code.py", "brick/__pycache__/code.pyc"])
