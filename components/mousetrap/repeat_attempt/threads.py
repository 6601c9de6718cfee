"""Runs sync handlers in daemon threads that are used again."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_idle: list["_Worker"] = []


class Threads(Executor):
    """A thread for each call under way, from those that are idle.

    As daemons: a handler that never ends would otherwise keep the process from its end. A new thread costs up to 1 ms.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Calls `fn` in a thread."""
        future: Future[T] = Future()
        try:
            worker = _idle.pop()
        except IndexError:
            worker = _Worker()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  it is the caller's
                future.set_exception(error)

        worker.calls.put(call)
        return future


class _Worker(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="handler", daemon=True)
        self.calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            self.calls.get()()
            _idle.append(self)
