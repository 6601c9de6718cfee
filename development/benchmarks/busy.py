"""Keeps one core busy, for a bounded time."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from support.processes import Process, clean_environment

#: Seconds after which it ends by itself, should nothing else end it.
_LONGEST_S = 120.0


@contextmanager
def busy() -> Iterator[int]:
    """Another load beside the block: a process of its own that computes without a pause on the last core; its id."""
    core = max(os.sched_getaffinity(0))
    command = [sys.executable, "-c", _LOOP, str(core), str(_LONGEST_S)]
    with Process(command, clean_environment()) as process:
        process.wait_for_line("busy")
        yield process.pid


_LOOP = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
end = time.monotonic() + float(sys.argv[2])
print("busy", flush=True)
while time.monotonic() < end:
    pass
"""
