"""Length-prefixed messages over the child's socket."""

import queue
import socket
import threading
from os import register_at_fork

from mousetrap.isolated_handlers.protocol import (
    HEADER_BYTES,
    FromChild,
    ProgressReport,
    ToChild,
    framed,
    to_child,
)
from mousetrap.shapes import Progress


class ChildSocket:
    """The child's end of the socket. A thread sends: no signal can interrupt it in the middle of a message."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._outbox: queue.SimpleQueue[FromChild | Progress | None] = queue.SimpleQueue()
        self._latest: Progress | None = None
        self._sender = threading.Thread(target=self._send_all, name="send", daemon=True)
        self._sender.start()
        # A process that the handler forks would keep the socket open, and the worker would never see our end.
        register_at_fork(after_in_child=connection.close)

    def receive(self) -> ToChild | None:
        """The next message, however long it takes; None once the worker is gone."""
        try:
            message: ToChild = to_child.decode(
                self._exactly(int.from_bytes(self._exactly(HEADER_BYTES), "big"))
            )
        except (EOFError, ConnectionError):
            return None
        return message

    def send(self, message: FromChild) -> None:
        """Returns at once."""
        self._outbox.put(message)

    def report(self, progress: Progress) -> None:
        """Sends the latest progress, where reports come faster than they can be sent; from any thread."""
        is_queued = self._latest is not None
        self._latest = progress
        if not is_queued:
            self._outbox.put(progress)

    def close(self) -> None:
        """Returns when everything is sent."""
        self._outbox.put(None)
        self._sender.join()

    def _send_all(self) -> None:
        try:
            while (message := self._outbox.get()) is not None:
                if isinstance(message, Progress):
                    message, self._latest = ProgressReport(self._latest or message), None
                self._connection.sendall(framed(message))
        except ConnectionError:  # the worker is gone; `receive` sees that too
            return

    def _exactly(self, count: int) -> bytearray:
        read = bytearray()
        while len(read) < count:
            part = self._connection.recv(count - len(read))
            if not part:
                raise EOFError
            read += part
        return read
