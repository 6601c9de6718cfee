"""Publishes to named topics and claims from them, for scripts and notebooks."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, Self

from mousetrap.job_queue.topics.async_topics import MAX_UNACKED, broker_of_the_environment
from mousetrap.job_queue.topics.channel_queue import ChannelQueue
from mousetrap.job_queue.topics.errors import TopicsClosed, dead_already, lost
from mousetrap.job_queue.topics.loop_queue import LoopQueue
from mousetrap.job_queue.topics.message import Claimed, new_message, seconds
from mousetrap.job_queue.topics.names import declared_for, is_dead
from mousetrap.job_queue.topics.open_claims import OpenClaims
from mousetrap.jobs import Claim, Message, QueueOptions


class BlockingQueue(Protocol):
    """What `ClaimQueue` does, for callers that block."""

    def declare_queue(self, queue: str) -> None: ...

    def publish(self, queue: str, message: Message, *, after: float) -> None: ...

    def claim(self, queue: str, wait: float) -> Claim | None: ...

    def settle(self, claim: Claim, settle: Callable[[Claim], bool]) -> bool: ...

    def close(self) -> None: ...


class Topics:
    """Named durable topics behind one address; threads may share it. A topic is declared when it is first named.

    On RabbitMQ it stands on the blocking channel of `open_channel()`, which a thread of its own keeps alive between calls.
    """

    def __init__(self, queue: BlockingQueue, max_unacked: int) -> None:
        self._queue = queue
        self._claims = OpenClaims(max_unacked)
        self._process = os.getpid()
        self._closed = False

    def publish(
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
        name = declared_for(topic)
        self._check_usable()
        self._queue.declare_queue(name)
        self._queue.publish(topic, message, after=after)
        return message.id

    def claim(self, topic: str, *, wait: float | timedelta = 0) -> Claimed | None:
        """The next message of `topic`, held until `ack` or `nack`; None if none came in `wait` seconds.

        Raises QueueUnreachable, and TooManyClaims while `max_unacked` messages are held.
        """
        name, longest = declared_for(topic), seconds("wait", wait)
        self._check_usable()
        with self._claims.room():
            self._queue.declare_queue(name)
            claim = self._queue.claim(topic, longest)
            return None if claim is None else self._claims.add(claim)

    def ack(self, message: Claimed) -> None:
        """Removes the message from its topic: its work is done. Raises ClaimVoid."""
        self._settle(message, lambda claim: claim.acknowledge())

    def nack(self, message: Claimed, *, requeue: bool = True) -> None:
        """Puts the message back, for any claim at once; without `requeue`, into the topic's dead queue. Raises ClaimVoid."""
        if not requeue and is_dead(message.topic):
            raise dead_already(message.topic)
        self._settle(message, lambda claim: claim.hand_back() if requeue else claim.reject())

    def close(self) -> None:
        """Disconnects; what is claimed and not settled returns to its topic. A second close does nothing."""
        if not self._closed and self._process == os.getpid():
            self._closed = True
            self._queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _settle(self, message: Claimed, settle: Callable[[Claim], bool]) -> None:
        self._check_usable()
        self._claims.remove(message)
        if not self._queue.settle(message.claim, settle):
            raise lost(message.topic, message.id)

    def _check_usable(self) -> None:
        if self._closed:
            raise TopicsClosed("the topics are closed, and their claims are void: open them again")
        if self._process != os.getpid():
            raise TopicsClosed(
                "the topics were opened before this process was forked, and belong to its parent: open them again here"
            )


def open_topics(
    url: str | None = None, *, max_unacked: int = MAX_UNACKED, options: QueueOptions | None = None
) -> Topics:
    """The topics at `url`: RabbitMQ, or the embedded queue; without it, the environment's broker, or this folder's stack's.

    Use it in a `with` block, or call `close`. At most `max_unacked` claims are open at once. Raises QueueUnreachable, SettingsWrong
    for a wrong variable in the environment, and ValueError for an address that cannot be read.
    """
    address, found = broker_of_the_environment(url, options)
    queue: BlockingQueue = (
        ChannelQueue(address, found) if address.startswith("amqp") else LoopQueue(address, found)
    )
    return Topics(queue, max_unacked)
