"""Keeps files with secrets private to their owner."""

import os
import stat
from pathlib import Path

_OTHERS = 0o077


class NotPrivate(Exception):
    """A file or folder with secrets is accessible to others; the text advises what to do."""


def make_private_folder(folder: Path) -> None:
    """Makes `folder` private to its owner, and closes files in it that an earlier version left readable.

    Raises NotPrivate for a folder that others may enter or own, or that holds something of theirs, and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _check(folder, os.lstat(folder))
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _close(Path(place, name))


def write_private(path: Path, text: str) -> None:
    """Writes a file that we alone may read; it is there as a whole or not at all, and replaces an older one."""
    half = path.with_name(f"{path.name}.new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))  # the encoding of environment variables
    half.replace(path)


def check_private(path: Path) -> None:
    """Raises NotPrivate for a file or folder that is another's, a link, or open to others, and OSError."""
    _check(path, os.lstat(path))


def _close(path: Path) -> None:
    """Removes the permissions of others. A private folder protects its files; this protects them if they are moved."""
    found = os.lstat(path)
    _check_owner(path, found)
    if found.st_mode & _OTHERS:
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def _check(path: Path, found: os.stat_result) -> None:
    _check_owner(path, found)
    if found.st_mode & _OTHERS:
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise NotPrivate(
            f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):o}): `chmod {mode} {path}`; if somebody else may "
            "have used it, remove it instead, for its keys may be known and its data changed"
        )


def _check_owner(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotPrivate(f"{path} is a link, which may lead to what is not ours: remove it")
    if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
        raise NotPrivate(f"{path} is neither a file nor a folder: remove it")
    if found.st_uid != os.geteuid():
        raise NotPrivate(
            f"{path} belongs to another user (uid {found.st_uid}, we are {os.geteuid()}): "
            "remove it, or start in a folder of yours"
        )
