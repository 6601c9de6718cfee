"""Calls the store's server over a few shared connections."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from mousetrap.store_client.connection import Command, Connection, Server, packed
from mousetrap.store_client.errors import ConnectionLost, ReplyError

#: The server works at one call while we write the next and read the last. More connections would only cost memory.
_CONNECTIONS = 4

Done = TypeVar("Done")


class StoreClient:
    """Sends commands to one server.

    1. A call takes the connection with the fewest calls under way; the first three of them open others when they are busy.
    2. A call whose connection is lost is sent once more over a new one, so each command may happen twice: all of ours may. After
       a timeout it is not, since its caller waits.
    3. Every method raises ConnectionError or TimeoutError when the server does not answer.

    Connections are those of the event loop that they were opened in: after a fork, or in another loop, new ones are opened.
    """

    #: Whether keys are on several servers, so that commands for different keys happen in no order.
    is_cluster = False

    def __init__(self, server: Server) -> None:
        self._server = server
        self._slots: list[_Slot] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(self, *command: Any) -> Any:
        """The reply to one command: bytes, int, None or a list of these. Raises ReplyError."""
        (reply,) = await self.pipeline([command])
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def each(self, *command: Any) -> list[Any]:
        """The replies of all servers that answer, of a cluster one of each primary. Raises as `call` where none does."""
        return [await self.call(*command)]

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that are sent in one write; an error of one is a ReplyError in the list."""
        if not commands:
            return []
        sent = packed(commands)
        slot, slots = self._slot(), self._slots
        try:
            return await slot.exchange(sent)
        except ConnectionLost:
            if self._slots is not slots:  # we were closed meanwhile: another connection would stay open
                raise
            return await self._slot().exchange(sent)

    async def transaction(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that happen together or not at all. Raises the first ReplyError."""
        replies = await self.together(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        return replies

    async def together(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands between which no other client's come; an error of one is a ReplyError in the list.

        Raises ReplyError where the server refused them all.
        """
        *queued, done = await self.pipeline([("MULTI",), *commands, ("EXEC",)])
        if not isinstance(done, ReplyError):
            return list(done)
        raise next((reply for reply in queued if isinstance(reply, ReplyError)), done)

    async def subscribe(
        self, channels: Sequence[str], receive: Callable[[list[Any]], None], silence_s: float
    ) -> None:
        """Gives `receive` what comes from the channels, over a connection of its own, until that is lost, which raises.

        It is given `[b"subscribe", channel, number]` for each, then `[b"message", channel, data]`. A server from which nothing
        came for `silence_s` is asked, and is lost if nothing comes for as long again. A refusal ends it too, as ConnectionError.
        """
        came = asyncio.Event()

        def push(reply: Any) -> None:
            came.set()
            if isinstance(reply, list):
                receive(reply)

        connection = await self._server.connect()
        try:
            connection.listen(push)
            connection.send(packed([("SUBSCRIBE", *channels)]))
            await _until_silent(connection, came, silence_s)
        finally:
            connection.close()
            await connection.ended

    async def close(self) -> None:
        """Closes the connections; calls under way raise ConnectionError."""
        slots, self._slots = self._slots, []
        if self._loop is not asyncio.get_running_loop():
            return  # they ended with their event loop
        for slot in slots:
            await slot.close()

    def _slot(self) -> "_Slot":
        """The connection for the next call."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or not self._slots:
            self._loop = loop
            self._slots = [_Slot(self._server) for _ in range(_CONNECTIONS)]
        return min(self._slots, key=_load)


async def shared(work: "asyncio.Task[Done]") -> Done:
    """The result of a task that others wait for too. Raises ConnectionError where the client was closed meanwhile."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if work.cancelled() and not (task and task.cancelling()):
            raise ConnectionError("the connection was closed") from None
        raise


async def _until_silent(connection: Connection, came: asyncio.Event, silence_s: float) -> None:
    asked = False
    while True:
        came.clear()
        await asyncio.wait([connection.ended], timeout=silence_s)
        if connection.lost is not None:
            raise connection.lost
        if came.is_set():
            asked = False
        elif asked:
            raise TimeoutError("it does not answer in time")
        else:
            asked = True
            connection.send(packed([("PING",)]))


class _Slot:
    """The place of one connection, which is opened when it is needed."""

    def __init__(self, server: Server) -> None:
        self.load = 0
        self._server = server
        self._connection: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None

    async def exchange(self, sent: Sequence[bytes]) -> list[Any]:
        self.load += 1
        try:
            connection = self._connection
            if connection is None or not connection.usable:
                connection = await self._opened()
            return await connection.exchange(sent)
        finally:
            self.load -= 1

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await self._opening
        if self._connection is not None:
            self._connection.close()
            await self._connection.ended

    async def _opened(self) -> Connection:
        """All that need the connection wait for the same attempt, and fail with it."""
        opening = self._opening
        if opening is None:
            opening = self._opening = asyncio.create_task(self._open())
        return await shared(opening)

    async def _open(self) -> Connection:
        try:
            self._connection = await self._server.connect()
            return self._connection
        finally:
            self._opening = None


def _load(slot: _Slot) -> int:
    return slot.load
