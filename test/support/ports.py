"""Finds ports for servers, and ports where none is."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Different free ports of the loopback interface: all are held open until the last one is found."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def closed_port() -> int:
    """A port of the loopback interface that refuses connections as long as this process lives.

    It is taken, and nothing listens there: a port that is merely free can be another test's server in the next moment.
    """
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    port: int = taken.getsockname()[1]
    taken.detach()  # for good: no collector closes it
    return port
