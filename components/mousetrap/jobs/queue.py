"""What we ask of a queue: small protocols that RabbitMQ and the embedded queue both fit."""

from collections.abc import Callable, Hashable, Mapping
from typing import Protocol

import msgspec

#: Bytes of a job's payload. RabbitMQ 4 takes messages of up to 16 MiB; the envelope and a margin go off that.
LARGEST_PAYLOAD = 8 * 1024 * 1024


class Message(msgspec.Struct, frozen=True):
    """What a queue carries: bytes with an id, and headers of plain text beside them."""

    id: str
    body: bytes
    headers: Mapping[str, str] = {}


class Backlog(msgspec.Struct, frozen=True):
    """What waits in a queue to be delivered; what is delayed, or with a consumer already, is no part of it."""

    ready: int
    #: None of it began to wait before this: milliseconds since 1970; None where the process that was asked cannot tell.
    since_ms: int | None


class Browsed(msgspec.Struct, frozen=True):
    """Messages that lie in a queue, oldest first, and how many lie there beyond those."""

    messages: tuple[Message, ...]
    beyond: int


class Delivery(Protocol):
    """A message that is ours until we settle it, or until its connection is lost: then the queue delivers it again."""

    @property
    def queue(self) -> str: ...

    @property
    def message(self) -> Message: ...

    @property
    def redelivered(self) -> bool:
        """Whether an earlier delivery of this very message ended without an acknowledgement."""
        ...

    def acknowledge(self) -> bool:
        """Lets the queue forget the message. False, and nothing done, once the delivery's connection is lost."""
        ...

    def hand_back(self) -> bool:
        """Puts the message back for another consumer, at once. False once the delivery's connection is lost."""
        ...


class Subscription(Protocol):
    """Deliveries from one queue, until stopped; it survives lost connections."""

    async def begun(self) -> None:
        """Returns once the queue's server has taken the subscription for the first time, however long that takes."""
        ...

    async def stop(self) -> None:
        """No new delivery arrives after this returns. Those already received stay ours to settle."""
        ...


class Queue(Protocol):
    """Named durable queues behind one address."""

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        """Returns once the queue has the message for good; with `after` (seconds) it is delivered no earlier.

        Raises QueueUnreachable, PublishUnconfirmed, QueueFull or Unroutable. After the first two the message may be there
        or not: publish it again under the same id.
        """
        ...

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        """Calls `receive` on the event loop for each delivery, with at most `prefetch` of them unsettled."""
        ...

    async def ready(self, queue: str) -> int:
        """How many messages wait to be delivered, the delayed ones not counted. Raises QueueUnreachable or Unroutable."""
        ...

    async def backlog(self, queue: str) -> Backlog:
        """What waits to be delivered, and since when; looking moves no message. Raises as `ready` does."""
        ...

    async def browse(self, queue: str, most: int, most_bytes: int) -> Browsed | None:
        """What lies in `queue`, at most about so much, by a look that moves nothing and writes nothing.

        None where a message can only be looked at by taking it. Raises as `ready` does.
        """
        ...

    async def mark(self, queue: str) -> Hashable:
        """Differs from what it was before if messages came or went, as far as the broker tells. Raises as `ready` does."""
        ...

    async def check(self) -> None:
        """Returns if the broker answers now. Raises QueueUnreachable."""
        ...

    async def close(self) -> None:
        """Flushes acknowledgements and leaves; what is unsettled goes back to its queue."""
        ...


def dead_queue(queue: str) -> str:
    """Where the jobs that `queue` gave up are kept."""
    return f"{queue}.dead"
