"""Runs several processes of one program, and restarts what dies."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from mousetrap.local_stack.children import Children, Ended
from mousetrap.local_stack.restarts import RESTART_DELAY_S, Start, end_of, next_start
from mousetrap.local_stack.supervisor import StartDue
from mousetrap.shutdown import ExitCode, called_at_signals

#: Ends that were asked for, by a signal or from elsewhere.
_IN_ORDER = (ExitCode.FINISHED, ExitCode.HANDED_BACK)


@dataclass(frozen=True, slots=True)
class Change:
    """Files have changed, which the processes are to load again."""

    what: str


class _StopAsked:
    """Ctrl-C, or a SIGTERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is run: what `python -m` gets, and an environment for each process."""

    words: Sequence[str]
    environments: Sequence[Mapping[str, str]]
    #: Seconds in which a process finishes what it runs.
    grace_s: float


def run_processes(
    program: Program,
    on_line: Callable[[str], None],
    watch: Callable[[Callable[[Change], None]], None] | None = None,
) -> int:
    """Runs the processes until all have ended or a signal comes, and returns the exit code for all of them.

    One that dies is started again; one that ended as it was asked to is not. A first signal is passed on, so that they finish
    what they run; each further one too, which ends them at once. None survives this process, whatever ends it. `watch` runs
    in a thread, and reports changes: then all are stopped in the same order and started again, and one that cannot start waits
    for the next change.
    """
    events: SimpleQueue[Any] = SimpleQueue()
    children = Children(lambda _, line: on_line(line), events.put, program.grace_s)
    crew = _Processes(program, children, events, on_line, keeps_on=watch is not None)
    try:
        with called_at_signals(crew.ask_to_stop):
            if watch is not None:
                threading.Thread(target=watch, args=(events.put,), name="watch", daemon=True).start()
            return crew.run()
    finally:
        children.close()


class _Processes:
    """The processes, by number, and the events of them."""

    def __init__(
        self,
        program: Program,
        children: Children,
        events: "SimpleQueue[Any]",
        on_line: Callable[[str], None],
        *,
        keeps_on: bool,
    ) -> None:
        self._program = program
        self._children = children
        self._events = events
        self._on_line = on_line
        self._keeps_on = keeps_on
        self._names = [str(number) for number, _ in enumerate(program.environments, 1)]
        self._starts: dict[str, Start] = {}
        self._running: set[str] = set()
        #: Those that wait to be started again.
        self._due: set[str] = set()
        self._codes: list[int] = []
        self._signals = 0

    def ask_to_stop(self) -> None:
        """At a signal, in a thread of its own."""
        self._signals += 1
        if self._signals > 1:
            self._children.ask(self._names)
        self._events.put(_StopAsked())

    def run(self) -> int:
        self._start(self._names)
        while self._running or self._due or self._keeps_on:
            match self._events.get():
                case _StopAsked():
                    self._stop()
                    break
                case Change(what):
                    self._on_line(f"mousetrap: {what} changed; starting again")
                    self._stop()
                    if self._signals:
                        break
                    self._codes.clear()
                    self._start(self._names)
                case StartDue(name) if name in self._due:
                    self._start([name], self._starts[name])
                case Ended(name, code) if not self._goes_on(name, code):
                    self._stop()
                    break
        return _worst(self._codes)

    def _start(self, names: Iterable[str], start: Start | None = None) -> None:
        for name in names:
            self._starts[name] = start or Start(time.monotonic())
            self._due.discard(name)
            self._running.add(name)
            environment = self._program.environments[int(name) - 1]
            self._children.start(name, self._program.words, environment)

    def _goes_on(self, name: str, code: int) -> bool:
        """What follows from an end; False where the others are to be stopped."""
        self._running.discard(name)
        if self._keeps_on:
            self._on_line(
                f"mousetrap: process {name} ended with {end_of(code)}; it starts again after a change"
            )
            return True
        if code in _IN_ORDER:
            self._codes.append(code)
            return True
        start = next_start(self._starts[name], code, time.monotonic())
        if start is None:
            self._codes.append(code if code > 0 else ExitCode.DEFECT)
            return False
        self._starts[name] = start
        self._due.add(name)
        self._on_line(
            f"mousetrap: process {name} ended by itself, with {end_of(code)}; starting it again in {RESTART_DELAY_S:g} s"
        )
        timer = threading.Timer(RESTART_DELAY_S, self._events.put, [StartDue(name)])
        timer.daemon = True
        timer.start()
        return True

    def _stop(self) -> None:
        """Has all finish what they run, and takes their exit codes."""
        self._due.clear()
        self._children.stop(self._names)
        while self._running:
            match self._events.get():
                case Ended(name, code):
                    self._running.discard(name)
                    self._codes.append(code)


def _worst(codes: Iterable[int]) -> int:
    """One exit code for all: of a defect or of wrong settings, else that something was handed back, else 0.

    A process that did not end in time was killed: another worker goes on with its jobs.
    """
    found = {ExitCode.HANDED_BACK if code < 0 else code for code in codes}
    return int(max(found - set(_IN_ORDER), default=max(found, default=ExitCode.FINISHED)))
