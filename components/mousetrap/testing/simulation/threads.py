"""Runs sync handlers in real threads, while the simulated clock stands."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, TypeVar

from mousetrap.repeat_attempt import Threads
from mousetrap.testing.simulation.clock import SimulatedLoop

T = TypeVar("T")


class ClockedThreads(Executor):
    """Announces each call to the loop: a sync handler takes no simulated time."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._threads = Threads()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Calls `fn`, which raises nothing, in a thread."""
        self._loop.thread_began()

        def call() -> T:
            try:
                return fn(*args, **kwargs)
            finally:
                self._ended()

        future = self._threads.submit(call)
        future.add_done_callback(lambda ended: self._ended() if ended.cancelled() else None)
        return future

    def _ended(self) -> None:
        """Of a call that was made, or that a worker which was killed has taken back before a thread began it."""
        with suppress(RuntimeError):  # the loop is closed: its test is over
            self._loop.call_soon_threadsafe(self._loop.thread_ended)
