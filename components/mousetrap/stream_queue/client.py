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
from redis.asyncio import Connection, SSLConnection
from redis.asyncio.connection import parse_url
from redis.exceptions import NoScriptError, RedisError, ResponseError

from mousetrap.jobs import QueueUnreachable
from mousetrap.retry import Backoff
from mousetrap.telemetry import OutageLog

#: What a command can raise. A ResponseError is a reply: the server is there and refuses.
LOST = (RedisError, OSError)

#: Between tries to reach the server.
BACKOFF = Backoff(first_s=0.1, longest_s=2.0)

_log = logging.getLogger("mousetrap.stream_queue")
_SCHEMES = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss"}
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
        self._arguments = _parse(url)
        self._encrypted = self._arguments.pop("connection_class", None) is SSLConnection
        self._tls = tls
        self._name = re.sub(r"[^!-~]", "-", name)  # Valkey accepts no other characters
        self._outage = OutageLog(
            _log,
            down=f"Valkey at {self} cannot be used, trying until it can",
            up=f"Valkey at {self} can be used again",
        )

    def __str__(self) -> str:
        return f"{self._arguments.get('host', 'localhost')}:{self._arguments.get('port', 6379)}"

    def connection(self) -> Connection:
        """A new connection, not yet open. It has no timeout and never retries: `Client` does both."""
        arguments = {**self._arguments, "socket_timeout": None, "client_name": self._name, "protocol": 2}
        if not self._encrypted:
            return Connection(**arguments)
        connection = SSLConnection(**arguments)
        if self._tls is not None:
            connection.ssl_context.context = self._tls
        return connection

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
        self._connection = server.connection()
        self._one_at_a_time = asyncio.Lock()

    async def connect(self, timeout_s: float) -> None:
        """Opens the connection, if it is not open."""
        async with asyncio.timeout(timeout_s), self._one_at_a_time:
            await self.detect_close()
            await self._connection.connect()  # type: ignore[no-untyped-call]

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
        except NoScriptError:  # a server that restarts loses its scripts
            return await self.command("EVAL", _SCRIPT, *words, timeout_s=timeout_s)

    async def detect_close(self) -> None:
        """Detects without a request that the server has closed the connection."""
        if self._connection.is_connected and await self._connection.can_read():
            await self._connection.disconnect(nowait=True)
            if self._report_loss:
                raise ConnectionResetError("it closed the connection")

    async def close(self) -> None:
        """Closes the connection."""
        await self._connection.disconnect(nowait=True)

    async def _exchange(self, words: tuple[Any, ...]) -> Any:
        await self.detect_close()
        try:
            await self._connection.send_command(*words)
            return await self._connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            await self._connection.disconnect(nowait=True)
            raise


def _parse(url: str) -> dict[str, Any]:
    """The arguments of a connection. Raises ValueError, which never holds the address: a password may be in it."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES or "?" in rest or "#" in rest:
        raise ValueError(_UNREADABLE)
    try:
        return {**parse_url(f"{_SCHEMES[scheme]}://{rest}")}
    except ValueError:
        raise ValueError(_UNREADABLE) from None


def _explain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return str(error).rstrip(".") or type(error).__name__
