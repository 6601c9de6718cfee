"""How much memory a worker takes, as the kernel counts it."""

import re
from pathlib import Path


def memory(pid: int) -> float:
    """MiB that are resident for the largest of a process and its children: the one that works."""
    return max(_kib(each, "VmRSS") for each in family(pid)) / 1024


def family(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def _kib(pid: int, line: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{line}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0
