"""Exchanges commands and replies over one connection."""

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis

from mousetrap.store_client.address import Address
from mousetrap.store_client.errors import ConnectionLost, ReplyError

Word = str | bytes | int | float | memoryview
#: One command: its name and its arguments.
Command = Sequence[Word]

#: Bytes of one reply. The server's own bound is half of it, for one value.
_LARGEST_REPLY = 1 << 30
#: After a bound was passed, what has come meanwhile is read first: a handler may have blocked the event loop.
_SECOND_LOOK_S = 0.05
_NOTHING = object()


def packed(commands: Sequence[Command]) -> list[bytes]:
    """The commands as they are sent. Raises TypeError and UnicodeEncodeError for what cannot be sent."""
    pack = hiredis.pack_command
    return [pack(tuple(command)) for command in commands]  # type: ignore[arg-type]


@dataclass(slots=True, eq=False)
class _Due:
    """Replies to come for one caller."""

    future: "asyncio.Future[list[Any]]"
    count: int
    replies: list[Any] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One connection, which many callers may use at a time: replies come in the order of the commands.

    1. `exchange` writes commands; the future has their replies, errors as values. Who does not wait for them keeps the place in
       the order. A server that cannot serve now is as one that is away.
    2. Without a reply for `timeout_s` all fail with TimeoutError, and the connection is dropped: no late reply can be another's.
    3. After `listen`, whatever comes goes to a function, as a subscription wants it; a refusal ends the connection.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._push: Callable[[Any], None] | None = None
        self._reader = hiredis.Reader(replyError=self._refusal, notEnoughData=_NOTHING)
        self._due: deque[_Due] = deque()
        #: Bytes that came after the last whole reply.
        self._unread = 0
        self._replied_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        #: Why the server cannot serve the caller whose replies come now.
        self._unfit: ReplyError | None = None
        self._retired = False
        self._lost: OSError | None = None
        self._transport: asyncio.Transport | None = None
        #: Done once the socket is closed.
        self.ended: asyncio.Future[None] = self._loop.create_future()

    @property
    def usable(self) -> bool:
        """Whether commands can be sent, as far as is known here."""
        if self._transport is not None and self._transport.is_closing():
            return False  # its socket failed in this turn of the event loop, `connection_lost` comes in the next one
        return self._lost is None and not self._retired

    @property
    def lost(self) -> OSError | None:
        """Why it ended; None while it lasts."""
        return self._lost

    def exchange(self, sent: Sequence[bytes]) -> "asyncio.Future[list[Any]]":
        """The replies to come of packed commands. It raises ConnectionLost, TimeoutError, or another ConnectionError."""
        due = _Due(self._loop.create_future(), len(sent))
        if self._lost is not None:
            due.future.set_exception(ConnectionLost(str(self._lost)))
            return due.future
        if not self._due:
            self._replied_at = self._loop.time()
        self._due.append(due)
        self.send(sent)
        if self._timer is None and self._timeout_s is not None:
            self._timer = self._loop.call_later(self._timeout_s, self._look)
        return due.future

    def send(self, sent: Sequence[bytes]) -> None:
        """Writes packed commands whose replies go to `push`."""
        if self._transport is not None:
            self._transport.writelines(sent)

    def listen(self, push: Callable[[Any], None]) -> None:
        """Gives all replies from now on to `push`."""
        self._push = push

    def close(self) -> None:
        """Ends the connection at once; who waits for a reply gets ConnectionError."""
        self._drop(ConnectionError("the connection was closed"))

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        unread, gets = self._unread + len(data), self._reader.gets
        try:
            self._reader.feed(data)
            while (reply := gets()) is not _NOTHING:
                unread = 0
                if self._push is not None or not self._due:
                    self._unasked(reply)
                    continue
                due = self._due[0]
                due.replies.append(reply)
                if len(due.replies) == due.count:
                    self._replied(due)
        except (hiredis.HiredisError, MemoryError) as error:
            self._drop(ConnectionError(f"its replies cannot be read: {error}"))
            return
        if not unread:
            self._replied_at = self._loop.time()
        self._unread = unread
        if unread > _LARGEST_REPLY:
            self._drop(ConnectionError("a reply is larger than a gigabyte"))

    def eof_received(self) -> None:
        self._drop(ConnectionLost("it closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        self._drop(ConnectionLost(reason_of(error) if error else "it closed the connection"))
        if not self.ended.done():
            self.ended.set_result(None)

    # Replies

    def _replied(self, due: _Due) -> None:
        """Passes the replies to the caller that was first, which has them all."""
        self._due.popleft()
        unfit, self._unfit = self._unfit, None
        if due.future.done():
            pass
        elif unfit is not None:
            due.future.set_exception(ConnectionError(str(unfit)))
        else:
            due.future.set_result(due.replies)
        if self._retired and not self._due:
            self.close()

    def _unasked(self, reply: Any) -> None:
        if self._push is None:
            self._drop(ConnectionError(str(self._unfit or "it sent a reply to no command")))
        elif isinstance(reply, ReplyError):  # nothing would ever come
            self._drop(ConnectionError(str(reply)))
        else:
            self._push(reply)

    def _refusal(self, text: str) -> ReplyError:
        error = ReplyError(text)
        if error.unfit:
            self._unfit = error
        # After a failover the address may lead to the new primary, which only a new connection finds.
        self._retired = self._retired or error.code == "READONLY"
        return error

    def _look(self) -> None:
        """Drops the connection when a reply is overdue."""
        self._timer = None
        if not self._due or self._timeout_s is None:
            return
        left = self._replied_at + self._timeout_s - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._timer = self._loop.call_later(_SECOND_LOOK_S, self._give_up, self._replied_at)

    def _give_up(self, replied_at: float) -> None:
        self._timer = None
        if self._due and self._replied_at == replied_at:
            self._drop(TimeoutError("it does not answer in time"))
        else:
            self._look()

    def _drop(self, error: OSError) -> None:
        if self._lost is not None:
            return
        if self._unfit is not None:  # it hung up after a refusal, which has the reason
            error = ConnectionError(str(self._unfit))
        self._lost = error
        if self._timer is not None:
            self._timer.cancel()
        while self._due:
            due = self._due.popleft()
            if not due.future.done():
                due.future.set_exception(type(error)(*error.args))
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True)
class Server:
    """How to connect to a server: its address, our TLS context, the name it lists us under, and bounds in seconds."""

    address: Address
    #: None for the default context, where the address asks for TLS.
    tls: ssl.SSLContext | None = None
    name: str = ""
    connect_timeout_s: float | None = None
    reply_timeout_s: float | None = None

    async def connect(self) -> Connection:
        """A connection, logged in. Raises ConnectionError and TimeoutError; neither holds a secret."""
        connection = await self._connected()
        try:
            if login := self.address.login(self.name):
                for reply in await connection.exchange(packed(login)):
                    if isinstance(reply, ReplyError):
                        # A server without the command repeats its arguments, and a password is one.
                        raise ConnectionError(str(reply).partition(", with args")[0])
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        at = self.address
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                if at.path:
                    return (await loop.create_unix_connection(self._connection, at.path))[1]
                return (
                    await loop.create_connection(self._connection, at.host, at.port, ssl=self._context())
                )[1]
        except TimeoutError:
            raise TimeoutError("it does not accept connections in time") from None
        except OSError as error:
            raise ConnectionError(reason_of(error)) from error

    def _connection(self) -> Connection:
        return Connection(self.reply_timeout_s)

    def _context(self) -> ssl.SSLContext | None:
        if not self.address.encrypted:
            return None
        return self.tls or ssl.create_default_context()


def reason_of(error: Exception) -> str:
    """Why a connection failed, for people."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        if isinstance(error, socket.gaierror):
            return error.strerror or str(error)
        if error.errno:
            return os.strerror(error.errno)
    return str(error).rstrip(".") or type(error).__name__
