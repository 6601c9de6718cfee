"""Asks git which files it could bring back."""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from mousetrap.api_client import Misused


def check_committed(root: Path, paths: Collection[str]) -> None:
    """Raises Misused where git could not bring back one of these files, or where it does not know the folder.

    Paths are from the root, which may be a subfolder of a repository. What Python compiled is no loss.
    """
    files = {path for path in paths if "__pycache__" not in PurePosixPath(path).parts}
    # An ignored file is in no list of changes, but it is not among the tracked files either.
    if untracked := files - set(_listed(root, "ls-files", "-z")):
        raise Misused(
            f"git does not track {len(untracked)} of the files and could not bring them back: "
            f"commit them, or move them out of the workspace: {_some(untracked)}"
        )
    if changed := files & _changed(root):
        raise Misused(
            f"{len(changed)} of the files have changes that are not committed: commit or undo them first: {_some(changed)}"
        )


def _changed(root: Path) -> set[str]:
    """The files with changes, from the root: git lists them from the repository's folder."""
    prefix = _git(root, "rev-parse", "--show-prefix").removesuffix("\n")
    lines = _listed(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=no", "--", ".")
    return {line[3:].removeprefix(prefix) for line in lines}


def _listed(root: Path, *arguments: str) -> list[str]:
    return _git(root, *arguments).split("\0")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Misused(
            f"git does not know {root}, so nothing could bring removed files back: make it a repository and commit first"
        ) from error
    return os.fsdecode(done.stdout)


def _some(paths: Collection[str]) -> str:
    return ", ".join(sorted(paths)[:5])
