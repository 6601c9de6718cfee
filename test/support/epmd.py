"""Registers node names with an Erlang port mapper."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

#: Of Erlang's distribution protocol: the request, an ordinary node, TCP, the versions that it speaks, and the two answers.
_ALIVE, _NODE, _TCP, _HIGHEST, _LOWEST = 120, 77, 0, 6, 5
_ALIVE_ANSWERS = {121: 4, 118: 6}


@contextmanager
def registered(epmd_port: int, name: str, port: int) -> Iterator[None]:
    """In this block the port mapper reports that the node `name`, without its host, listens on `port`."""
    body = bytes([_ALIVE]) + port.to_bytes(2, "big") + bytes([_NODE, _TCP])
    body += _HIGHEST.to_bytes(2, "big") + _LOWEST.to_bytes(2, "big")
    body += len(name).to_bytes(2, "big") + name.encode() + b"\0\0"
    with socket.create_connection(("127.0.0.1", epmd_port), timeout=60) as mapper:
        mapper.sendall(len(body).to_bytes(2, "big") + body)
        answer = mapper.recv(6)
        assert answer and len(answer) == _ALIVE_ANSWERS[answer[0]], f"epmd answered {answer!r}"
        assert answer[1] == 0, f"epmd has the name {name} already"
        yield
