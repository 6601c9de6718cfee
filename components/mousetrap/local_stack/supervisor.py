"""Starts the stack's programs, and restarts those that end by themselves."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.local_stack.children import Children, Ended
from mousetrap.local_stack.loading import loading_fault
from mousetrap.local_stack.plan import API
from mousetrap.local_stack.restarts import RESTART_DELAY_S, ProgramEnded, Start, end_of, next_start
from mousetrap.local_stack.server import VALKEY, Server
from mousetrap.shutdown import ExitCode


class StartDue(NamedTuple):
    """It is time to restart a program."""

    name: str


class Supervisor:
    """The programs of a stack.

    1. `start_server` and `start` start all processes.
    2. Each end, and each restart that is due, is put into `events` from another thread.
    3. The reader of `events` passes it to `handle`, which restarts a process or raises ProgramEnded.
    """

    def __init__(
        self,
        programs: Mapping[str, Sequence[str]],
        environment: Mapping[str, str],
        children: Children,
        events: "SimpleQueue[Any]",
        on_line: Callable[[str, str], None],
    ) -> None:
        self._programs = programs
        self._environment = environment
        self._children = children
        self._events = events
        self._on_line = on_line
        self._starts: dict[str, Start] = {}
        self._server: Server | None = None
        #: Workers that were asked to end.
        self._left: set[str] = set()

    @property
    def workers(self) -> list[str]:
        """The programs without the API."""
        return [name for name in self._programs if name != API]

    @property
    def worker_pids(self) -> set[int]:
        """The processes of its workers now."""
        return self._children.pids([name for name in self.workers if name not in self._left])

    def start_server(self, valkey: EmbeddedValkey) -> None:
        """Starts the embedded server. Raises EmbeddedValkeyFailed."""
        on_line, restart_later = partial(self._on_line, VALKEY), partial(self._restart_later, VALKEY)
        self._server = Server(valkey, self._events.put, on_line, restart_later)
        self._server.start()

    def start(self) -> None:
        """Starts all programs."""
        for name in self._programs:
            self._start(name)
        self._starts = dict.fromkeys(self._programs, Start(time.monotonic()))

    def stop(self) -> None:
        """Stops the API first, then the workers, which finish what they run."""
        self._children.stop([API])
        self._children.stop(self.workers)

    def kill(self) -> None:
        """Ends all programs at once."""
        self._children.kill()

    def handle(self, event: Ended | StartDue) -> None:
        """Restarts a process now or later. Raises ProgramEnded for one that is not restarted."""
        match event:
            case Ended(name, code) if name == VALKEY and self._server:
                self._server.handle_end(code)
            case Ended(name, code):
                self._handle_end(name, code)
            case StartDue(name) if name == VALKEY and self._server:
                self._server.restart()
            case StartDue(name):
                self._start(name)

    def _start(self, name: str) -> None:
        self._children.start(name, self._programs[name], self._environment)

    def _handle_end(self, name: str, code: int) -> None:
        """A program that the watchdog ended, or that was killed, is restarted; a worker that ended in order was asked to.

        Any other end is the end of the stack.
        """
        if name != API and code in (ExitCode.FINISHED, ExitCode.HANDED_BACK):
            self._left.add(name)
            self._on_line(name, "has ended as it was asked to; it is not started again")
            return
        if code == 1 and (fault := loading_fault(self._programs[name][0], self._environment)):
            raise ProgramEnded(f"{name} cannot be loaded: {fault}")
        start = next_start(self._starts[name], code, time.monotonic())
        if start is None:
            raise ProgramEnded(f"{name} ended by itself, with {end_of(code)}")
        self._starts[name] = start
        self._on_line(
            name, f"ended by itself, with {end_of(code)}; starting it again in {RESTART_DELAY_S:g} s"
        )
        self._restart_later(name, RESTART_DELAY_S)

    def _restart_later(self, name: str, seconds: float) -> None:
        timer = threading.Timer(seconds, self._events.put, [StartDue(name)])
        timer.daemon = True
        timer.start()
