"""Shows that children are heard, that their ends are news, and that none outlives its parent."""

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
children.start("one", "meek", os.environ)
children.start("two", "stubborn", os.environ)
time.sleep(600)
"""


class Heard:
    """What children said, and whose ends came."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.ended: SimpleQueue[Ended] = SimpleQueue()
        self.all_said = Event()

    def tell(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        if len(self.lines) == 2:
            self.all_said.set()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def environment(tmp_path: Path, mark: str) -> dict[str, str]:
    for name in ("meek", "stubborn"):
        (tmp_path / f"{name}.py").write_text(CHILD)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    return clean_environment(PYTHONPATH=path, MARK_OF_TEST=mark)


@pytest.fixture
def children(heard: Heard) -> Iterator[Children]:
    made = Children(heard.tell, heard.ended.put, -4.5)  # with what is given beyond the grace, half a second
    yield made
    made.close()


def test_both_streams_of_a_child_are_read_line_by_line(
    children: Children, heard: Heard, environment: dict[str, str]
) -> None:
    children.start("one", "meek", environment)

    assert heard.all_said.wait(20)
    assert sorted(heard.lines) == [("one", "here"), ("one", "there")]


def test_a_child_that_ends_by_itself_is_news_with_its_exit_code(children: Children, heard: Heard) -> None:
    children.start("one", "no.such.module", clean_environment())

    assert heard.ended.get(timeout=20) == Ended("one", 1)
    assert "No module named" in heard.lines[-1][1]


@pytest.mark.parametrize(("module", "code"), [("meek", -signal.SIGTERM), ("stubborn", -signal.SIGKILL)])
def test_a_child_that_is_stopped_may_finish_but_not_without_end(
    children: Children, heard: Heard, environment: dict[str, str], module: str, code: int
) -> None:
    children.start("one", module, environment)
    assert heard.all_said.wait(20)

    children.stop(["one"])

    assert heard.ended.get(timeout=20) == Ended("one", code)


def test_closing_leaves_no_process(
    children: Children, heard: Heard, environment: dict[str, str], living: Callable[[], dict[int, str]]
) -> None:
    children.start("one", "stubborn", environment)
    assert heard.all_said.wait(20)
    assert living()

    children.close()

    assert living() == {}


def test_a_killed_parent_leaves_no_process(
    environment: dict[str, str], living: Callable[[], dict[int, str]]
) -> None:
    with Process([sys.executable, "-c", PARENT], environment) as parent:
        parent.wait_for_line("one there", seconds=30)
        parent.wait_for_line("two there", seconds=30)

        parent.send(signal.SIGKILL)
        parent.wait()

        until(lambda: not living(), "all children are gone")
