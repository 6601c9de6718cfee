"""The queue on RabbitMQ: a publisher and a consumer."""

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from pika.exceptions import AMQPError, ChannelClosedByBroker

from mousetrap.job_queue.amqp import address
from mousetrap.job_queue.amqp.connection import ask, close_channel, open_channel, open_connection
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.consumer import Consumer
from mousetrap.job_queue.counts import Counter, Counts
from mousetrap.job_queue.errors import explain, is_missing, not_declared, silence_pika, unroutable
from mousetrap.job_queue.instrumented import warn_if_instrumented
from mousetrap.job_queue.publisher import Publisher, Way
from mousetrap.job_queue.pull import Puller
from mousetrap.job_queue.topology.declare import declare
from mousetrap.job_queue.topology.topology import topology
from mousetrap.job_queue.wire import open_loop_wire
from mousetrap.jobs import (
    Backlog,
    Claim,
    Delivery,
    MousetrapError,
    QueueOptions,
    Subscription,
    limit_reached,
    possible_limits,
    queues_of,
    stage_queue,
)

#: For a request to the broker; the API answers within two seconds.
_REPLY_TIMEOUT_S = 1.5
#: For the first declaration on a new broker, of some sixty queues and exchanges.
_DECLARE_TIMEOUT_S = 30.0
#: How long the cause of a refusal is taken from the last look.
_LIMIT_KNOWN_FOR_S = 1.0


@asynccontextmanager
async def open_rabbitmq(
    url: str, queues: Iterable[str], *, name: str, options: QueueOptions
) -> AsyncIterator["RabbitQueue"]:
    """The queue at `amqp://user:password@host:port,host:port/vhost`, with `queues` and their dead queues declared."""
    silence_pika()
    warn_if_instrumented()
    queue = RabbitQueue(url, queues, name, options)
    try:
        yield queue
    finally:
        await queue.close()


class RabbitQueue:
    """The queue on RabbitMQ. Publisher and consumer have connections of their own: a blocked one stops only itself."""

    def __init__(self, url: str, queues: Iterable[str], name: str, options: QueueOptions) -> None:
        broker = address.parse(url)
        self._work = tuple(queues)
        needed = topology(self._work, options)
        self._options = options
        #: By queue: the limit that it has reached, and when that was looked up.
        self._limits_reached: dict[str, tuple[str, float]] = {}
        self._status = BrokerStatus(str(broker))
        process = f"{name}@{socket.gethostname()}:{os.getpid()}"
        self._publisher = Publisher(
            needed,
            options.confirm_deadline,
            Way(
                lambda: open_connection(address.parameters(broker, f"{process} publish", options)),
                open_loop_wire,
            ),
            self._status,
            self._limit_reached,
        )
        self._publisher.learn = self._learn
        self.publish, self.post = self._publisher.publish, self._publisher.post
        self._consumer = Consumer(
            needed, lambda: address.parameters(broker, f"{process} consume", options), self._status
        )
        self._puller = Puller(
            lambda: address.parameters(broker, f"{process} claim", options), self._status, self._declare
        )
        self._counter = Counter(self._channel)
        self._publisher.link.start()

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        return self._consumer.consume(queue, prefetch, receive)

    async def declare_queue(self, queue: str) -> None:
        if queue not in self._publisher.topology.names:
            await self._declare(queue)

    async def claim(self, queue: str, wait: float) -> Claim | None:
        return await self._puller.claim(queue, wait)

    async def count_ready(self, queue: str) -> int:
        return (await self.backlog(queue)).ready

    async def backlog(self, queue: str) -> Backlog:
        found = await self.backlogs([queue])
        if queue not in found:
            raise unroutable(queue)
        return found[queue]

    async def backlogs(self, queues: Iterable[str]) -> Mapping[str, Backlog]:
        """Only a consumer knows since when messages wait: on RabbitMQ, reading a message takes it."""
        names = list(dict.fromkeys(queues))
        # High queues come last: one that is missing costs the others nothing.
        high = [name for queue in names for name in queues_of(queue)[1:]]
        counted = await self._counter.count([*names, *high])
        return {queue: self._backlog(queue, counted) for queue in names if queue in counted}

    def _backlog(self, queue: str, counted: Mapping[str, Counts]) -> Backlog:
        """Of a stage's queue together with its high queue, whose consumers are the same workers."""
        there = [name for name in queues_of(queue) if name in counted]
        waiting = [name for name in there if counted[name][0]] or [queue]
        since = [self._consumer.waiting_since(name) for name in waiting]
        known = [each for each in since if each is not None]
        return Backlog(
            sum(counted[name][0] for name in there),
            min(known) if len(known) == len(since) else None,
            counted[queue][1],
        )

    async def browse(self, queue: str, most: int, most_bytes: int) -> None:
        """None: on RabbitMQ, reading a message takes it."""

    async def mark(self, queue: str) -> int:
        """The number of waiting messages, which is all that the broker reports."""
        return await self.count_ready(queue)

    async def check(self) -> None:
        async with self._channel():
            pass

    async def close(self) -> None:
        await self._puller.close()
        await self._consumer.close()
        await self._publisher.close()

    async def _learn(self, queue: str) -> None:
        """Takes a queue that another process declared for one of ours. Raises Unroutable where there is none."""
        stage = stage_queue(queue)
        if stage not in self._publisher.topology.names:
            await self.count_ready(stage)
            await self._declare(stage)
        if not self._options.declare and queue not in await self._counter.count([queue]):
            raise unroutable(queue)

    async def _declare(self, queue: str) -> None:
        try:
            async with self._channel(_DECLARE_TIMEOUT_S) as channel:
                declare(channel, topology([queue], self._options))
                await ask(channel, channel.basic_qos, prefetch_count=1)
        except ChannelClosedByBroker as error:
            raise not_declared(queue) from error
        self._work = tuple(dict.fromkeys([*self._work, queue]))
        self._publisher.topology = topology(self._work, self._options)

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
    async def _channel(self, timeout_s: float | None = None) -> AsyncIterator[Any]:
        """A channel for one request. Raises QueueUnreachable when the broker does not answer in time."""
        link = self._publisher.link
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S if timeout_s is None else timeout_s):
                connection = await link.now()
                if connection.blocked:
                    raise self._status.blocked()
                channel = await open_channel(connection)
                try:
                    yield channel
                finally:
                    close_channel(channel)
        except (AMQPError, TimeoutError) as error:
            if is_missing(error):
                raise
            raise self._status.unreachable(explain(error) if link.connection else "") from error
