"""Holds the deliveries of one channel until they are settled, or void because the channel is gone."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any

from pika.exceptions import AMQPError

from mousetrap.job_queue.acknowledgements import Acknowledgements
from mousetrap.job_queue.amqp.connection import ask, close_channel
from mousetrap.job_queue.amqp.frames import Delivered
from mousetrap.job_queue.amqp.properties import read
from mousetrap.jobs import Delivery, Message

_log = logging.getLogger("mousetrap.job_queue")

#: Seconds that the broker may take to say that it delivers no more.
_CANCEL_TIMEOUT_S = 5.0


class OpenDeliveries:
    """What one channel has delivered and nobody has settled.

    Acknowledgements are gathered until the event loop comes round, so that a burst of them is one frame.
    """

    def __init__(self, queue: str, channel: Any, receive: Callable[[Delivery], None]) -> None:
        self._queue = queue
        self._channel = channel
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._acknowledgements = Acknowledgements()
        self._held = 0
        self._delivered = 0
        self._stopping: asyncio.Task[None] | None = None
        #: A tag used before could make some brokers lose deliveries.
        self._tag = f"mousetrap-{uuid.uuid4().hex}"
        self._lost = False
        #: When the latest delivery began to wait, in seconds since 1970: what is still in the queue came no earlier.
        self.reached = 0
        #: Why nothing more will be delivered by this channel.
        self.gone: asyncio.Future[Exception] = self._loop.create_future()
        channel.add_on_close_callback(lambda _, why: self._lose(why))
        channel.add_on_cancel_callback(lambda _: self._cancelled_by_broker())

    @property
    def open(self) -> bool:
        """Whether deliveries can be settled."""
        return not self._lost and bool(self._channel.is_open)

    async def begin(self, prefetch: int) -> None:
        """Lets the broker deliver, with at most `prefetch` unsettled. Raises what closed the channel."""
        await ask(self._channel, self._channel.basic_qos, prefetch_count=prefetch)
        self._channel.connection.deliver(self._channel, self._tag, self._on_delivered)
        consume = self._channel.basic_consume
        await ask(self._channel, consume, self._queue, self._on_message, consumer_tag=self._tag)

    async def until_quiet(self, seconds: float) -> bool:
        """True when nothing came for so long and nothing is held; False when `gone` says why nothing more will come."""
        delivered = -1
        while self._held or self._delivered != delivered:
            delivered = self._delivered
            if (await asyncio.wait([self.gone], timeout=seconds))[0]:
                return False
        return True

    async def stop(self) -> None:
        """Lets the broker deliver no more, and closes the channel when all is settled. Two may ask for it."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"mousetrap stop {self._queue}")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self.open and self._tag in self._channel.consumer_tags:
            try:
                async with asyncio.timeout(_CANCEL_TIMEOUT_S):
                    await ask(self._channel, self._channel.basic_cancel, self._tag)
            except Exception:  # noqa: BLE001  whatever closed the channel or kept the answer back
                close_channel(self._channel)  # gone, or as good as gone: what it held is delivered again
        self.flush()

    def acknowledge(self, tag: int) -> None:
        """Acknowledges `tag` when the loop comes round."""
        self._held -= 1
        if self._acknowledgements.settle(tag):
            self._loop.call_soon(self.flush)

    def hand_back(self, tag: int) -> None:
        """Returns `tag` to its queue at once."""
        self._held -= 1
        self._acknowledgements.skip(tag)
        self._channel.basic_nack(tag, requeue=True)
        if self._stopping is not None:
            self.flush()

    def flush(self) -> None:
        """Sends the acknowledgements that are due."""
        if not self.open:
            return
        for tag, multiple in self._acknowledgements.take():
            self._channel.basic_ack(tag, multiple)
        if self._stopping is not None and not self._held:
            close_channel(self._channel)

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._take(method.delivery_tag, method.redelivered, read(properties, body), properties.timestamp or 0)

    def _on_delivered(self, delivered: Delivered) -> None:
        self._take(delivered.tag, delivered.redelivered, delivered.message, delivered.since)

    def _take(self, tag: int, redelivered: bool, message: Message, since: int) -> None:
        self._held += 1
        self._delivered += 1
        self.reached = since or self.reached
        delivery = RabbitDelivery(self, tag, self._queue, message, redelivered)
        try:
            self._receive(delivery)
        except Exception:  # noqa: BLE001 - raised further, it would cut the connection and void all that came by it
            _log.exception(
                "queue %s: receiving message %s failed; handed back", self._queue, delivery.message.id
            )
            delivery.hand_back()

    def _cancelled_by_broker(self) -> None:
        self._lose(AMQPError("the broker stopped delivering, most often because the queue was deleted"))
        close_channel(self._channel)

    def _lose(self, why: Exception) -> None:
        self._lost = True
        if not self.gone.done():
            self.gone.set_result(why)


class RabbitDelivery:
    """As in the protocol Delivery; tied to the channel that it came by."""

    __slots__ = ("_deliveries", "_settled", "_tag", "message", "queue", "redelivered")

    def __init__(
        self, deliveries: OpenDeliveries, tag: int, queue: str, message: Message, redelivered: bool
    ) -> None:
        self._deliveries = deliveries
        self._tag = tag
        self._settled = False
        self.queue = queue
        self.message = message
        self.redelivered = redelivered

    def acknowledge(self) -> bool:
        """As in the protocol Delivery."""
        return self._settle(self._deliveries.acknowledge)

    def hand_back(self) -> bool:
        """As in the protocol Delivery."""
        return self._settle(self._deliveries.hand_back)

    def _settle(self, how: Callable[[int], None]) -> bool:
        # A second acknowledgement of one tag would close the channel.
        if self._settled or not self._deliveries.open:
            return False
        self._settled = True
        how(self._tag)
        return True
