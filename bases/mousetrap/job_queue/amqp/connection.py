"""pika's asyncio connection, opened, asked and aborted with await."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPError, ConnectionClosedByClient
from pika.frame import Header
from pika.spec import FRAME_HEADER, FRAME_METHOD, BasicProperties

from mousetrap.job_queue.amqp import frames
from mousetrap.job_queue.amqp.io_services import IOServices

#: What follows in a header frame: class and weight, then the size of the body.
_BODY_SIZE = struct.Struct(">4xQ")

#: Seconds that a polite goodbye may take; a broker that blocks us answers it only when it unblocks.
_GOODBYE = 3.0

#: Bytes; more than this goes out without waiting for the loop, for what a socket does not take whole is copied.
_BURST = 65_536

#: Bytes that are read at once. With pika's 4 KiB a message of 60 kB costs two and a half times the CPU; a small one the same.
_RECEIVED = 65_536


class Connection(AsyncioConnection):  # type: ignore[misc] # pika's wheel carries no types
    """One connection to the broker, for one life: `lost` tells its end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[Exception] = self._loop.create_future()
        #: Whether the broker has stopped reading from us, for want of memory or disk.
        self.blocked = False
        #: By number: the channel, what a delivery to its consumer begins with, and who takes that.
        self._consumers: dict[int, tuple[Any, bytes, Callable[[frames.Delivered], None]]] = {}
        self._unread = b""
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
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

    def publish(self, channel: Any, exchange: str, key: str, properties: bytes, body: bytes) -> None:
        """Publishes a message as mandatory, its properties as `frames` writes them."""
        number = channel.channel_number
        self._output_marshaled_frames(
            (frames.publish(number, exchange, key, properties, body, self._body_max_length),)
        )

    def deliver(self, channel: Any, consumer_tag: str, take: Callable[[frames.Delivered], None]) -> None:
        """Gives deliveries of our one form to `take`, as long as the channel lives; others come by pika's callback."""
        number = channel.channel_number
        self._consumers[number] = channel, frames.delivery_start(consumer_tag), take
        channel.add_on_close_callback(lambda *_: self._consumers.pop(number, None))

    def _on_data_available(self, data_in: bytes) -> None:
        """Takes the deliveries out of what comes, and leaves to pika all other frames, each when it is whole."""
        data, self._unread = self._unread + data_in, b""
        start = 0
        try:
            while self._consumers and start < len(data):
                start = self._take_delivery(data, start) or self._leave_to_pika(data, start)
        except EOFError:
            self._unread = data[start:]
        else:
            if start < len(data):
                super()._on_data_available(data[start:])

    def _take_delivery(self, data: bytes, start: int) -> int:
        """The end of the delivery that begins at `start`; 0 when it is none of ours. Raises EOFError while it has no end."""
        kind, number, _ = frames.begin(data, start)
        if kind != FRAME_METHOD or number not in self._consumers:
            return 0
        channel, mine, take = self._consumers[number]
        if not (data.startswith(mine, start + frames.BEGIN) and channel.is_open):
            return 0
        delivered = frames.read_delivery(data, start, mine)
        if delivered is None:
            return 0
        self.bytes_received += delivered.end - start
        take(delivered)
        return delivered.end

    def _leave_to_pika(self, data: bytes, start: int) -> int:
        end = frames.end(data, start)
        super()._on_data_available(data[start:end])
        return end

    def _proto_connection_made(self, transport: Any) -> None:
        super()._proto_connection_made(transport)
        transport._MAX_RECV_BYTES = _RECEIVED

    def _read_frame(self) -> tuple[int, Any]:
        """Reads on where pika stumbles over a message's properties: else one such message, redelivered for ever, would cut
        every connection that it came by. It arrives without them, and whoever reads it finds that it is none of ours.
        """
        try:
            return cast("tuple[int, Any]", super()._read_frame())
        except Exception:
            kind, channel, _ = frames.begin(self._frame_buffer)
            if kind != FRAME_HEADER:
                raise
            (body_size,) = _BODY_SIZE.unpack_from(self._frame_buffer, frames.BEGIN)
            return frames.end(self._frame_buffer), Header(channel, body_size, BasicProperties())

    def _adapter_emit_data(self, data: bytes) -> None:
        """Gathers what pika writes until the loop comes round.

        pika gives each frame to the socket by itself, three for a message, and that system call is the dearest part of
        a publish: this halves the cost of a message in a burst.
        """
        if not self._unsent:
            self._loop.call_soon(self._emit)
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > _BURST:
            self._emit()

    def _emit(self) -> None:
        data, self._unsent, self._unsent_bytes = b"".join(self._unsent), [], 0
        if data and self._transport is not None:
            super()._adapter_emit_data(data)

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked

    def _on_lost(self, _connection: Any, why: Exception) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


async def open_connection(parameters: Sequence[Any]) -> Connection:
    """The first connection that one of the hosts grants, tried in order. Raises what the last one said."""
    refused: Exception = AMQPError("no host is named")
    for each in parameters:
        try:
            return await _open(each)
        except Exception as error:  # noqa: BLE001  resolvers, sockets, TLS and pika have no common ancestor
            refused = error
    raise refused


async def _open(parameters: Any) -> Connection:
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Connection] = loop.create_future()
    ended: asyncio.Future[Exception] = loop.create_future()

    def on_error(_connection: Any, why: Exception) -> None:
        _tell(opened, why)
        if not ended.done():
            ended.set_result(why)

    connection = Connection(
        parameters, lambda connection: _tell(opened, connection), on_error, custom_ioloop=IOServices(loop)
    )
    try:
        return await opened
    except asyncio.CancelledError:
        connection.abort(ConnectionClosedByClient(200, "no longer wanted"))
        await asyncio.wait([connection.lost, ended], timeout=_GOODBYE, return_when=asyncio.FIRST_COMPLETED)
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
