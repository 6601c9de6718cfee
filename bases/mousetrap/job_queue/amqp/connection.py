"""pika's asyncio connection, used with await."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.channel import Channel
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByClient, StreamLostError
from pika.frame import Header
from pika.spec import FRAME_HEADER, FRAME_METHOD, BasicProperties

from mousetrap.job_queue.amqp import frames
from mousetrap.job_queue.amqp.io_services import IOServices

#: In a header frame after its start: class and weight, then the size of the body.
_BODY_SIZE = struct.Struct(">4xQ")

#: For the broker's answer to a close; a broker that blocks us answers only when it unblocks.
_CLOSE_TIMEOUT_S = 3.0

#: More than this is sent at once, not in the loop's next turn: what a socket does not take whole is copied.
_MAX_UNSENT_BYTES = 65_536

#: The broker's code for a queue that is missing.
NOT_FOUND = 404

#: With pika's 4 KiB per read, a message of 60 kB costs two and a half times the CPU; a small one costs the same.
_READ_BYTES = 65_536


class Connection(AsyncioConnection):  # type: ignore[misc] # pika's wheel carries no types
    """One connection to the broker.

    1. `open_connection` opens it; channels are opened on it.
    2. While the broker lacks memory or disk, `blocked` is True: it does not read.
    3. `leave` closes it, `abort` cuts it; `lost` then has the error that ended it. It is not opened again.

    Our own form of publishes and deliveries passes it as whole messages (`frames`), and so do confirms and acknowledgements; pika
    handles all other frames.
    """

    #: pika's: the start of a frame that has arrived in part.
    _frame_buffer: bytes

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[Exception] = self._loop.create_future()
        #: Whether the broker does not read, since it lacks memory or disk.
        self.blocked = False
        #: By channel number: what reads the frames from a place on, and gives where they end; 0 for those that pika handles.
        self._readers: dict[int, Callable[[bytes, int], int]] = {}
        #: The socket's side of a connection without TLS.
        self._plain: Any = None
        self._unread = b""
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self.add_on_close_callback(self._on_lost)
        self.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        self.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))

    def abort(self, error: Exception) -> None:
        """Cuts the connection, without AMQP's close."""
        if not self.is_closed:
            self._terminate_stream(error)

    async def leave(self) -> None:
        """Closes the connection, and cuts it if the broker does not answer."""
        if self.is_open and not self.blocked:
            self.close()
            await asyncio.wait([self.lost], timeout=_CLOSE_TIMEOUT_S)
        if not self.lost.done():
            self.abort(ConnectionClosedByClient(200, "closed"))
            await asyncio.wait([self.lost], timeout=_CLOSE_TIMEOUT_S)

    @property
    def max_body(self) -> int:
        """Bytes of a body that one frame may have, as agreed with the broker."""
        return int(self._body_max_length)

    def send(self, data: bytes) -> None:
        """Collects what is written until the loop's next turn; then it is one write.

        pika sends each frame by itself, and that system call is the most expensive part of a publish: this halves the cost
        of a message in a burst.
        """
        if not self._unsent:
            self._loop.call_soon(self._emit)
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > _MAX_UNSENT_BYTES:
            self._emit()

    #: pika's own frames take the same way.
    _adapter_emit_data = send

    def deliver(self, channel: Any, consumer_tag: str, receive: Callable[[frames.Delivered], None]) -> None:
        """Passes deliveries of our form to `receive`, until the channel closes; others arrive at pika's callback."""
        self._read(
            channel, partial(self._take_delivery, channel, frames.delivery_start(consumer_tag), receive)
        )

    def confirm(self, channel: Any, receive: Callable[[int, bool], None]) -> None:
        """Passes confirms to `receive`, until the channel closes; refusals arrive at pika's callback."""
        self._read(channel, partial(self._take_confirm, channel, receive))

    def count(self, channel: Any, receive: Callable[[int, int], None]) -> None:
        """Passes what the broker reports of queues to `receive`, messages and consumers, until the channel closes."""
        self._read(channel, partial(self._take_counts, channel, receive))

    def _read(self, channel: Any, reader: Callable[[bytes, int], int]) -> None:
        number = channel.channel_number
        self._readers[number] = reader
        channel.add_on_close_callback(lambda *_: self._readers.pop(number, None))

    def _on_data_available(self, data_in: bytes) -> None:
        """Reads deliveries of our form and confirms, and passes all other frames to pika, each when it is complete."""
        if self._readers and self._frame_buffer:
            # pika has the start of a frame, from before there was a reader.
            data_in, self._frame_buffer = self._frame_buffer + data_in, b""
        data, self._unread = self._unread + data_in, b""
        start = 0
        try:
            while self._readers and start < len(data):
                start = self._take(data, start) or self._pass_to_pika(data, start)
        except EOFError:
            self._unread = data[start:]
        else:
            if start < len(data):
                super()._on_data_available(data[start:])

    def _take(self, data: bytes, start: int) -> int:
        """The end of what is read at `start`; 0 where that is left to pika. Raises EOFError while it is incomplete."""
        kind, number, _ = frames.begin(data, start)
        reader = self._readers.get(number) if kind == FRAME_METHOD else None
        return reader(data, start) if reader is not None else 0

    def _take_confirm(
        self, channel: Any, receive: Callable[[int, bool], None], data: bytes, start: int
    ) -> int:
        end = frames.end(data, start)
        confirmed = frames.read_confirm(data, start, end)
        if confirmed is None or not channel.is_open:
            return 0
        self.bytes_received += end - start
        receive(*confirmed)
        return end

    def _take_counts(self, channel: Any, receive: Callable[[int, int], None], data: bytes, start: int) -> int:
        end = frames.end(data, start)
        counts = frames.read_counts(data, start, end)
        if counts is None or not channel.is_open:
            return 0
        self.bytes_received += end - start
        receive(*counts)
        return end

    def _take_delivery(
        self,
        channel: Any,
        method_start: bytes,
        receive: Callable[[frames.Delivered], None],
        data: bytes,
        start: int,
    ) -> int:
        if not (data.startswith(method_start, start + frames.BEGIN) and channel.is_open):
            return 0
        delivered = frames.read_delivery(data, start, method_start)
        if delivered is None:
            return 0
        self.bytes_received += delivered.end - start
        receive(delivered)
        return delivered.end

    def _pass_to_pika(self, data: bytes, start: int) -> int:
        end = frames.end(data, start)
        super()._on_data_available(data[start:end])
        return end

    def _proto_connection_made(self, transport: Any) -> None:
        super()._proto_connection_made(transport)
        transport._MAX_RECV_BYTES = _READ_BYTES
        if isinstance(transport, _AsyncPlaintextTransport):
            self._plain = transport
            # One read a turn: what is left shows itself again. pika would read until an error reports that nothing is left.
            transport._MAX_CONSUME_BYTES = 1

    def _read_frame(self) -> tuple[int, Any]:
        """Survives message properties that pika cannot read.

        Otherwise one such message, redelivered without end, would cut every connection that it arrives on. It arrives
        without its properties, and its reader finds out that it is not one of ours.
        """
        try:
            return cast("tuple[int, Any]", super()._read_frame())
        except Exception:
            kind, channel, _ = frames.begin(self._frame_buffer)
            if kind != FRAME_HEADER:
                raise
            (body_size,) = _BODY_SIZE.unpack_from(self._frame_buffer, frames.BEGIN)
            return frames.end(self._frame_buffer), Header(channel, body_size, BasicProperties())

    def _emit(self) -> None:
        data, self._unsent, self._unsent_bytes = b"".join(self._unsent), [], 0
        if self._transport is None or not (data := self._write(data)):
            return
        try:
            super()._adapter_emit_data(data)
        except RuntimeError as error:
            # uvloop closes its handle of a socket that was reset before the reader of that socket has a turn.
            self.abort(StreamLostError(f"Stream connection lost: {error}"))

    def _write(self, data: bytes) -> bytes:
        """Writes what the socket takes at once, and returns the rest.

        pika first asks the loop whether the socket takes anything: two system calls more, and a turn later.
        """
        plain = self._plain
        if plain is None or plain._state != plain._STATE_ACTIVE or plain.get_write_buffer_size():
            return data
        try:
            return data[plain._sock.send(data) :]
        except OSError:
            return data  # the socket is full, and pika waits; or it is lost, and pika meets the same error

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked

    def _on_lost(self, _connection: Any, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_result(error)


async def open_connection(parameters: Sequence[Any]) -> Connection:
    """A connection to the first host that accepts one, tried in order. Raises the error of the last host."""
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

    def on_error(_connection: Any, error: Exception) -> None:
        _resolve(opened, error)
        if not ended.done():
            ended.set_result(error)

    connection = Connection(
        parameters, lambda connection: _resolve(opened, connection), on_error, custom_ioloop=IOServices(loop)
    )
    try:
        return await opened
    except asyncio.CancelledError:
        connection.abort(ConnectionClosedByClient(200, "no longer wanted"))
        await asyncio.wait(
            [connection.lost, ended], timeout=_CLOSE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        raise


async def open_channel(connection: Connection) -> Any:
    """A new channel of `connection`. Raises the error that closed it or the connection."""
    if not connection.is_open:
        raise AMQPError("the connection is closed")
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    channel: Channel = connection.channel(on_open_callback=lambda channel: _resolve(opened, channel))
    channel.add_on_close_callback(lambda _, error: _resolve(opened, error))
    try:
        return await opened
    except asyncio.CancelledError:
        close_channel(channel)
        raise


async def ask(channel: Any, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The broker's answer to a method of `channel` that takes a callback. Raises the error that closed the channel."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    channel.add_on_close_callback(lambda _, error: _resolve(answer, error))
    method(*arguments, **named, callback=lambda frame: _resolve(answer, frame))
    return (await answer).method


async def count_each(channel: Any, queues: Sequence[str]) -> list[tuple[int, int]]:
    """How many messages and consumers each queue has, in this order. Raises the error that closed the channel.

    All are asked for before the first answer: with pika, each waits for the one before. The answers end before the first queue
    that is missing, which closes the channel.
    """
    connection: Connection = channel.connection
    found: list[tuple[int, int]] = []
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def receive(ready: int, consumers: int) -> None:
        found.append((ready, consumers))
        if len(found) == len(queues):
            _resolve(ended, None)

    connection.count(channel, receive)
    channel.add_on_close_callback(lambda _, error: _resolve(ended, error))
    connection.send(b"".join(frames.ask_counts(channel.channel_number, queue) for queue in queues))
    try:
        await ended
    except ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise
    return found


def close_channel(channel: Any) -> None:
    """Closes `channel` if it is open; its unsettled deliveries return to their queues."""
    if not (channel.is_closed or channel.is_closing):
        channel.close()


def _resolve(future: "asyncio.Future[Any]", result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
