"""A wire on the blocking channel, which a thread serves."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from mousetrap.job_queue.open_channel import open_channel
from mousetrap.job_queue.pending import Pending
from mousetrap.job_queue.topics.channel_thread import ChannelThread
from mousetrap.job_queue.topology.declare import declare_apart
from mousetrap.job_queue.topology.topology import Topology
from mousetrap.job_queue.wire import WireEvents, encoded, pass_on_confirm
from mousetrap.jobs import QueueOptions, QueueUnreachable

T = TypeVar("T")

#: For the broker's answer to a close.
_CLOSE_TIMEOUT_S = 3.0


class ChannelConnection:
    """A blocking connection, used from an event loop.

    1. Its thread serves the connection, heartbeats included, and makes the calls of `call` between.
    2. `lost` has the error that ended it.
    """

    def __init__(self, channel: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[Exception] = self._loop.create_future()
        self._thread = ChannelThread(channel)
        ended: Future[None] = Future()
        ended.add_done_callback(lambda done: self._from_thread(self._end, done.exception()))
        try:
            self._thread.end_when_lost(ended)
        except Exception as error:  # noqa: BLE001  it was lost at once
            ended.set_exception(error)

    async def call(self, function: Callable[[Any], T]) -> T:
        """The result of `function`, called with the channel in its thread. Raises the error that ended the channel."""
        return await asyncio.wrap_future(self._thread.start(function))

    async def declare(self, topology: Topology) -> None:
        """Declares on a channel of its own. Raises what pika does."""
        await self.call(partial(declare_apart, topology=topology))

    def begin(self, function: Callable[[Any], object]) -> None:
        """As `call`, without an answer; nothing, where the channel is lost."""
        with suppress(Exception):
            self._thread.start(function)

    def report(self, function: Callable[[], None]) -> None:
        """Calls `function` on the event loop, from the thread."""
        self._from_thread(function)

    def abort(self, error: Exception) -> None:
        """Ends it; the thread closes what the broker still has of it."""
        self._thread.end()
        self._end(error)

    async def leave(self) -> None:
        """Sends what is due and closes it."""
        self._thread.end()
        await asyncio.wait([self.lost], timeout=_CLOSE_TIMEOUT_S)

    def _from_thread(self, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop was closed: nothing waits
            self._loop.call_soon_threadsafe(function, *arguments)

    def _end(self, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_result(error)


async def open_channel_connection(url: str, options: QueueOptions) -> ChannelConnection:
    """A connection of `open_channel`, opened in a thread of its own. Raises what pika does."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Any] = loop.create_future()

    def give(channel: Any, error: BaseException | None) -> None:
        if opened.cancelled():
            if channel is not None:
                channel.close()
        elif error is not None:
            opened.set_exception(error)
        else:
            opened.set_result(channel)

    def work() -> None:
        channel, problem = None, None
        try:
            channel = open_channel(url, (), options=options)
        except QueueUnreachable as error:
            problem = error.__cause__ or error  # the link explains it in its own words
        except Exception as error:  # noqa: BLE001  whatever it is, the link tries again
            problem = error
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(give, channel, problem)

    # A daemon: an executor's threads are waited for when a program ends, and this one may wait for a broker.
    threading.Thread(target=work, name="mousetrap connect", daemon=True).start()
    return ChannelConnection(await opened)


class ChannelWire:
    """A second channel of the blocking connection, in confirm mode: the first one waits for each confirm."""

    def __init__(self, connection: ChannelConnection, events: WireEvents) -> None:
        self._connection = connection
        self._events = events
        self._loop = asyncio.get_running_loop()
        self.blocked = False
        self._over = False
        connection.lost.add_done_callback(lambda done: self._close(done.result()))
        self._number, self._max_body = 0, 0
        self._unsent: list[bytes] = []
        #: What the thread has seen, until the event loop looks.
        self._seen: deque[Callable[[], None]] = deque()

    async def begin(self, topology: Topology) -> None:
        """Declares the topology and opens the channel."""
        self._number, self._max_body = await self._connection.call(partial(self._begin, topology=topology))

    def send(self, pending: Pending) -> None:
        if not self._unsent:
            self._loop.call_soon(self._emit)
        self._unsent.append(encoded(pending, self._number, self._max_body))

    async def declare(self, topology: Topology) -> None:
        await self._connection.declare(topology)

    def abort(self, error: Exception) -> None:
        self._connection.abort(error)

    def _close(self, error: Exception) -> None:
        if not self._over:
            self._over = True
            self._events.closed(error)

    def _emit(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        # Sent when the thread serves the connection next, which is at once.
        self._connection.begin(lambda channel: channel.connection._impl._adapter_emit_data(data))

    def _begin(self, channel: Any, topology: Topology) -> tuple[int, int]:
        """In the thread: declares, and opens the channel, whose number and bytes in a frame it gives."""
        declare_apart(channel, topology)
        selected: list[Any] = []
        wire: Any = channel.connection.channel()
        plain = wire._impl  # pika's channel below the blocking one: its callbacks come without waiting
        plain.confirm_delivery(partial(self._see, pass_on_confirm, self._events), selected.append)
        wire._flush_output(lambda: bool(selected))
        plain.add_on_return_callback(
            lambda _, method, properties, _body: self._see(
                self._events.returned, properties.message_id, method.routing_key
            )
        )
        plain.add_on_close_callback(lambda _, error: self._see(self._close, error))
        connection = channel.connection
        connection.add_on_connection_blocked_callback(lambda *_: self._see(self._set_blocked, True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._see(self._set_blocked, False))
        return wire.channel_number, connection._impl._body_max_length

    def _see(self, function: Callable[..., None], *arguments: Any) -> None:
        """In the thread: the event loop calls the function, in this order; one wake-up for many."""
        self._seen.append(partial(function, *arguments))
        if len(self._seen) == 1:
            self._connection.report(self._look)

    def _look(self) -> None:
        while self._seen:
            seen = self._seen.popleft()
            if not self._over:
                seen()

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked
        if not blocked:
            self._events.unblocked()


async def open_channel_wire(
    connection: ChannelConnection, topology: Topology, events: WireEvents
) -> ChannelWire:
    """A wire on a blocking connection, with the topology declared."""
    wire = ChannelWire(connection, events)
    await wire.begin(topology)
    return wire
