"""One connection to Valkey: made when it is needed, dropped on any doubt, for one question at a time."""

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

#: What asking may raise. A ResponseError is an answer: the server is there and says no.
LOST = (RedisError, OSError)

_log = logging.getLogger("mousetrap.job_queue")
_SCHEMES = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss"}
_UNREADABLE = (
    "the broker's address cannot be read: write valkey://user:password@host:port/database, or valkeys:// for TLS, "
    "with special characters of the password percent-encoded"
)
_STEPS = Path(__file__).with_name("streams.lua").read_text()
_STEPS_SHA = hashlib.sha1(_STEPS.encode(), usedforsecurity=False).hexdigest()


class Server:
    """Where Valkey is, and whether it answers; the log hears once when it ceases to, and once when it does again."""

    def __init__(self, url: str, name: str, tls: ssl.SSLContext | None) -> None:
        self._arguments = _parse(url)
        self._encrypted = self._arguments.pop("connection_class", None) is SSLConnection
        self._tls = tls
        self._name = re.sub(r"[^!-~]", "-", name)  # Valkey takes no other characters
        self._away = False

    def __str__(self) -> str:
        return f"{self._arguments.get('host', 'localhost')}:{self._arguments.get('port', 6379)}"

    def connection(self) -> Connection:
        """A new connection, not yet made. It waits without end and never tries twice: `Line` sees to both."""
        arguments = {**self._arguments, "socket_timeout": None, "client_name": self._name, "protocol": 2}
        if not self._encrypted:
            return Connection(**arguments)
        connection = SSLConnection(**arguments)
        if self._tls is not None:
            connection.ssl_context.context = self._tls
        return connection

    def struck(self, why: Exception) -> None:
        if not self._away:
            _log.warning("Valkey at %s cannot be used, trying until it can: %s", self, _explain(why))
        self._away = True

    def answered(self) -> None:
        if self._away:
            _log.info("Valkey at %s can be used again", self)
        self._away = False

    def unreachable(self, why: Exception) -> QueueUnreachable:
        """The error for whoever cannot wait."""
        return QueueUnreachable(
            f"Valkey at {self} is out of reach: {_explain(why)}. "
            "Check that it runs and that MOUSETRAP_BROKER_URL names it"
        )


class Line:
    """Asks Valkey. Raises one of LOST; of a loss while it was idle only if it `tells_loss`, else it connects anew."""

    def __init__(self, server: Server, *, tells_loss: bool = False) -> None:
        self.server = server
        self._tells_loss = tells_loss
        self._connection = server.connection()
        self._turn = asyncio.Lock()

    async def open(self, patience: float) -> None:
        """Makes the connection, if it is not there."""
        async with asyncio.timeout(patience), self._turn:
            await self.look()
            await self._connection.connect()  # type: ignore[no-untyped-call]

    async def ask(self, *words: Any, patience: float) -> Any:
        """The answer to a command, within `patience` seconds."""
        async with asyncio.timeout(patience), self._turn:
            answer = await self._exchange(words)
        self.server.answered()
        return answer

    async def step(
        self, name: str, *arguments: Any, with_bytes: Iterable[bytes] = (), patience: float
    ) -> Any:
        """What one step of streams.lua returns."""
        words = (0, name, msgspec.msgpack.encode(arguments), *with_bytes)
        try:
            return await self.ask("EVALSHA", _STEPS_SHA, *words, patience=patience)
        except NoScriptError:  # the server forgets scripts when it restarts
            return await self.ask("EVAL", _STEPS, *words, patience=patience)

    async def look(self) -> None:
        """Notices that the server has closed the connection, which costs it no question."""
        if self._connection.is_connected and await self._connection.can_read():
            await self._connection.disconnect(nowait=True)
            if self._tells_loss:
                raise ConnectionResetError("it closed the connection")

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def _exchange(self, words: tuple[Any, ...]) -> Any:
        await self.look()
        try:
            await self._connection.send_command(*words)
            return await self._connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            # Above all a time-out or a cancel: an answer that comes late would pass for the next question's.
            await self._connection.disconnect(nowait=True)
            raise


def pause(failures: int, chance: float) -> float:
    """Seconds until the next try: doubling to two, a random half of it taken off so that many do not come at once."""
    return min(2.0, 0.05 * 2.0 ** min(failures, 16)) * (1 - chance / 2)


def _parse(url: str) -> dict[str, Any]:
    """What a connection needs to know. Raises ValueError, which never holds the address: a password may be in it."""
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
    return str(error) or type(error).__name__
