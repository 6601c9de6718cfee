"""Sends commands to Valkey over one connection, one at a time."""

import asyncio
import hashlib
import logging
import re
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from mousetrap.jobs import QueueUnreachable
from mousetrap.retry import Backoff
from mousetrap.store_client import Address, Connection, ReplyError, packed
from mousetrap.store_client import Server as StoreServer
from mousetrap.telemetry import OutageLog

#: What a command can raise. A ReplyError is a reply: the server is there and refuses.
LOST = (ReplyError, OSError)

#: Between tries to reach the server.
BACKOFF = Backoff(first_s=0.1, longest_s=2.0)

_log = logging.getLogger("mousetrap.stream_queue")
_SCHEMES = ("valkey", "valkeys", "redis", "rediss")
_UNREADABLE = (
    "the broker's address cannot be read: write valkey://user:password@host:port/database, or valkeys:// for TLS, "
    "with special characters of the password percent-encoded"
)
#: A script and not a function library, as the run store has one: a server without memory refuses a whole function, but lets a
#: script remove entries before it refuses to add some. Acknowledgements must work then.
_SCRIPT = Path(__file__).with_name("queue.lua").read_text()
_SCRIPT_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class Server:
    """The address of a Valkey server, and the log of its outages."""

    def __init__(self, url: str, name: str, tls: ssl.SSLContext | None) -> None:
        listed_as = re.sub(r"[^!-~]", "-", name)  # Valkey accepts no other characters
        # Without bounds: each command of `Client` has its own.
        self._server = StoreServer(_parse(url), tls, listed_as)
        self._outage = OutageLog(
            _log,
            down=f"Valkey at {self} cannot be used, trying until it can",
            up=f"Valkey at {self} can be used again",
        )

    def __str__(self) -> str:
        return str(self._server.address)

    async def connect(self) -> Connection:
        """A new connection, logged in. Raises ConnectionError."""
        return await self._server.connect()

    def failed(self, error: Exception) -> None:
        """Logs the beginning of an outage."""
        self._outage.began(_explain(error))

    def answered(self) -> None:
        """Logs the end of an outage, if there was one."""
        self._outage.ended()

    def unreachable(self, error: Exception) -> QueueUnreachable:
        """The error for callers that cannot wait."""
        return QueueUnreachable(
            f"Valkey at {self} is out of reach: {_explain(error)}. "
            "Check that it runs and that MOUSETRAP_BROKER_URL names it"
        )


class Client:
    """One connection to Valkey.

    1. It opens when the first command needs it.
    2. It carries one command at a time. Commands raise one of LOST.
    3. It is closed after a timeout, a cancellation or an error: a late reply would be read as the reply to the next command.
    4. The next command opens it again. With `report_loss`, a connection that was lost while idle raises first.
    """

    def __init__(self, server: Server, *, report_loss: bool = False) -> None:
        self.server = server
        self._report_loss = report_loss
        self._connection: Connection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def connect(self, timeout_s: float) -> None:
        """Opens the connection, if it is not open."""
        async with asyncio.timeout(timeout_s), self._one_at_a_time:
            self.detect_close()
            await self._opened()

    async def command(self, *words: Any, timeout_s: float) -> Any:
        """The reply to a command."""
        async with asyncio.timeout(timeout_s), self._one_at_a_time:
            reply = await self._exchange(words)
        self.server.answered()
        return reply

    async def call(
        self, function: str, *arguments: Any, payload: Iterable[bytes] = (), timeout_s: float
    ) -> Any:
        """The result of a function of queue.lua."""
        words = (0, function, msgspec.msgpack.encode(arguments), *payload)
        try:
            return await self.command("EVALSHA", _SCRIPT_SHA, *words, timeout_s=timeout_s)
        except ReplyError as error:
            if error.code != "NOSCRIPT":
                raise
            # A server that restarts loses its scripts.
            return await self.command("EVAL", _SCRIPT, *words, timeout_s=timeout_s)

    def detect_close(self) -> None:
        """Detects without a request that the server has closed the connection."""
        if self._connection is not None and not self._connection.usable:
            self._drop()
            if self._report_loss:
                raise ConnectionResetError("it closed the connection")

    async def close(self) -> None:
        """Closes the connection."""
        if connection := self._drop():
            await connection.ended

    async def _exchange(self, words: tuple[Any, ...]) -> Any:
        self.detect_close()
        try:
            connection = await self._opened()
            (reply,) = await connection.exchange(packed([words]))
        except BaseException:
            self._drop()
            raise
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = await self.server.connect()
        return self._connection

    def _drop(self) -> Connection | None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        return connection


def _parse(url: str) -> Address:
    """Raises ValueError, which never holds the address: a password may be in it."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES or "?" in rest or "#" in rest:
        raise ValueError(_UNREADABLE)
    try:
        return Address.parse(url)
    except ValueError:
        raise ValueError(_UNREADABLE) from None


def _explain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return str(error).rstrip(".") or type(error).__name__
