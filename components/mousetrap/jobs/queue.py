"""The protocols of a queue, on RabbitMQ and embedded."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Protocol

import msgspec

from mousetrap.jobs.posted import Settled
from mousetrap.shapes import DEFAULT_PRIORITY

#: Bytes of a payload in its message. RabbitMQ 4 takes messages of up to 16 MiB, including the envelope and a margin.
LARGEST_INLINE = 8 * 1024 * 1024
#: Bytes of any payload, unless MOUSETRAP_PAYLOAD_MAX_BYTES has another number.
LARGEST_PAYLOAD = 256 * 1024 * 1024
#: Seconds that a queue delays a message at most, 291 days: what the delay ladder of RabbitMQ can.
LONGEST_DELAY_S = 25_165_824.0


class Message(msgspec.Struct, frozen=True):
    """A message: bytes with an id, and headers of plain text."""

    id: str
    body: bytes
    headers: Mapping[str, str] = {}
    #: 0 to 9: above the default it goes to the queue that is taken from first.
    priority: int = DEFAULT_PRIORITY


class Backlog(msgspec.Struct, frozen=True):
    """The messages that wait to be delivered, without delayed ones and those that a consumer has."""

    ready: int
    #: Milliseconds since 1970: no message began to wait earlier. None where this process does not know.
    since_ms: int | None
    #: How many consumers the queue has, of all processes.
    consumers: int = 0


class Browsed(msgspec.Struct, frozen=True):
    """Messages in a queue, oldest first, and how many more are there."""

    messages: tuple[Message, ...]
    beyond: int


class Delivery(Protocol):
    """A message to settle. Once its connection is lost it is void, and the queue delivers the message again."""

    @property
    def queue(self) -> str: ...

    @property
    def message(self) -> Message: ...

    @property
    def redelivered(self) -> bool:
        """Whether an earlier delivery of this very message ended without an acknowledgement."""
        ...

    @property
    def since_ms(self) -> int:
        """Milliseconds since 1970, when it began to wait in its queue: on RabbitMQ a whole second. 0 where that is unknown."""
        ...

    def acknowledge(self) -> bool:
        """Removes the message from the queue. Returns False, and does nothing, once the connection is lost."""
        ...

    def hand_back(self) -> bool:
        """Puts the message back for another consumer, at once. Returns False once the connection is lost."""
        ...


class Claim(Delivery, Protocol):
    """A delivery that was pulled, not subscribed to."""

    def reject(self) -> bool:
        """Moves the message to its queue's dead queue, in one step. Returns False once the connection is lost."""
        ...

    def is_void(self) -> bool:
        """Whether the connection is lost: the queue delivers the message again."""
        ...


class Subscription(Protocol):
    """Deliveries from one queue, until stopped. It survives lost connections."""

    async def begun(self) -> None:
        """Returns once the server has accepted the subscription for the first time; there is no timeout."""
        ...

    async def stop(self) -> None:
        """After this returns no delivery arrives. Those received before can still be settled."""
        ...


class Publishes(Protocol):
    """Takes messages for named durable queues."""

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        """Returns once the queue has stored the message; with `after` (seconds) it is delivered no earlier.

        Raises ValueError for an `after` that is no number from 0 to LONGEST_DELAY_S, and QueueUnreachable,
        PublishUnconfirmed, QueueFull or Unroutable. After the first two of those the message may be there or not: publish it
        again under the same id.
        """
        ...


class Queue(Publishes, Protocol):
    """Named durable queues behind one address."""

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        """Publishes with all others of this turn of the event loop; the result, or an error as of `publish`, goes to `settled`.

        That is called in a later turn, once, on the event loop; what it raises is logged. Messages leave in the order of their posts.
        Raises ValueError for a message that no queue takes.
        """
        ...

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        """Calls `receive` on the event loop for each delivery, with at most `prefetch` of them unsettled.

        Of priorities above the default as many more are: what has arrived of the others does not stand in their way.
        """
        ...

    async def count_ready(self, queue: str) -> int:
        """How many messages wait to be delivered, the delayed ones not counted. Raises QueueUnreachable or Unroutable."""
        ...

    async def backlog(self, queue: str) -> Backlog:
        """The messages that wait, since when, and who takes from the queue; it moves no message. Raises as `count_ready` does."""
        ...

    async def backlogs(self, queues: Iterable[str]) -> Mapping[str, Backlog]:
        """The same of many, in about the time of a few, by name; those that are missing are left out. Raises QueueUnreachable."""
        ...

    async def browse(self, queue: str, most: int, most_bytes: int) -> Browsed | None:
        """About the first `most` messages of `queue`, or `most_bytes`, without moving one.

        None where reading a message takes it. Raises as `count_ready` does.
        """
        ...

    async def mark(self, queue: str) -> Hashable:
        """A value that changes when messages come or go, as far as the broker reports it. Raises as `count_ready` does."""
        ...

    async def check(self) -> None:
        """Returns if the broker answers. Raises QueueUnreachable."""
        ...

    async def close(self) -> None:
        """Sends the acknowledgements that are due and disconnects; unsettled messages return to their queues."""
        ...


class Outlet(Publishes, Protocol):
    """Queues that are declared when they are first named."""

    async def declare_queue(self, queue: str) -> None:
        """Makes `queue` and its dead queue, if they are missing. Raises QueueUnreachable, or Unroutable if we may not."""
        ...

    async def count_ready(self, queue: str) -> int:
        """As `Queue.count_ready` does."""
        ...


class ClaimQueue(Outlet, Protocol):
    """Queues whose messages are pulled one by one."""

    async def claim(self, queue: str, wait: float) -> Claim | None:
        """The next message of `queue`, as soon as there is one; None after `wait` seconds. Raises QueueUnreachable."""
        ...
