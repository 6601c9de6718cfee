"""Simulates a broker: durable queues with at-least-once delivery, in order."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

from mousetrap.jobs import Message, queue_for, queues_of, stage_queue


@dataclass(slots=True)
class Stored:
    """A message in a queue."""

    message: Message
    serial: int
    #: How often a delivery of it ended without an acknowledgement.
    returned: int = 0


@dataclass(slots=True)
class Consumer:
    """The broker's end of a subscription."""

    queue: str
    prefetch: int
    #: Sends a message to the client.
    send: Callable[["Consumer", Stored], None]
    unsettled: dict[int, Stored] = field(default_factory=dict)


class Broker:
    """Queues by name. An accepted message is never lost; while `away`, the broker neither answers nor delivers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        queues: Iterable[str],
        on_published: Callable[[str, Message], None],
    ) -> None:
        self.away = False
        #: How many messages each queue has been given.
        self.arrived: Counter[str] = Counter()
        #: Called after each change of what is left.
        self.changed: Callable[[], None] = lambda: None
        self._loop = loop
        #: Called with each published message.
        self._on_published = on_published
        self._ready: dict[str, deque[Stored]] = {}
        self._delayed: dict[int, tuple[str, Message]] = {}
        self._consumers: dict[str, list[Consumer]] = {}
        self._serials = count(1)
        for queue in queues:
            self.declare(queue)

    def __contains__(self, queue: str) -> bool:
        return queue in self._ready

    def declare(self, queue: str) -> None:
        """Makes the queue with its high queue, unless they are there."""
        for name in queues_of(queue):
            self._ready.setdefault(name, deque())
            self._consumers.setdefault(name, [])

    def take(self, queue: str, message: Message, after: float) -> None:
        """Stores a message, and delivers it when its delay is over."""
        stored = Stored(message, next(self._serials))
        self.arrived[queue] += 1
        self._on_published(queue, message)
        if after > 0:
            self._delayed[stored.serial] = (queue, message)
            self._loop.call_later(after, self._release, stored)
        else:
            self._make_ready(queue, stored)

    def subscribe(self, consumer: Consumer) -> None:
        self._consumers[consumer.queue].append(consumer)
        self.deliver(consumer.queue)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Ends deliveries; what is unsettled stays so."""
        if consumer in self._consumers[consumer.queue]:
            self._consumers[consumer.queue].remove(consumer)

    def serves(self, consumer: Consumer) -> bool:
        """Whether messages are delivered to it."""
        return consumer in self._consumers[consumer.queue]

    def drop(self, consumer: Consumer) -> None:
        """Returns a lost connection's unsettled messages to their old places in the queue."""
        self.unsubscribe(consumer)
        for stored in sorted(consumer.unsettled.values(), key=lambda stored: -stored.serial):
            self._return(consumer, stored)
        self.deliver(consumer.queue)

    def settle(self, consumer: Consumer, serial: int) -> None:
        """Forgets an acknowledged message."""
        consumer.unsettled.pop(serial, None)
        self.changed()
        self.deliver(consumer.queue)

    def hand_back(self, consumer: Consumer, serial: int) -> None:
        """Puts an unsettled message back."""
        if (stored := consumer.unsettled.get(serial)) is not None:
            self._return(consumer, stored)
            self.deliver(consumer.queue)

    def deliver(self, queue: str) -> None:
        """Delivers ready messages to the consumers in turn."""
        while not self.away and self._ready[queue]:
            free = [each for each in self._consumers[queue] if len(each.unsettled) < each.prefetch]
            if not free:
                return
            consumer = free[0]
            self._consumers[queue].remove(consumer)
            self._consumers[queue].append(consumer)
            stored = self._ready[queue].popleft()
            consumer.unsettled[stored.serial] = stored
            consumer.send(consumer, stored)

    def come_back(self) -> None:
        """Delivers again."""
        self.away = False
        for queue in self._ready:
            self.deliver(queue)

    def waiting(self, queue: str) -> list[Message]:
        """The ready messages of a queue, those of its high queue last."""
        return [stored.message for name in queues_of(queue) for stored in self._ready[name]]

    def delayed(self) -> list[tuple[str, Message]]:
        """The messages that are not due yet, each with its queue."""
        return list(self._delayed.values())

    def left(self) -> dict[str, int]:
        """The number of messages of each queue that has any: ready, delayed or unsettled."""
        left = Counter(self.due())
        left.update(name for name, _ in self._delayed.values())
        return dict(left)

    def due(self) -> dict[str, int]:
        """The number of messages of each queue that has any: ready or unsettled."""
        due: Counter[str] = Counter()
        for name, ready in self._ready.items():
            unsettled = sum(len(each.unsettled) for each in self._consumers[name])
            due[stage_queue(name)] += len(ready) + unsettled
        return {name: count for name, count in due.items() if count}

    @property
    def max_returned(self) -> int:
        """The largest number of returns of one message."""
        unsettled = [
            stored for takers in self._consumers.values() for t in takers for stored in t.unsettled.values()
        ]
        ready = [stored for queue in self._ready.values() for stored in queue]
        return max((stored.returned for stored in [*ready, *unsettled]), default=0)

    def _return(self, consumer: Consumer, stored: Stored) -> None:
        del consumer.unsettled[stored.serial]
        stored.returned += 1
        queue = self._ready[consumer.queue]
        later = sum(other.serial < stored.serial for other in queue)
        queue.insert(later, stored)

    def _release(self, stored: Stored) -> None:
        queue, _ = self._delayed.pop(stored.serial)
        self._make_ready(queue, stored)

    def _make_ready(self, queue: str, stored: Stored) -> None:
        name = queue_for(queue, stored.message.priority)
        self._ready[name].append(stored)
        self.deliver(name)
