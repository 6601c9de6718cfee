"""Copies this workspace as a checkout of its own."""

import subprocess
import sys
import tarfile
from pathlib import Path

from support.other_workspace import Tree, copy_bytecode

_ROOT = Path(__file__).parents[2]
_AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@localhost")
_PROGRAMS = {
    **{name: f"-m {name}" for name in ("pytest", "mypy")},
    "mousetrap": "-m mousetrap.cli",
    "lint-imports": "-c 'from importlinter.cli import lint_imports_command; lint_imports_command()'",
}


class Checkout(Tree):
    """A git repository with all files of this workspace, those that are not committed yet too."""

    def __init__(self, folder: Path) -> None:
        listed = _git(_ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
        archive = folder / "all.tar"
        with tarfile.open(archive, "w") as packed:
            for path in listed:
                if (_ROOT / path).is_file():
                    packed.add(_ROOT / path, path)
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="tar")
        archive.unlink()
        copy_bytecode(folder)
        _git(folder, "init", "--quiet")
        (folder / ".git/info/exclude").write_text("/environment/\n/.venv\n")
        super().__init__(folder)
        self.commit()

    def with_programs(self) -> None:
        """Adds `.venv` with the programs of this workspace's, as `make .venv/.develop` would."""
        programs = self.folder / "environment" / "bin"
        (self.folder / ".venv").symlink_to("environment")
        for name, how in _PROGRAMS.items():
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec "{self._python}" {how} "$@"\n')
            script.chmod(0o755)
        # `python -m ruff` would look for its program beside this Python, and find the script that calls it.
        (programs / "ruff").symlink_to(Path(sys.executable).parent / "ruff")
        for made in (".develop", ".run"):
            (self.folder / "environment" / made).touch()
        self.reuse_types()

    def changed(self) -> str:
        """The files that differ from the last commit, as git prints them."""
        return _git(self.folder, "status", "--porcelain", "--untracked-files=all")

    def undo(self) -> None:
        """Takes the last commit back."""
        _git(self.folder, "reset", "--quiet", "--hard", "HEAD~1")

    def branch(self) -> str:
        """Begins a branch; returns the one that was left."""
        left = _git(self.folder, "branch", "--show-current").strip()
        _git(self.folder, "checkout", "--quiet", "-b", "mine")
        return left

    def change_in(self, branch: str, path: str, line: str) -> None:
        """Commits one more line of a file in another branch."""
        _git(self.folder, "checkout", "--quiet", branch)
        with (self.folder / path).open("a") as file:
            file.write(line)
        self.commit()
        _git(self.folder, "checkout", "--quiet", "mine")

    def merge(self, branch: str) -> None:
        """Merges a branch into this one; raises CalledProcessError where both changed a line."""
        _git(self.folder, *_AUTHOR, "merge", "--quiet", "--no-edit", branch)

    def commit(self) -> None:
        """Commits all files."""
        _git(self.folder, "add", "--all")
        _git(self.folder, *_AUTHOR, "commit", "--quiet", "-m", "all")


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout
