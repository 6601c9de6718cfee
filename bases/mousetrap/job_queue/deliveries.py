"""Keeps the open deliveries of one channel until they are settled."""

import asyncio
import logging
import math
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from pika.exceptions import AMQPError

from mousetrap.job_queue.amqp import frames
from mousetrap.job_queue.amqp.connection import ask, close_channel
from mousetrap.job_queue.amqp.properties import read
from mousetrap.jobs import Delivery, Message, stage_queue

_log = logging.getLogger("mousetrap.job_queue")

#: For the broker to confirm that it delivers no more.
_CANCEL_TIMEOUT_S = 5.0


class OpenDeliveries:
    """The deliveries of one channel that are not settled yet.

    1. `begin` subscribes; the broker delivers.
    2. Acknowledgements are collected until the loop's next turn, so that a burst of them is one frame.
    3. `stop`: the broker delivers no more. The channel closes when the last delivery is settled.
    4. `lost` has the error once the channel is gone; all open deliveries are void, and the broker delivers them again.
    """

    def __init__(self, queue: str, channel: Any, receive: Callable[[Delivery], None]) -> None:
        #: What it takes from, and the queue that its deliveries are of: a high queue's are its stage's.
        self._source, self._queue = queue, stage_queue(queue)
        self._channel = channel
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        #: The tags of open deliveries, and those settled whose acknowledgement is not sent yet.
        self._unsettled: set[int] = set()
        self._unsent: list[int] = []
        self._delivered = 0
        self._stopping: asyncio.Task[None] | None = None
        #: Unique, because a consumer tag that was used before could make some brokers lose deliveries.
        self._tag = f"mousetrap-{uuid.uuid4().hex}"
        self._void = False
        #: When the latest delivery began to wait, in seconds since 1970: messages still in the queue came no earlier.
        self.waiting_since = 0
        #: Why this channel delivers no more.
        self.lost: asyncio.Future[Exception] = self._loop.create_future()
        channel.add_on_close_callback(lambda _, error: self._lose(error))
        channel.add_on_cancel_callback(lambda _: self._cancelled_by_broker())

    @property
    def open(self) -> bool:
        """Whether deliveries can be settled."""
        return not self._void and bool(self._channel.is_open)

    async def begin(self, prefetch: int) -> None:
        """Subscribes, with at most `prefetch` unsettled deliveries. Raises the error that closed the channel."""
        await ask(self._channel, self._channel.basic_qos, prefetch_count=prefetch)
        self._channel.connection.deliver(self._channel, self._tag, self._on_delivered)
        consume = self._channel.basic_consume
        await ask(self._channel, consume, self._source, self.receive, consumer_tag=self._tag)

    async def until_quiet(self, seconds: float) -> bool:
        """True after so long without a delivery and without an open one; False when the channel is lost."""
        delivered = -1
        while self._unsettled or self._delivered != delivered:
            delivered = self._delivered
            if (await asyncio.wait([self.lost], timeout=seconds))[0]:
                return False
        return True

    async def stop(self) -> None:
        """Ends the subscription; the channel closes when all is settled. Two callers may stop it."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"mousetrap stop {self._queue}")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self.open and self._tag in self._channel.consumer_tags:
            try:
                async with asyncio.timeout(_CANCEL_TIMEOUT_S):
                    await ask(self._channel, self._channel.basic_cancel, self._tag)
            except Exception:  # noqa: BLE001  whatever closed the channel or delayed the answer
                close_channel(self._channel)  # its open deliveries are delivered again
        self.flush()

    def acknowledge(self, tag: int) -> bool:
        """Acknowledges `tag` in the loop's next turn. False for one that is settled, or void."""
        # A second acknowledgement of one tag would close the channel.
        if tag not in self._unsettled or not self._channel.is_open:
            return False
        self._unsettled.remove(tag)
        self._unsent.append(tag)
        if len(self._unsent) == 1:
            self._loop.call_soon(self.flush)
        return True

    def give_up(self, tag: int, *, requeue: bool) -> bool:
        """Returns `tag` to its queue at once, or to the dead queue. False for one that is settled, or void."""
        if tag not in self._unsettled or not self._channel.is_open:
            return False
        self._unsettled.remove(tag)
        self._channel.basic_nack(tag, requeue=requeue)
        if self._stopping is not None:
            self.flush()
        return True

    def flush(self) -> None:
        """Sends the acknowledgements that are due."""
        if not self.open:
            return
        unsent, self._unsent = self._unsent, []
        channel = self._channel
        for tag, multiple in combined(unsent, self._unsettled):
            channel.connection.send(frames.acknowledge(channel.channel_number, tag, multiple))
        if self._stopping is not None and not self._unsettled:
            close_channel(self._channel)

    def receive(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """Takes a message as pika passes it: one of the subscription's that is of another form, or one that was pulled."""
        self._deliver(
            method.delivery_tag, method.redelivered, read(properties, body), properties.timestamp or 0
        )

    def _on_delivered(self, delivered: frames.Delivered) -> None:
        self._deliver(delivered.tag, delivered.redelivered, delivered.message, delivered.since)

    def _deliver(self, tag: int, redelivered: bool, message: Message, since: int) -> None:
        self._unsettled.add(tag)
        self._delivered += 1
        self.waiting_since = since or self.waiting_since
        delivery = RabbitDelivery(self, tag, self._queue, message, redelivered, 1000 * since)
        try:
            self._receive(delivery)
        except Exception:  # noqa: BLE001 - raised further, it would cut the connection and void all its deliveries
            _log.exception(
                "queue %s: receiving message %s failed; handed back", self._queue, delivery.message.id
            )
            delivery.hand_back()

    def _cancelled_by_broker(self) -> None:
        self._lose(AMQPError("the broker stopped delivering, most often because the queue was deleted"))
        close_channel(self._channel)

    def _lose(self, error: Exception) -> None:
        self._void = True
        self._unsettled.clear()
        if not self.lost.done():
            self.lost.set_result(error)


class RabbitDelivery:
    """A message to settle; void once its channel is lost."""

    __slots__ = ("_deliveries", "_tag", "message", "queue", "redelivered", "since_ms")

    def __init__(
        self,
        deliveries: OpenDeliveries,
        tag: int,
        queue: str,
        message: Message,
        redelivered: bool,
        since_ms: int = 0,
    ) -> None:
        self._deliveries = deliveries
        self._tag = tag
        self.queue = queue
        self.message = message
        self.redelivered = redelivered
        self.since_ms = since_ms

    def acknowledge(self) -> bool:
        return self._deliveries.acknowledge(self._tag)

    def hand_back(self) -> bool:
        return self._deliveries.give_up(self._tag, requeue=True)

    def reject(self) -> bool:
        return self._deliveries.give_up(self._tag, requeue=False)

    def is_void(self) -> bool:
        return not self._deliveries.open


def combined(unsent: Iterable[int], unsettled: Collection[int]) -> Sequence[tuple[int, bool]]:
    """The fewest acknowledgements of the `unsent` tags: each a tag, and whether it includes all tags below it."""
    tags = sorted(unsent)
    lowest = min(unsettled, default=math.inf)
    # The named tag must itself be unsent: a broker refuses a tag that it has already got.
    together = [tag for tag in tags if tag < lowest]
    singly = tags[len(together) :]
    return [*([(together[-1], len(together) > 1)] if together else []), *((tag, False) for tag in singly)]
