"""Tests that started programs end with the tests."""

import os
import sys
from pathlib import Path

import pytest

from support.processes import Process, clean_environment
from support.waiting import until

_STARTS_ANOTHER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; print('child runs', flush=True); time.sleep(600)"])
print("parent of", child.pid, flush=True)
child.wait()
"""


_DIES = """
import os, signal, sys
from support.processes import Process, clean_environment
process = Process([sys.executable, "-c", "import time; time.sleep(600)"], clean_environment())
print("started", process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_is_killed_with_all_that_it_started() -> None:
    with Process([sys.executable, "-c", _STARTS_ANOTHER], clean_environment()) as process:
        child = int(process.wait_for_line("parent of").split()[-1])
        process.wait_for_line("child runs")

    until(lambda: _is_gone(child), "the child is gone")


def test_a_process_ends_when_the_tests_are_killed() -> None:
    here = str(Path(__file__).parents[1])
    with Process([sys.executable, "-c", _DIES], clean_environment(PYTHONPATH=here)) as tests:
        started = int(tests.wait_for_line("started").split()[-1])

        until(lambda: _is_gone(started), "what the killed tests had started is gone")


def test_waiting_for_a_line_that_never_comes_fails_with_the_output() -> None:
    with (
        Process([sys.executable, "-c", "print('something else')"], clean_environment()) as process,
        pytest.raises(AssertionError, match=r"did not print 'ready'.*\nsomething else"),
    ):
        process.wait_for_line("ready")


def _is_gone(pid: int) -> bool:
    """Whether it has ended; one that is not reaped yet counts."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True
