"""The queue on RabbitMQ: a publisher and a consumer on connections of their own, so that a blocked one stops only itself."""

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from pika.exceptions import AMQPError, ChannelClosedByBroker

from mousetrap.job_queue.amqp import address
from mousetrap.job_queue.amqp.connection import ask, close_channel, open_channel
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.consumer import Consumer, RabbitSubscription
from mousetrap.job_queue.errors import BLOCKED, explain, is_missing, silence_pika, unroutable
from mousetrap.job_queue.publisher import Publisher
from mousetrap.job_queue.topology.topology import topology
from mousetrap.jobs import (
    Backlog,
    Delivery,
    Message,
    MousetrapError,
    Queue,
    QueueFull,
    QueueOptions,
    limit_reached,
    possible_limits,
)

#: Seconds that a question to the broker may take; the API answers within two.
_REPLY_TIMEOUT_S = 1.5
#: Seconds for which it is known why a queue refuses.
_LIMIT_KNOWN_FOR_S = 1.0


@asynccontextmanager
async def open_rabbitmq(
    url: str, queues: Iterable[str], *, name: str, options: QueueOptions
) -> AsyncIterator[Queue]:
    """The queue at `amqp://user:password@host:port,host:port/vhost`, with `queues` and their dead queues on it."""
    silence_pika()
    queue = RabbitQueue(url, queues, name, options)
    try:
        yield queue
    finally:
        await queue.close()


class RabbitQueue:
    """As in the protocol Queue, on RabbitMQ."""

    def __init__(self, url: str, queues: Iterable[str], name: str, options: QueueOptions) -> None:
        where = address.parse(url)
        self._options = options
        #: By queue: which bound it met, and when that was asked.
        self._limits_reached: dict[str, tuple[str, float]] = {}
        stands = topology(queues, options)
        self._status = BrokerStatus(str(where))
        who = f"{name}@{socket.gethostname()}:{os.getpid()}"
        self._publisher = Publisher(
            stands,
            options.confirm_deadline,
            lambda: address.parameters(where, f"{who} publish", options),
            self._status,
        )
        self._consumer = Consumer(
            stands, lambda: address.parameters(where, f"{who} consume", options), self._status
        )
        self._publisher.link.start()

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        """As in the protocol Queue."""
        try:
            await self._publisher.publish(queue, message, after)
        except QueueFull as error:
            raise QueueFull(
                f"{error}: {await self._limit_reached(queue)}; add workers, or try again later"
            ) from None

    async def consume(
        self, queue: str, prefetch: int, receive: Callable[[Delivery], None]
    ) -> RabbitSubscription:
        """As in the protocol Queue."""
        return self._consumer.consume(queue, prefetch, receive)

    async def ready(self, queue: str) -> int:
        """As in the protocol Queue."""
        try:
            async with self._channel() as channel:
                answer = await ask(channel, channel.queue_declare, queue, passive=True)
        except ChannelClosedByBroker as error:
            raise unroutable(queue) from error
        return int(answer.message_count)

    async def _limit_reached(self, queue: str) -> str:
        """Which of a queue's bounds refuses, which the broker does not say: asked for once a second, however many it refuses."""
        said, at = self._limits_reached.get(queue, ("", -math.inf))
        now = asyncio.get_running_loop().time()
        if now - at >= _LIMIT_KNOWN_FOR_S:
            with suppress(MousetrapError):
                said = limit_reached(await self.ready(queue), self._options)
            self._limits_reached[queue] = (said or possible_limits(self._options), now)
        return self._limits_reached[queue][0]

    async def backlog(self, queue: str) -> Backlog:
        """As in the protocol Queue; since when is known only to whoever consumes, for to look at a message is to take it."""
        return Backlog(await self.ready(queue), self._consumer.reached(queue))

    async def browse(self, queue: str, most: int, most_bytes: int) -> None:
        """As in the protocol Queue: here who looks at a message takes it."""

    async def mark(self, queue: str) -> int:
        """As in the protocol Queue: how many wait is all that the broker tells."""
        return await self.ready(queue)

    async def check(self) -> None:
        """As in the protocol Queue."""
        async with self._channel():
            pass

    async def close(self) -> None:
        """As in the protocol Queue."""
        await self._consumer.close()
        await self._publisher.close()

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[Any]:
        """A channel to ask one thing. Raises QueueUnreachable when the broker does not answer soon."""
        link = self._publisher.link
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                connection = await link.now()
                if connection.blocked:
                    raise self._status.unreachable(BLOCKED)
                channel = await open_channel(connection)
                try:
                    yield channel
                finally:
                    close_channel(channel)
        except (AMQPError, TimeoutError) as error:
            if is_missing(error):
                raise
            raise self._status.unreachable(explain(error) if link.connection else "") from error
