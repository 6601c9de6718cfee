"""Calls a client's coroutines from any thread, also after a fork."""

import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple, TypeVar

from mousetrap.client.core import Core
from mousetrap.client.errors import ClientClosed
from mousetrap.client.loop_thread import LoopThread

T = TypeVar("T")

#: For the close of connections.
_CLOSE_TIMEOUT_S = 10.0


class _Opened(NamedTuple):
    loop: LoopThread
    core: Core


class Blocking:
    """A core on an event loop of its own, opened by its first call.

    1. Any thread calls `run`, also one whose own event loop runs, as a notebook's.
    2. After a fork the child opens its own with its next call, and never touches what it inherited.
    3. `close`, or the end of the interpreter, closes the connections.
    """

    def __init__(self, make_core: Callable[[], Core]) -> None:
        self._make_core = make_core
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._closed = False
        _register_hooks()

    def run(self, call: Callable[[Core], Coroutine[Any, Any, T]]) -> T:
        """The result of a coroutine on the core. Raises ClientClosed after, and at, `close`."""
        opened = self._open()
        try:
            return opened.loop.run(call(opened.core))
        except CancelledError:
            raise ClientClosed("this client was closed meanwhile: open another") from None

    def close(self) -> None:
        """Closes the connections; calls in other threads end with ClientClosed."""
        with self._lock:
            self._closed = True
            opened, self._opened = self._opened, None
        _alive.discard(self)
        if opened is not None:
            with suppress(TimeoutError, CancelledError):
                opened.loop.run(opened.core.close(), _CLOSE_TIMEOUT_S)
            opened.loop.stop()

    def leave_to_parent(self) -> None:
        """In a forked child: forgets what is the parent's."""
        self._lock = threading.Lock()  # another thread may have held it
        self._opened = None

    def _open(self) -> _Opened:
        _alive.add(self)  # before the lock: a fork replaces the locks of those that it knows
        with self._lock:
            if self._closed:
                _alive.discard(self)
                raise ClientClosed("this client was closed: open another")
            if self._opened is None:
                self._opened = _Opened(LoopThread(), self._make_core())
            return self._opened


#: Those that were used and not closed, held until the interpreter ends: the thread of one that is dropped cannot close
#: itself.
_alive: set[Blocking] = set()


@cache
def _register_hooks() -> None:
    os.register_at_fork(after_in_child=_leave_all_to_parent)
    atexit.register(_close_all)


def _leave_all_to_parent() -> None:
    for each in list(_alive):
        each.leave_to_parent()


def _close_all() -> None:
    for each in list(_alive):
        each.close()
