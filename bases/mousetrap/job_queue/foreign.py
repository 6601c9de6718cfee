"""Takes and sends messages of another system's form."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pika.exceptions import AMQPError
from pika.spec import BasicProperties

from mousetrap.job_queue.amqp import address
from mousetrap.job_queue.amqp.connection import (
    Connection,
    ask,
    close_channel,
    open_channel,
    open_connection,
)
from mousetrap.job_queue.amqp.frames import MAX_NAME_BYTES
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.errors import explain, is_missing, silence_pika
from mousetrap.job_queue.link import Link
from mousetrap.job_queue.resubscriber import Resubscriber
from mousetrap.jobs import PublishUnconfirmed, QueueFull, QueueOptions, Unroutable

_PERSISTENT = 2
#: For the broker to confirm that it delivers no more.
_CANCEL_TIMEOUT_S = 5.0

_DELETED = "the broker stopped delivering, most often because the queue was deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignMessage:
    """A message with all that another system put into its headers."""

    body: bytes
    headers: Mapping[str, Any]
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    correlation_id: str = ""
    reply_to: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ForeignDelivery:
    """A message to acknowledge. Once its channel is lost it is void, and the broker delivers the message again."""

    queue: str
    message: ForeignMessage
    _channel: Any
    _tag: int

    def acknowledge(self) -> bool:
        """Removes the message from its queue. Returns False, and does nothing, once the channel is lost."""
        if not self._channel.is_open:
            return False
        self._channel.basic_ack(self._tag)
        return True

    def is_void(self) -> bool:
        """Whether its channel is lost."""
        return not self._channel.is_open


Receive = Callable[[ForeignDelivery], None]


@asynccontextmanager
async def open_foreign(url: str, *, name: str, options: QueueOptions) -> AsyncIterator["ForeignQueues"]:
    """The queues of another system at `amqp://…`; nothing is declared, and the broker need not be reachable yet."""
    silence_pika()
    queues = ForeignQueues(url, name, options)
    try:
        yield queues
    finally:
        await queues.close()


class ForeignQueues:
    """One connection that publishes, and one that consumes once it is asked to. Both are opened again when they are lost."""

    def __init__(self, url: str, name: str, options: QueueOptions) -> None:
        broker = address.parse(url)
        process = f"{name}@{socket.gethostname()}:{os.getpid()}"
        self._status = BrokerStatus(str(broker))
        self._deadline_s = options.confirm_deadline
        self._outgoing = _Outgoing()
        self._subscriptions: list[_Subscription] = []

        def opening(role: str) -> Callable[[], Any]:
            return lambda: open_connection(address.parameters(broker, f"{process} {role}", options))

        self._publishing: Link[Connection] = Link(
            "publish", opening("publish"), self._status, self._outgoing.begin
        )
        self._consuming: Link[Connection] = Link("consume", opening("consume"), self._status, _no_set_up)
        self._publishing.start()

    def consume(self, queues: Sequence[str], prefetch: int, receive: Receive) -> None:
        """Calls `receive` on the event loop for each delivery, with at most `prefetch` of each queue unacknowledged.

        A queue that is missing is waited for, while the others are served: its own system declares it.
        """
        self._consuming.start()
        self._subscriptions += [_Subscription(self._consuming, queue, prefetch, receive) for queue in queues]

    async def stop(self) -> None:
        """After this returns no delivery arrives. Those received before can still be acknowledged."""
        subscriptions, self._subscriptions = self._subscriptions, []
        await asyncio.gather(*(each.stop() for each in subscriptions))

    async def publish(self, queue: str, message: ForeignMessage) -> None:
        """Returns once the broker has confirmed that `queue` has the message.

        Raises QueueUnreachable, PublishUnconfirmed, QueueFull or Unroutable. After the first two the message may be there or not. Raises
        ValueError for a correlation id or a reply_to that no broker takes.
        """
        if len(queue.encode()) > MAX_NAME_BYTES:
            raise _unroutable(queue)
        if any(len(each.encode()) > MAX_NAME_BYTES for each in (message.correlation_id, message.reply_to)):
            raise ValueError(
                f"a message's correlation_id and reply_to have at most {MAX_NAME_BYTES} bytes each"
            )
        connection = await self._publishing.now()
        if connection.blocked:
            raise self._status.blocked()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._outgoing.send(queue, message)
        except TimeoutError:
            raise PublishUnconfirmed(
                f"queue {queue!r}: the broker did not confirm a message in {self._deadline_s:g} s"
            ) from None
        except AMQPError as error:
            raise self._status.unreachable(explain(error)) from error

    async def close(self) -> None:
        """Disconnects; unacknowledged messages return to their queues."""
        await self.stop()
        await self._consuming.close()
        await self._publishing.close()


class _Subscription:
    """Deliveries of one queue, on a channel of its own: a queue that is missing ends none of the others.

    1. A task waits for the connection, opens a channel and subscribes.
    2. The channel is lost, as while the queue is missing: the task subscribes again after a pause.
    3. `stop` ends both; what was received can still be acknowledged.
    """

    def __init__(self, link: Link[Connection], queue: str, prefetch: int, receive: Receive) -> None:
        self._queue, self._prefetch, self._receive = queue, prefetch, receive
        self._channel: Any = None
        self._subscribing = Resubscriber(link, queue, self._receive_until_lost, why=_why)

    async def stop(self) -> None:
        await self._subscribing.end()
        channel = self._channel
        try:
            async with asyncio.timeout(_CANCEL_TIMEOUT_S):
                for tag in channel.consumer_tags if channel is not None and channel.is_open else ():
                    await ask(channel, channel.basic_cancel, tag)
        except Exception:  # noqa: BLE001  whatever closed the channel or delayed the answer
            close_channel(channel)  # its deliveries are void, and come again

    async def _receive_until_lost(self, connection: Connection) -> Exception:
        channel = self._channel = await open_channel(connection)
        lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        channel.add_on_close_callback(lambda _, error: _resolve(lost, error))
        channel.add_on_cancel_callback(lambda _: _resolve(lost, AMQPError(_DELETED)))
        await ask(channel, channel.basic_qos, prefetch_count=self._prefetch)
        await ask(channel, channel.basic_consume, self._queue, _taking(self._queue, self._receive))
        self._subscribing.subscribed()
        error = await lost
        close_channel(channel)
        return error


class _Outgoing:
    """The channel that publishes, in confirm mode, and the messages in flight on it."""

    def __init__(self) -> None:
        self._channel: Any = None
        self._in_flight: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._returned: set[int] = set()
        self._sent = 0

    async def begin(self, connection: Connection) -> None:
        """Opens the channel of a new connection."""
        channel = await open_channel(connection)
        await ask(channel, channel.confirm_delivery, self._on_confirm)
        channel.add_on_return_callback(lambda _, _method, properties, _body: self._on_return(properties))
        channel.add_on_close_callback(lambda _, error: self._lost(error))
        # The link then opens both again.
        channel.add_on_close_callback(lambda _, error: connection.abort(error))
        self._sent = 0
        self._channel = channel

    async def send(self, queue: str, message: ForeignMessage) -> None:
        """Returns once it is confirmed. Raises AMQPError where the channel is lost before."""
        channel = self._channel
        if channel is None or not channel.is_open:
            raise AMQPError("the connection was lost just now")
        tag = self._sent + 1
        # A message that is returned is known by this number alone.
        channel.basic_publish("", queue, message.body, _properties(message, str(tag)), mandatory=True)
        self._sent = tag
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_flight[tag] = queue, confirmed
        await confirmed

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        refused = method.NAME == "Basic.Nack"
        tags = [tag for tag in self._in_flight if tag <= method.delivery_tag] if method.multiple else []
        for tag in tags or [method.delivery_tag]:
            self._settle(tag, refused)

    def _settle(self, tag: int, refused: bool) -> None:
        queue, confirmed = self._in_flight.pop(tag)
        if confirmed.done():
            return  # its caller has left
        if tag in self._returned:
            self._returned.remove(tag)
            confirmed.set_exception(_unroutable(queue))
        elif refused:
            confirmed.set_exception(
                QueueFull(f"queue {queue!r} refused a message, most often because it is full")
            )
        else:
            confirmed.set_result(None)

    def _on_return(self, properties: Any) -> None:
        self._returned.add(int(properties.message_id))

    def _lost(self, error: Exception) -> None:
        lost, self._in_flight = self._in_flight, {}
        self._returned.clear()
        for _, confirmed in lost.values():
            if not confirmed.done():
                confirmed.set_exception(error if isinstance(error, AMQPError) else AMQPError(str(error)))


def _taking(queue: str, receive: Receive) -> Callable[..., None]:
    def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        message = ForeignMessage(
            body=body,
            headers=properties.headers or {},
            content_type=properties.content_type or "",
            content_encoding=properties.content_encoding or "",
            correlation_id=properties.correlation_id or "",
            reply_to=properties.reply_to or "",
            priority=properties.priority or 0,
        )
        receive(ForeignDelivery(queue, message, channel, method.delivery_tag))

    return take


def _properties(message: ForeignMessage, message_id: str) -> BasicProperties:
    return BasicProperties(
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=dict(message.headers),
        delivery_mode=_PERSISTENT,
        priority=message.priority,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to or None,
        message_id=message_id,
    )


async def _no_set_up(_connection: Connection) -> None:
    """Each subscription opens its channel itself."""


def _resolve(lost: "asyncio.Future[Exception]", error: Exception) -> None:
    if not lost.done():
        lost.set_result(error)


def _why(error: Exception) -> str:
    """Why nothing is delivered."""
    return "it is missing: the system that owns it declares it" if is_missing(error) else explain(error)


def _unroutable(queue: str) -> Unroutable:
    return Unroutable(
        f"there is no queue {queue!r}: the system that takes from it declares it, so start that once"
    )
