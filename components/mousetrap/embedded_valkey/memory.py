"""Computes the embedded server's memory limit from machine and control groups."""

import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def half_of_the_memory(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes: half of the memory of this machine, or of our control group if that has less.

    The other half is for the workers, and for the copy that the server makes when it rewrites its file.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *_limits(groups, own)]) // 2


def _limits(groups: Path, own: Path) -> Iterator[int]:
    """The limits of the control groups that we are in; none where there are no groups, as on macOS."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        place = groups / controllers / path.lstrip("/")
        for folder in (place, *place.parents):
            if not folder.is_relative_to(groups):
                break
            yield from _limit(folder)


def _limit(folder: Path) -> Iterator[int]:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():  # else it is "max"
            yield int(text)
