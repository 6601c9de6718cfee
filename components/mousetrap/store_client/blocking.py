"""Asks a server on this machine without an event loop."""

import socket
from collections.abc import Sequence
from typing import Any

import hiredis

from mousetrap.store_client.address import Address
from mousetrap.store_client.connection import Command, packed
from mousetrap.store_client.errors import ConnectionLost, ReplyError

_AT_ONCE = 65_536


def ask_blocking(url: str, commands: Sequence[Command], timeout_s: float) -> list[Any]:
    """The replies to commands, over a connection without TLS that is closed after them; an error is a ReplyError in the list.

    `timeout_s` bounds each wait. Raises OSError when the server does not answer.
    """
    at = Address.parse(url)
    login = at.login("")
    sent = packed([*login, *commands])
    reader, replies = hiredis.Reader(replyError=ReplyError), list[Any]()
    with socket.create_connection((at.host, at.port), timeout_s) as connection:
        connection.sendall(b"".join(sent))
        while len(replies) < len(sent):
            data = connection.recv(_AT_ONCE)
            if not data:
                raise ConnectionLost("it closed the connection")
            replies += _read(reader, data)
    return replies[len(login) :]


def _read(reader: hiredis.Reader, data: bytes) -> list[Any]:
    found: list[Any] = []
    try:
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            found.append(reply)
    except hiredis.HiredisError as error:
        raise ConnectionError(f"its replies cannot be read: {error}") from error
    return found
