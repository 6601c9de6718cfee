"""Reads a worker's memory and CPU from the kernel."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def memory(pid: int) -> float:
    """MiB that a process and its children hold together (PSS: of a page that several processes share, each is counted its part)."""
    return sum(_proportional(each) for each in family(pid)) / 1024


def most(pid: int) -> float:
    """MiB that a process and its children have held at most; with several, those that were largest at other times add up."""
    return memory(pid) + sum(_since_the_most(each) for each in family(pid)) / 1024


def cpu(pid: int) -> float:
    """Seconds that a process and its children have computed. Raises OSError when there is no such process."""
    ticks = _ticks(pid)
    for child in family(pid)[1:]:
        with suppress(OSError):  # a broker starts little programs that end at once
            ticks += _ticks(child)
    return ticks / os.sysconf("SC_CLK_TCK")


def used(pids: Mapping[str, int], before: Mapping[str, float] | None = None) -> dict[str, float]:
    """Seconds that each has computed, since `before` where given."""
    return {name: cpu(pid) - (before[name] if before else 0) for name, pid in pids.items()}


def family(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has ended meanwhile
                found += map(int, children.read_text().split())
    return found


def _ticks(pid: int) -> int:
    """Of the user's and the system's time, and of the children that it has waited for: they do not take theirs with them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _proportional(pid: int) -> int:
    """KiB."""
    return _kib("Pss", Path(f"/proc/{pid}/smaps_rollup").read_text())


def _since_the_most(pid: int) -> int:
    """KiB that a process has given back since it was largest; the kernel keeps that, so no peak is missed."""
    status = Path(f"/proc/{pid}/status").read_text()
    return _kib("VmHWM", status) - _kib("VmRSS", status)


def _kib(name: str, text: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0
