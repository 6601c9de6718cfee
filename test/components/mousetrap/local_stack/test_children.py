"""Output, ends and cleaning up of child processes."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest

from mousetrap.local_stack.children import Children, Ended
from support.processes import Process, clean_environment
from support.waiting import until

CHILD = """
import signal, sys, time
if sys.argv[0].endswith("stubborn.py"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("here", flush=True)
print("there", file=sys.stderr, flush=True)
time.sleep(600)
"""
PARENT = """
import os, time
from mousetrap.local_stack.children import Children
children = Children(lambda name, line: print(name, line, flush=True), print, 1.0)
children.start("one", ["obedient"], os.environ)
children.start("two", ["stubborn"], os.environ)
time.sleep(600)
"""


class Seen:
    """The lines and the ends of children."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.ended: SimpleQueue[Ended] = SimpleQueue()
        self.all_lines = Event()

    def add_line(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        if len(self.lines) == 2:
            self.all_lines.set()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def environment(tmp_path: Path, mark: str) -> dict[str, str]:
    for name in ("obedient", "stubborn"):
        (tmp_path / f"{name}.py").write_text(CHILD)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    return clean_environment(PYTHONPATH=path, MARK_OF_TEST=mark)


@pytest.fixture
def grace_s() -> float:
    """Longer than a busy machine takes to end a child that obeys."""
    return 60.0


@pytest.fixture
def children(seen: Seen, grace_s: float) -> Iterator[Children]:
    made = Children(seen.add_line, seen.ended.put, grace_s)
    yield made
    made.close()


def test_both_streams_of_a_child_are_read_line_by_line(
    children: Children, seen: Seen, environment: dict[str, str]
) -> None:
    children.start("one", ["obedient"], environment)

    assert seen.all_lines.wait(60)
    assert sorted(seen.lines) == [("one", "here"), ("one", "there")]


def test_the_end_of_a_child_is_reported_with_its_exit_code(children: Children, seen: Seen) -> None:
    children.start("one", ["no.such.module"], clean_environment())

    assert seen.ended.get(timeout=60) == Ended("one", 1)
    assert "No module named" in seen.lines[-1][1]


@pytest.mark.parametrize(
    ("module", "grace_s", "code"),
    [
        ("obedient", 60.0, -signal.SIGTERM),
        ("stubborn", -4.5, -signal.SIGKILL),  # a stop times out 5 s after the grace
    ],
)
def test_a_child_that_is_stopped_may_finish_and_is_killed_after_the_timeout(
    children: Children, seen: Seen, environment: dict[str, str], module: str, code: int
) -> None:
    children.start("one", [module], environment)
    assert seen.all_lines.wait(60)

    children.stop(["one"])

    assert seen.ended.get(timeout=60) == Ended("one", code)


def test_closing_leaves_no_process(
    children: Children, seen: Seen, environment: dict[str, str], living: Callable[[], dict[int, str]]
) -> None:
    children.start("one", ["stubborn"], environment)
    assert seen.all_lines.wait(60)
    assert living()

    children.close()

    assert living() == {}


def test_a_killed_parent_leaves_no_process(
    environment: dict[str, str], living: Callable[[], dict[int, str]]
) -> None:
    with Process([sys.executable, "-c", PARENT], environment) as parent:
        parent.wait_for_line("one there")
        parent.wait_for_line("two there")

        parent.send(signal.SIGKILL)
        parent.wait()

        until(lambda: not living(), "all children are gone")
