"""Notices when Python files change."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mousetrap.local_stack.processes import Change

#: Between two looks. A look takes about 2 ms for 1,000 files.
_LOOK_S = 0.5
#: Folders of other people's files.
_LEFT_OUT = frozenset(("__pycache__", "node_modules", "site-packages"))


def watch_files(folders: Sequence[Path], report: Callable[[Change], None]) -> None:
    """Looks at the Python files in these folders again and again, and reports when one was changed, added or removed.

    By a look and not by events of the system: they need a library for each system, and say nothing of folders that are mounted.
    """
    before = times_of(folders)
    while True:
        time.sleep(_LOOK_S)
        now = times_of(folders)
        if now != before:
            before, first = now, min(path for path, _ in now.items() ^ before.items())
            report(Change(os.path.relpath(first)))


def times_of(folders: Sequence[Path]) -> Mapping[str, int]:
    """When each Python file was changed last; hidden folders, and those that libraries are in, are left out."""
    return dict(found for folder in folders for found in _times_in(str(folder)))


def _times_in(folder: str) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _LEFT_OUT:
                        yield from _times_in(entry.path)
                elif entry.name.endswith(".py"):
                    yield entry.path, entry.stat().st_mtime_ns
    except OSError:  # it is gone by now, or may not be read
        return
