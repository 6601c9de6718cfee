"""Reads a worker's memory and CPU from the kernel."""

import os
import re
from pathlib import Path


def memory(pid: int) -> float:
    """MiB that a process and its children hold together (PSS: of a page that several processes share, each is counted its part)."""
    return sum(_proportional(each) for each in family(pid)) / 1024


def cpu(pid: int) -> float:
    """Seconds that a process and its children have computed."""
    ticks = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # user and system
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def _proportional(pid: int) -> int:
    """KiB."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
