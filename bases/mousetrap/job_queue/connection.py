"""pika's asyncio connection, opened, asked and aborted with await."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPError, ConnectionClosedByClient

#: Seconds that a polite goodbye may take; a broker that blocks us answers it only when it unblocks.
_GOODBYE = 3.0


class Connection(AsyncioConnection):  # type: ignore[misc] # pika's wheel carries no types
    """One connection to the broker, for one life: `lost` tells its end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        #: Whether the broker has stopped reading from us, for want of memory or disk.
        self.blocked = False
        self.add_on_close_callback(self._on_lost)
        self.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        self.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))

    def abort(self, why: Exception) -> None:
        """Cuts the connection, without a goodbye."""
        if not self.is_closed:
            self._terminate_stream(why)

    async def leave(self) -> None:
        """Says goodbye, or cuts the connection where that is not answered."""
        if self.is_open and not self.blocked:
            self.close()
            await asyncio.wait([self.lost], timeout=_GOODBYE)
        if not self.lost.done():
            self.abort(ConnectionClosedByClient(200, "closed"))
            await asyncio.wait([self.lost], timeout=_GOODBYE)

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked

    def _on_lost(self, _connection: Any, why: Exception) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


async def open_connection(parameters: Sequence[Any]) -> Connection:
    """The first connection that one of the hosts grants, tried in order. Raises pika's exceptions."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Connection] = loop.create_future()

    def on_done(result: Connection | Exception) -> None:
        if opened.done():
            if isinstance(result, Connection):
                result.abort(ConnectionClosedByClient(200, "no longer wanted"))
        elif isinstance(result, Exception):
            opened.set_exception(result)
        else:
            opened.set_result(result)

    workflow = Connection.create_connection(parameters, on_done, custom_ioloop=loop)
    try:
        return await opened
    except asyncio.CancelledError:
        workflow.abort()
        raise


async def open_channel(connection: Connection) -> Any:
    """A new channel of `connection`. Raises what closed it or the connection meanwhile."""
    if not connection.is_open:
        raise AMQPError("the connection is closed")
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    channel: Channel = connection.channel(on_open_callback=lambda channel: _tell(opened, channel))
    channel.add_on_close_callback(lambda _, why: _tell(opened, why))
    try:
        return await opened
    except asyncio.CancelledError:
        close_channel(channel)
        raise


async def ask(channel: Any, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The broker's answer to one of `channel`'s methods that take a callback. Raises what closed the channel instead."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    channel.add_on_close_callback(lambda _, why: _tell(answer, why))
    method(*arguments, **named, callback=lambda frame: _tell(answer, frame))
    return (await answer).method


def close_channel(channel: Any) -> None:
    """Closes `channel` if it is not closed already; what was delivered on it and not settled goes back."""
    if not (channel.is_closed or channel.is_closing):
        channel.close()


def _tell(future: "asyncio.Future[Any]", result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
