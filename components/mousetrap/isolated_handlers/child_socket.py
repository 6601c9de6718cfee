"""An isolated handler's process's end of the socket to its worker: words in, words out, no half one ever."""

import queue
import socket
import threading
from os import register_at_fork

from mousetrap.isolated_handlers.protocol import HEAD, Heard, Said, Told, framed, told
from mousetrap.shapes import Progress


class Wire:
    """What is said here is sent by a thread: no signal can interrupt it in the middle of a word."""

    def __init__(self, talk: socket.socket) -> None:
        self._talk = talk
        self._outbox: queue.SimpleQueue[Heard | Progress | None] = queue.SimpleQueue()
        self._latest: Progress | None = None
        self._sender = threading.Thread(target=self._send, name="send", daemon=True)
        self._sender.start()
        # A process that the handler forks would keep the socket open, and the worker would never hear of our end.
        register_at_fork(after_in_child=talk.close)

    def hear(self) -> Told | None:
        """The next word, however long it takes; None once the worker is gone."""
        try:
            word: Told = told.decode(self._exactly(int.from_bytes(self._exactly(HEAD), "big")))
        except (EOFError, ConnectionError):
            return None
        return word

    def say(self, word: Heard) -> None:
        """Returns at once."""
        self._outbox.put(word)

    def progress(self, progress: Progress) -> None:
        """Says the latest of what is told faster than it can be sent; from any thread."""
        waits = self._latest is not None
        self._latest = progress
        if not waits:
            self._outbox.put(progress)

    def close(self) -> None:
        """Returns when all that was said is sent."""
        self._outbox.put(None)
        self._sender.join()

    def _send(self) -> None:
        try:
            while (word := self._outbox.get()) is not None:
                if isinstance(word, Progress):
                    word, self._latest = Said(self._latest or word), None
                self._talk.sendall(framed(word))
        except ConnectionError:  # the worker is gone; whoever listens sees that too
            return

    def _exactly(self, count: int) -> bytearray:
        read = bytearray()
        while len(read) < count:
            part = self._talk.recv(count - len(read))
            if not part:
                raise EOFError
            read += part
        return read
