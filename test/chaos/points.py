"""Names the nineteen points of the settle path, and sets traps."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from enum import StrEnum
from pathlib import Path


class Point(StrEnum):
    """README.md shows of each what is on record, and what must follow."""

    RECEIVED = "received"
    VERIFIED = "verified"
    CLAIM_SENT = "claim_sent"
    CLAIMED = "claimed"
    PAYLOAD_READ = "payload_read"
    HANDLER_BEGUN = "handler_begun"
    HANDLER_MID = "handler_mid"
    HANDLER_DONE = "handler_done"
    PAYLOAD_PUT = "payload_put"
    LEASE_RENEWED = "lease_renewed"
    DECIDE_SENT = "decide_sent"
    DECIDED = "decided"
    PUBLISH_SENT = "publish_sent"
    PUBLISHED = "published"
    RETRY_PUBLISHED = "retry_published"
    DEAD_LETTER_PUBLISHED = "dead_letter_published"
    ACKNOWLEDGED = "acknowledged"
    ACKNOWLEDGE_FLUSHED = "acknowledge_flushed"
    HANDED_BACK = "handed_back"


class FanPoint(StrEnum):
    """The same of a fan-out, from its first window to its join: README.md has a table of these too."""

    WINDOW_SENT = "window_sent"
    WINDOW_OPENED = "window_opened"
    CHILD_SENT = "child_sent"
    CHILD_PUBLISHED = "child_published"
    CLOSE_SENT = "close_sent"
    CLOSED = "closed"
    FIRED = "fired"
    JOIN_SENT = "join_sent"
    JOIN_PUBLISHED = "join_published"
    PAGE_READ = "page_read"


class Trap:
    """Strikes the process that it is in when a point is passed, once for each time that it is set."""

    def __init__(self, file: Path, broker_url: str) -> None:
        #: Holds how the trap is set: a point, `kill` or `abort`, and at which passing.
        self._file = file
        hosts = broker_url.rpartition("@")[2].rpartition("//")[2].partition("/")[0]
        self._broker_ports = {int(host.rpartition(":")[2]) for host in hosts.split(",")}
        self._point = ""
        self._act: Callable[[], None] = _kill
        self._left = 0

    def set(self) -> None:
        """Reads the file; an empty one disarms."""
        point, act, count = (self._file.read_text().split() or ["", "kill", "0"])[:3]
        self._act = _kill if act == "kill" else self._abort
        self._point, self._left = point, int(count)
        _say(f"trap set at {point or 'nothing'}")

    def waits_at(self, point: str) -> bool:
        return self._point == point

    def passing(self, point: str) -> None:
        """The process has come to `point`."""
        if self._point != point:
            return
        self._left -= 1
        if self._left <= 0:
            self._point = ""
            _say(f"trap sprung at {point}")
            self._act()

    async def passing_soon(self, point: str) -> None:
        """The same, when what was begun just before has had a turn of the loop to leave the process."""
        if self._point == point:
            for _ in range(3):
                await asyncio.sleep(0)
            self.passing(point)

    def _abort(self) -> None:
        """Shuts every connection to the broker under its owner: no goodbye, and no answer to what was sent."""
        for descriptor in _sockets():
            with closing(socket.socket(fileno=os.dup(descriptor))) as connection:
                if _leads_to(connection, self._broker_ports):
                    with suppress(OSError):  # the other side was quicker
                        connection.shutdown(socket.SHUT_RDWR)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _say(text: str) -> None:
    # Straight to the output: a buffer would die with us.
    os.write(1, f"{text}\n".encode())


def _sockets() -> list[int]:
    """The descriptors of this process that are sockets."""
    found = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the one that the listing itself had
            if str(entry.readlink()).startswith("socket:"):
                found.append(int(entry.name))
    return found


def _leads_to(connection: socket.socket, ports: set[int]) -> bool:
    try:
        peer = connection.getpeername()
    except OSError:  # not connected
        return False
    return isinstance(peer, tuple) and peer[1] in ports  # isolated handlers' processes are reached by path
