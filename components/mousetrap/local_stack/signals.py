"""Calls a function at a signal, whatever the main thread does."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Of one read. Each signal is a byte.
_READ_BYTES = 64


@contextmanager
def called_at_signals(call: Callable[[], None]) -> Iterator[None]:
    """Calls `call` for each SIGINT and SIGTERM, in a thread of its own. For the main thread.

    Python's own handler waits for the main thread. One that is about to sleep on a lock, or whose signal another thread got,
    would sleep on: Ctrl-C would do nothing. The interpreter writes into the socket at once.
    """
    received, written = socket.socketpair()
    written.setblocking(False)
    earlier_descriptor = signal.set_wakeup_fd(written.fileno())
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = {number: signal.signal(number, _nothing) for number in numbers}
    thread = threading.Thread(target=_read, args=(received, numbers, call), name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(earlier_descriptor)
        written.close()
        thread.join()
        received.close()


def _nothing(_number: int, _frame: object) -> None:
    """Takes the place of the signal's default action."""


def _read(received: socket.socket, numbers: tuple[int, ...], call: Callable[[], None]) -> None:
    while read := received.recv(_READ_BYTES):
        for number in read:
            if number in numbers:
                call()
