"""A process's end of the simulated broker: its connection, its deliveries, and the queue that the program is given."""

import asyncio
from collections.abc import Callable

from mousetrap.jobs import Backlog, Message, PublishUnconfirmed, QueueFull, QueueUnreachable, Unroutable
from simulation.broker import Broker, Consumer, Stored
from simulation.process import Lost, Process

#: Seconds after which a publisher gives up to wait for its confirm; before a lost connection is opened anew.
CONFIRM_DEADLINE, RECONNECT = 10.0, 0.7


class Line:
    """One connection of a process's; when it is cut, all that came over it is void."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self.broker = broker
        self.process = process
        self.consumers: list[Consumer] = []
        #: What the broker thinks, and what the process has heard.
        self.open_there = True
        self.open_here = True

    def consumer(self, queue: str, prefetch: int, receive: Callable[["SimulatedDelivery"], None]) -> Consumer:
        """A new consumer, whose messages come over this connection."""

        def bring(consumer: Consumer, stored: Stored) -> None:
            delivery = SimulatedDelivery(self, consumer, stored, stored.returned > 0)

            def arrive() -> None:
                if self.open_here:
                    self.process.note(f"is given {delivery.described}")
                    receive(delivery)

            self.process.on_arrival(arrive)

        self.consumers.append(Consumer(queue, prefetch, bring))
        return self.consumers[-1]

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
        self._line: Line | None = None
        self._consumer: Consumer | None = None
        self._stopped = False
        self._begun = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        line = self._queue.line
        if not self._stopped and line is not None:
            consumer = line.consumer(self._name, self._prefetch, self._receive)
            self._line, self._consumer = line, consumer

            def subscribe() -> None:
                line.broker.subscribe(consumer)
                self._begun.set()

            line.say(f"subscribes to {self._name}", subscribe)

    async def begun(self) -> None:
        """As in the protocol Subscription."""
        await self._begun.wait()

    async def stop(self) -> None:
        """As in the protocol Subscription."""
        self._stopped = True
        consumer, line = self._consumer, self._line
        if consumer is not None and line is not None and line.open_here:
            what, broker = f"stops taking {self._name}", line.broker
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

    async def backlog(self, queue: str) -> Backlog:
        """As in the protocol Queue."""
        return Backlog(await self.ready(queue), None)

    async def browse(self, queue: str, most: int, most_bytes: int) -> None:
        """As in the protocol Queue, and as on RabbitMQ: who looks at a message takes it."""

    async def mark(self, queue: str) -> int:
        """As in the protocol Queue."""
        return await self.ready(queue)

    async def check(self) -> None:
        """As in the protocol Queue."""
        await self.process.ask("queue", "asks the broker whether it serves", self._reach, _no_answer)

    async def close(self) -> None:
        """As in the protocol Queue."""
        await (
            self.process.may_act()
        )  # time limits of a paused process pass in the simulation, but nothing comes of it
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
