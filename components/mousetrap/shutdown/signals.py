"""Calls a function at a signal, whatever the main thread does."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
#: Of one read. Each signal is a byte.
_READ_BYTES = 64


@contextmanager
def called_at_signals(call: Callable[[], None]) -> Iterator[None]:
    """Calls `call` for each SIGINT and SIGTERM in this block, in a thread of its own. For the main thread."""
    signals = SignalThread(call)
    signals.begin()
    try:
        yield
    finally:
        signals.end()


class SignalThread:
    """Calls `call` for each SIGINT and SIGTERM, in a thread of its own.

    Python's own handler waits for the main thread. One that is about to sleep, or whose signal another thread got, would sleep on:
    Ctrl-C would do nothing. The interpreter writes into the socket at once, and this thread reads it.

    An event loop has the signals written into a socket of its own while it runs: `hold` takes them back, and passes each on to the loop.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._received, self._written = socket.socketpair()
        self._written.setblocking(False)
        #: Where an event loop that runs would have them written.
        self._loop_descriptor: int | None = None
        self._thread = threading.Thread(target=self._read, name="signals", daemon=True)

    def begin(self) -> None:
        """Takes the signals from here on. For the main thread, as the others are."""
        self._earlier_descriptor = self._take()
        self._earlier = {number: signal.signal(number, self._on_signal) for number in _NUMBERS}
        self._thread.start()

    def hold(self) -> bool:
        """Takes them from an event loop that has just begun to run; whether one had them."""
        other = self._take()
        if other in (-1, self._written.fileno()):
            return False
        if self._loop_descriptor is None:
            self._loop_descriptor = os.dup(other)
        else:  # under the same number, in one step: the thread may be about to write to it
            os.dup2(other, self._loop_descriptor, inheritable=False)
        return True

    def end(self) -> None:
        """Leaves all as it was."""
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._earlier_descriptor)
        self._written.shutdown(socket.SHUT_WR)  # for a process that was forked may have it open too
        self._thread.join()
        self._written.close()
        self._received.close()
        if self._loop_descriptor is not None:
            os.close(self._loop_descriptor)

    def _take(self) -> int:
        # What is written is lost where hundreds wait: then it makes no difference.
        return signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)

    def _on_signal(self, _number: int, _frame: object) -> None:
        """The main thread's own handler: acts where the signal was written for a loop that has this moment begun to run."""
        if self.hold():
            self._call()

    def _read(self) -> None:
        while read := self._received.recv(_READ_BYTES):
            for number in read:
                if number in _NUMBERS:
                    self._call()
            if (descriptor := self._loop_descriptor) is not None:
                with suppress(OSError):  # the loop does not run any more
                    os.write(descriptor, read)
