"""Changes files of a folder together: all of them or none."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from mousetrap.api_client import Misused

#: Holds new and former texts while files are moved; one that is there at the start is of a try that was killed.
_STAGING = ".mousetrap-edits"
_JOURNAL = "journal.json"


class Change(NamedTuple):
    """What an edit does to one file."""

    #: "new", "changed" or "removed".
    kind: str
    #: From the workspace's folder.
    path: str


class Edits:
    """New texts of files by path, kept in memory until `apply` writes them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        #: None for a file that is to be removed.
        self._texts: dict[str, str | None] = {}

    def exists(self, path: str) -> bool:
        """Whether the file is there, once the edits are made."""
        return self._texts[path] is not None if path in self._texts else (self.root / path).is_file()

    def is_removed(self, path: str) -> bool:
        """Whether the file, or all of the folder, is removed by the edits."""
        below = [text for name, text in self._texts.items() if name == path or name.startswith(f"{path}/")]
        return bool(below) and not any(below) and not self.paths(f"{path}/**/*")

    def read(self, path: str) -> str:
        """The text, with the edits made so far. Raises Misused where there is no such file."""
        if path in self._texts and (text := self._texts[path]) is not None:
            return text
        try:
            return (self.root / path).read_text()
        except (OSError, ValueError) as error:
            raise Misused(f"{path} cannot be read, and it is to be changed: {error}") from error

    def paths(self, pattern: str) -> list[str]:
        """The files that match the pattern once the edits are made; in order."""
        on_disk = {
            found.relative_to(self.root).as_posix() for found in self.root.glob(pattern) if found.is_file()
        }
        added = {path for path in self._texts if fnmatch(path, pattern.replace("**/", "*"))}
        return sorted(path for path in on_disk | added if self.exists(path))

    def create(self, path: str, text: str) -> None:
        """Adds a file. Raises Misused where one is."""
        if self.exists(path):
            raise Misused(f"{path} is there already: remove it, or choose another name")
        self._texts[path] = text

    def replace(self, path: str, text: str) -> None:
        """Gives a file another text; one that has it already is not changed."""
        if text != self.read(path):
            self._texts[path] = text

    def remove(self, path: str) -> None:
        """Removes a file."""
        self._texts[path] = None

    @property
    def changes(self) -> Sequence[Change]:
        """What is to be done, by path."""
        return [Change(self._kind(path), path) for path in sorted(self._texts)]

    def apply(self) -> None:
        """Writes all new texts, then moves them into their places. Where that fails, all files are as they were.

        Raises Misused for what the disk refuses, and where another command changes the same workspace.
        """
        with _alone_in(self.root):
            try:
                self._write_all()
                for path in sorted(self._texts):
                    self._move(path)
            except OSError as error:
                _put_back(self.root)
                raise Misused(
                    f"nothing is changed: {error.filename or self.root}: {error.strerror}"
                ) from error
            except BaseException:
                _put_back(self.root)
                raise
            _remove_staging(self.root)
        _remove_empty_folders(self.root, [path for path, text in self._texts.items() if text is None])

    def _kind(self, path: str) -> str:
        if self._texts[path] is None:
            return "removed"
        return "changed" if (self.root / path).exists() else "new"

    def _write_all(self) -> None:
        staging = self.root / _STAGING
        staging.mkdir()
        for path, text in self._texts.items():
            if text is not None:
                place = staging / "new" / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
                if (self.root / path).exists():
                    shutil.copymode(self.root / path, place)
        written = staging / "written"
        written.write_text(json.dumps(self.changes))
        written.replace(staging / _JOURNAL)

    def _move(self, path: str) -> None:
        place, former = self.root / path, self.root / _STAGING / "former" / path
        # Two moves, no copy: half of a file is never in either place. A folder stays, and the second move fails.
        if place.is_file():
            former.parent.mkdir(parents=True, exist_ok=True)
            place.replace(former)
        if self._texts[path] is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            (self.root / _STAGING / "new" / path).replace(place)


def recover(root: Path) -> bool:
    """Puts back the files that a try changed which was killed half-way. Returns whether there was one.

    Raises Misused where the list of them cannot be read; then nothing is changed.
    """
    with _alone_in(root):
        if not (root / _STAGING).exists():
            return False
        _put_back(root)
        return True


def _put_back(root: Path) -> None:
    staging = root / _STAGING
    changes = _journal(staging)
    for change in changes:
        former = staging / "former" / change.path
        if former.exists():
            former.replace(root / change.path)
        elif change.kind == "new" and not (staging / "new" / change.path).exists():
            (root / change.path).unlink(missing_ok=True)
    _remove_empty_folders(root, [change.path for change in changes if change.kind == "new"])
    _remove_staging(root)


def _journal(staging: Path) -> list[Change]:
    """What a try was to change; nothing where it had not begun to move files, or had ended."""
    journal = staging / _JOURNAL
    try:
        return [Change(kind, path) for kind, path in json.loads(journal.read_text())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise Misused(
            f"{journal} cannot be read, so the files that a killed command changed cannot be put back: {error}. "
            f"Move what you need from {staging / 'former'} to its place, then remove {staging}"
        ) from error


def _remove_staging(root: Path) -> None:
    """Removes the journal first: without it nothing is put back, so a kill in between leaves no half."""
    (root / _STAGING / _JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(root / _STAGING, ignore_errors=True)


def _remove_empty_folders(root: Path, paths: Sequence[str]) -> None:
    """Removes the folders of these files that hold nothing more, or only what Python compiled."""
    folders = {folder for path in paths for folder in (root / path).parents if root in folder.parents}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if folder.is_dir() and {inside.name for inside in folder.iterdir()} <= {"__pycache__"}:
            shutil.rmtree(folder)


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Misused(f"another command changes {root} now: wait until it has ended") from None
    finally:
        os.close(descriptor)
