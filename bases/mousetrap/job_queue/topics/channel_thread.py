"""Owns a blocking channel in a thread, which answers the broker's heartbeats."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from pika.exceptions import AMQPError, ConnectionClosedByClient, ConnectionWrongStateError

#: A channel that the broker has closed is noticed so late at most, while nothing is called.
_LOOK_S = 1.0
#: For the broker to confirm the close; one that lacks memory answers late.
_CLOSE_TIMEOUT_S = 10.0

T = TypeVar("T")


class ChannelThread:
    """The thread of one blocking channel: pika allows no other to use it.

    1. Calls run on it one after the other; between them it serves the connection, heartbeats and deliveries included.
    2. Channel or connection lost: `lost` has the error, and all calls under way and all later ones raise it.
    3. `close` closes the connection.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._calls: deque[tuple[Callable[[Any], Any], Future[Any]]] = deque()
        self._lock = threading.Lock()
        self._when_lost: set[Future[Any]] = set()
        self._closing = False
        self.lost: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="mousetrap topics", daemon=True)
        self._thread.start()

    def start(self, function: Callable[[Any], T]) -> "Future[T]":
        """Begins a call of `function` with the channel."""
        future: Future[T] = Future()
        with self._lock:
            if self.lost is not None:
                raise self.lost
            self._calls.append((function, future))
        with suppress(ConnectionWrongStateError):  # the thread ends then, and the call with it
            self._channel.connection.add_callback_threadsafe(_nothing)
        return future

    def call(self, function: Callable[[Any], T]) -> T:
        """The result of `function`, called with the channel. Raises the error that ended the channel."""
        return self.start(function).result()

    def end_when_lost(self, future: "Future[Any]") -> None:
        """Gives `future` the channel's error when that is lost first."""
        with self._lock:
            if self.lost is not None:
                raise self.lost
            self._when_lost.add(future)
        future.add_done_callback(self._when_lost.discard)

    def close(self) -> None:
        """Sends what is due and closes the connection."""
        self.end()
        self._thread.join(_CLOSE_TIMEOUT_S)

    def end(self) -> None:
        """Begins to close."""
        self._closing = True
        with suppress(ConnectionWrongStateError):
            self._channel.connection.add_callback_threadsafe(_nothing)

    def _serve(self) -> None:
        error: BaseException | None = None
        try:
            while not self._closing and self._channel.is_open:
                self._channel.connection.process_data_events(time_limit=_LOOK_S)
                self._run_calls()
        except Exception as raised:  # noqa: BLE001  whatever ended it, callers get it
            error = raised
        self._end(error or self._channel._closing_reason or ConnectionClosedByClient(200, "closed"))

    def _run_calls(self) -> None:
        while self._calls and self._channel.is_open:
            function, future = self._calls.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(self._channel))
            except Exception as error:  # noqa: BLE001  the caller's to judge
                future.set_exception(error)

    def _end(self, error: BaseException) -> None:
        with self._lock:
            self.lost = error
        with suppress(AMQPError, OSError):
            if self._channel.connection.is_open:
                self._channel.connection.close()
        for _, future in self._calls:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        for future in tuple(self._when_lost):
            if not future.done():
                future.set_exception(error)


def _nothing() -> None:
    """Wakes the thread."""
