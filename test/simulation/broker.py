"""A broker without a broker: durable queues that deliver at least once, and the process's end of them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from mousetrap.jobs import Message, PublishUnconfirmed, QueueFull, QueueUnreachable, Unroutable
from simulation.clock import SimulatedLoop
from simulation.process import Lost, Process

#: Seconds after which a publisher gives up to wait for its confirm; before a lost connection is opened anew.
CONFIRM_DEADLINE = 10.0
RECONNECT = 0.7


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

    line: "Line"
    queue: str
    prefetch: int
    receive: Callable[["SimulatedDelivery"], None]
    unsettled: dict[int, Stored] = field(default_factory=dict)


class Broker:
    """Queues by name. What it says it has, it has for good; `away`, it neither answers nor delivers."""

    def __init__(self, loop: SimulatedLoop, queues: list[str], heard: Callable[[str, Message], None]) -> None:
        self.away = False
        self._loop = loop
        #: Is told of each message that came.
        self._heard = heard
        self._ready: dict[str, deque[Stored]] = {name: deque() for name in queues}
        self._delayed: dict[int, str] = {}
        self._consumers: dict[str, list[Consumer]] = {name: [] for name in queues}
        self._serials = count(1)

    def __contains__(self, queue: str) -> bool:
        return queue in self._ready

    def take(self, queue: str, message: Message, after: float) -> None:
        """Keeps a message, and delivers it when its delay is over."""
        stored = Stored(message, next(self._serials))
        self._heard(queue, message)
        if after > 0:
            self._delayed[stored.serial] = queue
            self._loop.call_later(after, self._release, stored)
        else:
            self._ready[queue].append(stored)
            self.deliver(queue)

    def subscribe(self, consumer: Consumer) -> None:
        self._consumers[consumer.queue].append(consumer)
        self.deliver(consumer.queue)

    def unsubscribe(self, consumer: Consumer) -> None:
        """No new delivery; what is unsettled stays so."""
        if consumer in self._consumers[consumer.queue]:
            self._consumers[consumer.queue].remove(consumer)

    def drop(self, consumer: Consumer) -> None:
        """The connection is gone: what it has not settled comes again, in its old place."""
        self.unsubscribe(consumer)
        for stored in sorted(consumer.unsettled.values(), key=lambda stored: -stored.serial):
            self._return(consumer, stored)
        self.deliver(consumer.queue)

    def settle(self, consumer: Consumer, serial: int) -> None:
        """Forgets an acknowledged message."""
        consumer.unsettled.pop(serial, None)
        self.deliver(consumer.queue)

    def hand_back(self, consumer: Consumer, serial: int) -> None:
        """Puts an unsettled message back."""
        if (stored := consumer.unsettled.get(serial)) is not None:
            self._return(consumer, stored)
            self.deliver(consumer.queue)

    def deliver(self, queue: str) -> None:
        """Gives what waits to those who take; each consumer in its turn."""
        while not self.away and self._ready[queue]:
            free = [taker for taker in self._consumers[queue] if len(taker.unsettled) < taker.prefetch]
            if not free:
                return
            consumer = free[0]
            self._consumers[queue].remove(consumer)
            self._consumers[queue].append(consumer)
            stored = self._ready[queue].popleft()
            consumer.unsettled[stored.serial] = stored
            consumer.line.bring(consumer, stored)

    def come_back(self) -> None:
        """Delivers again."""
        self.away = False
        for queue in self._ready:
            self.deliver(queue)

    def waiting(self, queue: str) -> list[Message]:
        """What lies ready in a queue."""
        return [stored.message for stored in self._ready[queue]]

    def left(self) -> dict[str, int]:
        """How many messages lie anywhere, by queue: ready, delayed or unsettled."""
        unsettled = [
            name for name, takers in self._consumers.items() for taker in takers for _ in taker.unsettled
        ]
        delayed = [*self._delayed.values()]
        return {
            name: lie
            for name, ready in self._ready.items()
            if (lie := len(ready) + unsettled.count(name) + delayed.count(name))
        }

    @property
    def most_returned(self) -> int:
        """How often the message that came back most has come back."""
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
        queue = self._delayed.pop(stored.serial)
        self._ready[queue].append(stored)
        self.deliver(queue)


class Line:
    """One connection of a process's; when it is cut, all that came over it is void."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self.broker = broker
        self.process = process
        self.consumers: list[Consumer] = []
        #: What the broker thinks, and what the process has heard.
        self.open_there = True
        self.open_here = True

    def bring(self, consumer: Consumer, stored: Stored) -> None:
        delivery = SimulatedDelivery(self, consumer, stored, stored.returned > 0)

        def arrive() -> None:
            if self.open_here:
                self.process.note(f"is given {delivery.described}")
                consumer.receive(delivery)

        self.process.on_arrival(arrive)

    def say(self, what: str, act: Callable[[], None]) -> bool:
        """Sends something that is not answered; it does nothing when the connection is gone by then."""
        if not self.open_here:
            return False

        def arrive() -> None:
            if self.open_there:
                act()

        self.process.send(what, arrive)
        return True

    def close_there(self) -> None:
        """The broker gives the connection up."""
        if self.open_there:
            self.open_there = False
            for consumer in self.consumers:
                self.broker.drop(consumer)


class SimulatedDelivery:
    """As in the protocol Delivery."""

    def __init__(self, line: Line, consumer: Consumer, stored: Stored, redelivered: bool) -> None:
        self.queue = consumer.queue
        self.message = stored.message
        self.redelivered = redelivered
        self._line = line
        self._consumer = consumer
        self._serial = stored.serial

    @property
    def described(self) -> str:
        again = ", not for the first time" if self.redelivered else ""
        return f"{self._line.process.name_of(self.message)} of {self.queue}{again}"

    def acknowledge(self) -> bool:
        """As in the protocol Delivery."""
        broker = self._line.broker
        what = f"acknowledges {self.described}"
        return self._line.say(what, lambda: broker.settle(self._consumer, self._serial))

    def hand_back(self) -> bool:
        """As in the protocol Delivery."""
        broker = self._line.broker
        what = f"hands back {self.described}"
        return self._line.say(what, lambda: broker.hand_back(self._consumer, self._serial))


class SimulatedSubscription:
    """As in the protocol Subscription: subscribes anew whenever its connection is gone."""

    def __init__(
        self, queue: "SimulatedQueue", name: str, prefetch: int, receive: Callable[[SimulatedDelivery], None]
    ) -> None:
        self._queue = queue
        self._name = name
        self._prefetch = prefetch
        self._receive = receive
        self._consumer: Consumer | None = None
        self._stopped = False
        self.begin()

    def begin(self) -> None:
        line = self._queue.line
        if not self._stopped and line is not None:
            self._consumer = Consumer(line, self._name, self._prefetch, self._receive)
            line.consumers.append(self._consumer)
            consumer = self._consumer
            line.say(f"subscribes to {self._name}", lambda: line.broker.subscribe(consumer))

    async def stop(self) -> None:
        """As in the protocol Subscription."""
        self._stopped = True
        if (consumer := self._consumer) is not None and consumer.line.open_here:
            what = f"stops taking {self._name}"
            broker = consumer.line.broker
            try:
                await self._queue.process.ask("queue", what, lambda: broker.unsubscribe(consumer), _no_answer)
            except QueueUnreachable:
                return


class SimulatedQueue:
    """As in the protocol Queue, over one connection that comes back by itself."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self.process = process
        self.line: Line | None = Line(broker, process)
        self._broker = broker
        self._subscriptions: list[SimulatedSubscription] = []

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        """As in the protocol Queue."""
        later = f", to be delivered {after:.3f} s later" if after else ""
        what = f"publishes {self.process.name_of(message)} to {queue}{later}"
        await self.process.ask("publish", what, lambda: self._take(queue, message, after), _unconfirmed)

    async def consume(
        self, queue: str, prefetch: int, receive: Callable[[SimulatedDelivery], None]
    ) -> SimulatedSubscription:
        """As in the protocol Queue."""
        subscription = SimulatedSubscription(self, queue, prefetch, receive)
        self._subscriptions.append(subscription)
        return subscription

    async def ready(self, queue: str) -> int:
        """As in the protocol Queue."""
        return await self.process.ask("queue", f"-counts {queue}", lambda: self._count(queue), _no_answer)

    async def check(self) -> None:
        """As in the protocol Queue."""
        await self.process.ask("queue", "asks the broker whether it serves", self._reach, _no_answer)

    async def close(self) -> None:
        """As in the protocol Queue."""
        if (line := self.line) is not None:
            line.say("leaves the broker", line.close_there)
            self.line, line.open_here = None, False

    def cut(self, *, heard: bool) -> None:
        """Ends the connection; a process that has not heard of it goes on as if nothing were."""
        if (line := self.line) is not None:
            line.close_there()
            if heard:
                self.process.on_arrival(lambda: self._lost(line))

    def _lost(self, line: Line) -> None:
        if self.line is line:
            self.process.note("hears that its connection is gone")
            line.open_here, self.line = False, None
            self.process.later(RECONNECT, self._connect)

    def _connect(self) -> None:
        if self._broker.away:
            self.process.later(RECONNECT, self._connect)
        elif self.line is None and self.process.alive:
            self.line = Line(self._broker, self.process)
            for subscription in self._subscriptions:
                subscription.begin()

    def _take(self, queue: str, message: Message, after: float) -> None:
        self._reach()
        if queue not in self._broker:
            raise Unroutable(f"there is no queue {queue!r}")
        self._broker.take(queue, message, after)

    def _count(self, queue: str) -> int:
        self._reach()
        return len(self._broker.waiting(queue))

    def _reach(self) -> None:
        if self._broker.away:
            raise QueueUnreachable("the broker is away")


def _unconfirmed(lost: Lost) -> tuple[float, Exception]:
    if lost is Lost.REFUSED:
        return 0.0, QueueFull("the broker takes no more")
    return CONFIRM_DEADLINE, PublishUnconfirmed("the broker did not confirm in time")


def _no_answer(_: Lost) -> tuple[float, Exception]:
    return 1.5, QueueUnreachable("the broker does not answer")
