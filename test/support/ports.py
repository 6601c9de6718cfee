"""Finds ports for servers, and ports where none is."""

import socket
from contextlib import ExitStack, suppress
from random import SystemRandom

#: Below what Linux (from 32,768) and macOS (from 49,152) give to connections and to those who ask for any port: a server of
#: ours that is stopped for a moment finds its port free again, however many tests open sockets meanwhile. Above what
#: `rabbitmqctl` takes for its own.
_LOWEST, _HIGHEST = 10_000, 19_999
#: Of its own: Hypothesis gives the common one the same seed in every process.
_chance = SystemRandom()


def free_ports(count: int) -> list[int]:
    """Different free ports of the loopback interface: all are held open until the last one is found."""
    with ExitStack() as held:
        return [_hold_any(held) for _ in range(count)]


def free_row(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = _chance.randint(_LOWEST, _HIGHEST - count)
        with suppress(OSError), ExitStack() as held:  # one of them is taken
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def _hold_any(held: ExitStack) -> int:
    while True:
        port = _chance.randint(_LOWEST, _HIGHEST)
        with suppress(OSError):  # it is taken
            held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return port


def closed_port() -> int:
    """A port of the loopback interface that refuses connections as long as this process lives.

    It is taken, and nothing listens there: a port that is merely free can be another test's server in the next moment.
    """
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    port: int = taken.getsockname()[1]
    taken.detach()  # for good: no collector closes it
    return port
