"""Publishes for a blocking client: on RabbitMQ, over the channel of `open_channel`."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial

from pika.exceptions import AMQPError

from mousetrap.job_queue.amqp import address
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.channel_wire import ChannelConnection, open_channel_connection, open_channel_wire
from mousetrap.job_queue.errors import explain, is_missing, not_declared, silence_pika, unroutable
from mousetrap.job_queue.open_queue import options_of
from mousetrap.job_queue.publisher import Publisher, Way
from mousetrap.job_queue.rabbitmq import open_rabbitmq
from mousetrap.job_queue.topology.declare import count_apart
from mousetrap.job_queue.topology.topology import Topology, topology
from mousetrap.jobs import Message, Outlet, QueueOptions, possible_limits, stage_queue
from mousetrap.settings import Settings

#: For a first declaration, of some thirty queues and as many exchanges.
_DECLARE_TIMEOUT_S = 10.0
#: For a count, which takes three round trips.
_COUNT_TIMEOUT_S = 1.5


def open_outlet(
    settings: Settings, queues: Iterable[str], *, name: str, blocking: bool = False
) -> AbstractAsyncContextManager[Outlet]:
    """What publishes at `settings.broker_url`, with `queues` declared.

    `blocking`: on RabbitMQ over the channel of `open_channel`, which a thread serves, and which connects with the first use.
    """
    url, options = settings.broker_url, options_of(settings)
    if not url.startswith("amqp"):
        from mousetrap.stream_queue import open_stream_queue

        return open_stream_queue(url, queues, name=name, options=options)
    if not blocking:
        return open_rabbitmq(url, queues, name=name, options=options)
    return _open_channel_publisher(url, queues, options)


@asynccontextmanager
async def _open_channel_publisher(
    url: str, queues: Iterable[str], options: QueueOptions
) -> AsyncIterator[Outlet]:
    silence_pika()
    publisher = ChannelPublisher(url, queues, options)
    try:
        yield publisher
    finally:
        await publisher.close()


class ChannelPublisher:
    """Outlet over the blocking channel: waiting publishes go together, and each has its own confirm."""

    def __init__(self, url: str, queues: Iterable[str], options: QueueOptions) -> None:
        self._options = options
        self._queues = tuple(queues)
        self._status = BrokerStatus(str(address.parse(url)))
        self._publisher = Publisher(
            topology(self._queues, options),
            options.confirm_deadline,
            Way(lambda: open_channel_connection(url, options), open_channel_wire),
            self._status,
            self._limits,
        )
        self._publisher.learn = self._learn

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self._publisher.link.start()
        await self._publisher.publish(queue, message, after=after)

    async def declare_queue(self, queue: str) -> None:
        if queue in self._publisher.topology.names:
            return
        wider = topology((*self._queues, queue), self._options)
        self._publisher.link.start()
        try:
            async with asyncio.timeout(_DECLARE_TIMEOUT_S):
                connection: ChannelConnection = await self._publisher.link.now()
                await connection.declare(_beyond(self._publisher.topology, wider))
        except (AMQPError, TimeoutError) as error:
            if is_missing(error):
                raise not_declared(queue) from error
            raise self._status.unreachable(explain(error)) from error
        self._queues = (*self._queues, queue)
        self._publisher.topology = wider

    async def count_ready(self, queue: str) -> int:
        self._publisher.link.start()
        try:
            async with asyncio.timeout(_COUNT_TIMEOUT_S):
                connection: ChannelConnection = await self._publisher.link.now()
                return await connection.call(partial(count_apart, queue=queue))
        except (AMQPError, TimeoutError) as error:
            if is_missing(error):
                raise unroutable(queue) from error
            raise self._status.unreachable(explain(error)) from error

    async def close(self) -> None:
        """Closes the connection; messages without a confirm fail."""
        await self._publisher.close()

    async def _learn(self, queue: str) -> None:
        """Looks for the high queue of one of ours. Raises Unroutable for any other, and where it is missing."""
        if stage_queue(queue) not in self._publisher.topology.names:
            raise unroutable(queue)
        await self.count_ready(queue)

    async def _limits(self, _queue: str) -> str:
        return possible_limits(self._options)


def _beyond(there: Topology, wider: Topology) -> Topology:
    """What `wider` has and `there` has not: each declaration is a round trip, and the delay ladder takes ninety."""
    return replace(
        wider,
        exchanges=tuple(each for each in wider.exchanges if each not in there.exchanges),
        queues=tuple(each for each in wider.queues if each not in there.queues),
        bindings=tuple(each for each in wider.bindings if each not in there.bindings),
    )
