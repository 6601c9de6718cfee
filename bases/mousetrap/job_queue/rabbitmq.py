"""The queue on RabbitMQ: a publisher and a consumer."""

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

#: For a request to the broker; the API answers within two seconds.
_REPLY_TIMEOUT_S = 1.5
#: How long the cause of a refusal is taken from the last look.
_LIMIT_KNOWN_FOR_S = 1.0


@asynccontextmanager
async def open_rabbitmq(
    url: str, queues: Iterable[str], *, name: str, options: QueueOptions
) -> AsyncIterator[Queue]:
    """The queue at `amqp://user:password@host:port,host:port/vhost`, with `queues` and their dead queues declared."""
    silence_pika()
    queue = RabbitQueue(url, queues, name, options)
    try:
        yield queue
    finally:
        await queue.close()


class RabbitQueue:
    """The queue on RabbitMQ. Publisher and consumer have connections of their own: a blocked one stops only itself."""

    def __init__(self, url: str, queues: Iterable[str], name: str, options: QueueOptions) -> None:
        broker = address.parse(url)
        needed = topology(queues, options)
        self._options = options
        #: By queue: the limit that it has reached, and when that was looked up.
        self._limits_reached: dict[str, tuple[str, float]] = {}
        self._status = BrokerStatus(str(broker))
        process = f"{name}@{socket.gethostname()}:{os.getpid()}"
        self._publisher = Publisher(
            needed,
            options.confirm_deadline,
            lambda: address.parameters(broker, f"{process} publish", options),
            self._status,
        )
        self._consumer = Consumer(
            needed, lambda: address.parameters(broker, f"{process} consume", options), self._status
        )
        self._publisher.link.start()

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        try:
            await self._publisher.publish(queue, message, after)
        except QueueFull as error:
            raise QueueFull(
                f"{error}: {await self._limit_reached(queue)}; add workers, or try again later"
            ) from None

    async def consume(
        self, queue: str, prefetch: int, receive: Callable[[Delivery], None]
    ) -> RabbitSubscription:
        return self._consumer.consume(queue, prefetch, receive)

    async def count_ready(self, queue: str) -> int:
        try:
            async with self._channel() as channel:
                declared = await ask(channel, channel.queue_declare, queue, passive=True)
        except ChannelClosedByBroker as error:
            raise unroutable(queue) from error
        return int(declared.message_count)

    async def backlog(self, queue: str) -> Backlog:
        """Only a consumer knows since when messages wait: on RabbitMQ, reading a message takes it."""
        return Backlog(await self.count_ready(queue), self._consumer.waiting_since(queue))

    async def browse(self, queue: str, most: int, most_bytes: int) -> None:
        """None: on RabbitMQ, reading a message takes it."""

    async def mark(self, queue: str) -> int:
        """The number of waiting messages, which is all that the broker reports."""
        return await self.count_ready(queue)

    async def check(self) -> None:
        async with self._channel():
            pass

    async def close(self) -> None:
        await self._consumer.close()
        await self._publisher.close()

    async def _limit_reached(self, queue: str) -> str:
        """The limit that a full queue has reached. The broker does not report it: it is looked up, at most once a second."""
        limit, at = self._limits_reached.get(queue, ("", -math.inf))
        now = asyncio.get_running_loop().time()
        if now - at >= _LIMIT_KNOWN_FOR_S:
            with suppress(MousetrapError):
                limit = limit_reached(await self.count_ready(queue), self._options)
            self._limits_reached[queue] = (limit or possible_limits(self._options), now)
        return self._limits_reached[queue][0]

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[Any]:
        """A channel for one request. Raises QueueUnreachable when the broker does not answer in time."""
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
