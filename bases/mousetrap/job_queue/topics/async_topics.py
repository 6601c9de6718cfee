"""Publishes to named topics and claims from them, awaited."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

from mousetrap.catalogue import SETTINGS
from mousetrap.job_queue.open_queue import options_of
from mousetrap.job_queue.rabbitmq import open_rabbitmq
from mousetrap.job_queue.topics.errors import dead_already, lost
from mousetrap.job_queue.topics.message import Claimed, new_message, seconds
from mousetrap.job_queue.topics.names import declared_for, is_dead
from mousetrap.job_queue.topics.open_claims import OpenClaims
from mousetrap.jobs import Claim, ClaimQueue, QueueOptions
from mousetrap.settings import Settings, local_environment

#: Claims that one user may hold at once.
MAX_UNACKED = 32


class AsyncTopics:
    """Named durable topics behind one address. A topic is declared when it is first named."""

    def __init__(self, queue: ClaimQueue, max_unacked: int) -> None:
        self._queue = queue
        self._claims = OpenClaims(max_unacked)

    async def publish(
        self,
        topic: str,
        value: Any,
        *,
        headers: Mapping[str, str] | None = None,
        delay: float | timedelta = 0,
        id: str | None = None,
    ) -> str:
        """Publishes bytes, or a value that JSON can hold; returns the message's id once the broker has it.

        With `delay` (seconds or a timedelta) it can be claimed no earlier. Raises QueueUnreachable, PublishUnconfirmed, QueueFull
        or Unroutable; ValueError or TypeError for what cannot be a message. After PublishUnconfirmed, publish again with its `id`.
        """
        message, after = new_message(value, headers, id), seconds("delay", delay)
        await self._queue.declare_queue(declared_for(topic))
        await self._queue.publish(topic, message, after=after)
        return message.id

    async def claim(self, topic: str, *, wait: float | timedelta = 0) -> Claimed | None:
        """The next message of `topic`, held until `ack` or `nack`; None if none came in `wait` seconds.

        Raises QueueUnreachable, and TooManyClaims while `max_unacked` messages are held.
        """
        name, longest = declared_for(topic), seconds("wait", wait)
        with self._claims.room():
            await self._queue.declare_queue(name)
            claim = await self._queue.claim(topic, longest)
            return None if claim is None else self._claims.add(claim)

    async def ack(self, message: Claimed) -> None:
        """Removes the message from its topic: its work is done. Raises ClaimVoid."""
        self._settle(message, lambda claim: claim.acknowledge())

    async def nack(self, message: Claimed, *, requeue: bool = True) -> None:
        """Puts the message back, for any claim at once; without `requeue`, into the topic's dead queue. Raises ClaimVoid."""
        if not requeue and is_dead(message.topic):
            raise dead_already(message.topic)
        self._settle(message, lambda claim: claim.hand_back() if requeue else claim.reject())

    def _settle(self, message: Claimed, settle: Callable[[Claim], bool]) -> None:
        self._claims.remove(message)
        if not settle(message.claim):
            raise lost(message.topic, message.id)


@asynccontextmanager
async def open_async_topics(
    url: str | None = None, *, max_unacked: int = MAX_UNACKED, options: QueueOptions | None = None
) -> AsyncIterator[AsyncTopics]:
    """The topics at `url`: RabbitMQ, or the embedded queue; without it, the environment's broker, or this folder's stack's.

    What is claimed and not settled at the end returns to its topic. Raises ValueError for an address that cannot be read.
    """
    address, found = broker_of_the_environment(url, options)
    async with open_claim_queue(address, found) as queue:
        yield AsyncTopics(queue, max_unacked)


def open_claim_queue(url: str, options: QueueOptions) -> AbstractAsyncContextManager[ClaimQueue]:
    """The queue at `url`, with nothing declared yet."""
    if url.startswith("amqp"):
        return open_rabbitmq(url, (), name="topics", options=options)
    from mousetrap.stream_queue import open_stream_queue

    return open_stream_queue(url, (), name="topics", options=options)


def broker_of_the_environment(url: str | None, options: QueueOptions | None) -> tuple[str, QueueOptions]:
    """The address and the options, each from the environment where it is not given. Raises SettingsWrong."""
    settings = Settings.from_environ(local_environment(os.environ), SETTINGS)
    return url or settings.broker_url, options or options_of(settings)
