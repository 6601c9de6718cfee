"""Simulates the client of a broker: connection, deliveries and queue."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial

from mousetrap.jobs import (
    Backlog,
    Message,
    MousetrapError,
    PublishUnconfirmed,
    QueueFull,
    QueueUnreachable,
    Settled,
    Unroutable,
    check_delay,
    check_message,
    queues_of,
    stage_queue,
)
from mousetrap.testing.simulation.broker import Broker, Consumer, Stored
from mousetrap.testing.simulation.process import Fault, Process

#: How long a publisher waits for its confirm.
CONFIRM_TIMEOUT_S = 10.0
RECONNECT_DELAY_S = 0.7


class Connection:
    """A connection of a process; when it is lost, its deliveries can no longer be settled."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self.broker = broker
        self.process = process
        self.consumers: list[Consumer] = []
        #: Its state at the broker, and at the process, which may not have noticed its end yet.
        self.open_at_broker = True
        self.open_at_client = True

    def consumer(self, queue: str, prefetch: int, receive: Callable[["SimulatedDelivery"], None]) -> Consumer:
        """A new consumer on this connection."""

        def send(consumer: Consumer, stored: Stored) -> None:
            delivery = SimulatedDelivery(self, consumer, stored, stored.returned > 0)

            def arrive() -> None:
                if self.open_at_client:
                    self.process.note(f"receives {delivery.described}")
                    receive(delivery)

            self.process.receive(arrive)

        self.consumers.append(Consumer(queue, prefetch, send))
        return self.consumers[-1]

    def send(self, what: str, act: Callable[[], None]) -> bool:
        """Sends a frame that has no reply; it has no effect if the connection is closed on arrival."""
        if not self.open_at_client:
            return False

        def arrive() -> None:
            if self.open_at_broker:
                act()

        self.process.send(what, arrive)
        return True

    def close_at_broker(self) -> None:
        """Closes the connection at the broker."""
        if self.open_at_broker:
            self.open_at_broker = False
            for consumer in self.consumers:
                self.broker.drop(consumer)


class SimulatedDelivery:
    """A Delivery over a simulated connection."""

    def __init__(self, connection: Connection, consumer: Consumer, stored: Stored, redelivered: bool) -> None:
        self.queue = stage_queue(consumer.queue)
        self.message = stored.message
        self.redelivered = redelivered
        self.since_ms = 0
        self._connection = connection
        self._consumer = consumer
        self._serial = stored.serial
        self._settled = False

    @property
    def described(self) -> str:
        again = ", redelivered" if self.redelivered else ""
        return f"{self._connection.process.name_of(self.message)} of {self.queue}{again}"

    def acknowledge(self) -> bool:
        broker = self._connection.broker
        return self._settle("acknowledges", lambda: broker.settle(self._consumer, self._serial))

    def hand_back(self) -> bool:
        broker = self._connection.broker
        return self._settle("hands back", lambda: broker.hand_back(self._consumer, self._serial))

    def _settle(self, what: str, act: Callable[[], None]) -> bool:
        if self._settled:
            return False
        self._settled = self._connection.send(f"{what} {self.described}", act)
        return self._settled


class SimulatedSubscription:
    """A Subscription that subscribes again after each reconnect, to the queue and to its high queue."""

    def __init__(
        self, queue: "SimulatedQueue", name: str, prefetch: int, receive: Callable[[SimulatedDelivery], None]
    ) -> None:
        self._queue = queue
        self._name = name
        self._prefetch = prefetch
        self._receive = receive
        self._connection: Connection | None = None
        self._consumers: list[Consumer] = []
        self._stopped = False
        self._begun = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        connection = self._queue.connection
        if not self._stopped and connection is not None:
            consumers = [
                connection.consumer(name, self._prefetch, self._receive)
                for name in queues_of(self._name)[::-1]
            ]
            self._connection, self._consumers = connection, consumers

            def subscribe() -> None:
                # Stopped in the same instant, it comes to the broker before its end, or would stay for good.
                if not self._stopped:
                    for consumer in consumers:
                        connection.broker.subscribe(consumer)
                self._begun.set()

            connection.send(f"subscribes to {self._name}", subscribe)

    async def begun(self) -> None:
        await self._begun.wait()

    async def stop(self) -> None:
        self._stopped = True
        connection = self._connection
        if connection is None or not connection.open_at_client:
            return

        def unsubscribe() -> None:
            for consumer in self._consumers:
                connection.broker.unsubscribe(consumer)

        with suppress(QueueUnreachable):
            await self._queue.process.ask("queue", f"stops taking {self._name}", unsubscribe, _no_reply)


class SimulatedQueue:
    """A Queue over one connection that reconnects by itself. `deadline` (seconds) is that of a publish."""

    def __init__(
        self,
        broker: Broker,
        process: Process,
        *,
        where: str = "the simulated broker",
        deadline: float = CONFIRM_TIMEOUT_S,
    ) -> None:
        self.process = process
        self.connection: Connection | None = Connection(broker, process)
        #: Whether this client alone cannot reach the broker.
        self.cut_off = False
        self._broker = broker
        self._where = where
        self._deadline = deadline
        self._subscriptions: list[SimulatedSubscription] = []
        self._connected = asyncio.Event()
        self._connected.set()
        self._publishing: set[asyncio.Future[None]] = set()

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        check_delay(after)
        check_message(message)
        await self._reconnected()
        later = f", to be delivered {after:.3f} s later" if after else ""
        what = f"publishes {self.process.name_of(message)} to {queue}{later}"
        await self.process.ask("publish", what, lambda: self._take(queue, message, after), _unconfirmed)

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        check_message(message)
        publishing = asyncio.ensure_future(self.publish(queue, message))
        self._publishing.add(publishing)
        publishing.add_done_callback(self._publishing.discard)
        publishing.add_done_callback(partial(_pass_on, settled))

    async def _reconnected(self) -> None:
        """Returns once there is a connection. Raises QueueUnreachable at the deadline."""
        if self._connected.is_set():
            return
        try:
            await asyncio.wait_for(self._connected.wait(), self._deadline)
        except TimeoutError:
            raise self._unreachable() from None

    async def consume(
        self, queue: str, prefetch: int, receive: Callable[[SimulatedDelivery], None]
    ) -> SimulatedSubscription:
        subscription = SimulatedSubscription(self, queue, prefetch, receive)
        self._subscriptions.append(subscription)
        return subscription

    async def count_ready(self, queue: str) -> int:
        return await self.process.ask("queue", f"-counts {queue}", lambda: self._count(queue), _no_reply)

    async def backlog(self, queue: str) -> Backlog:
        return Backlog(await self.count_ready(queue), None, len(self._subscriptions))

    async def backlogs(self, queues: Iterable[str]) -> Mapping[str, Backlog]:
        found: dict[str, Backlog] = {}
        for queue in queues:
            with suppress(Unroutable):
                found[queue] = await self.backlog(queue)
        return found

    async def browse(self, queue: str, most: int, most_bytes: int) -> None:
        """Returns None, as on RabbitMQ, where a message cannot be read without taking it."""

    async def mark(self, queue: str) -> tuple[int, int]:
        ready = await self.count_ready(queue)
        return ready, self._broker.arrived[queue]

    async def check(self) -> None:
        await self.process.ask("queue", "checks the broker", self._reach, _no_reply)

    async def close(self) -> None:
        await (
            self.process.may_act()
        )  # timeouts of a paused process expire in the simulation, but must have no effect
        if (connection := self.connection) is not None:
            connection.send("leaves the broker", connection.close_at_broker)
            await (
                self.process.may_act()
            )  # of one that dies here the broker finds out later, by the connection
            self.connection, connection.open_at_client = None, False

    def takes_from(self, queue: str) -> bool:
        """Whether the broker delivers this queue's messages to it."""
        consumers = self.connection.consumers if self.connection is not None else []
        return any(each.queue == queue and self._broker.serves(each) for each in consumers)

    def disconnect(self, *, noticed: bool) -> None:
        """Ends the connection; a process that has not noticed continues to use it."""
        if (connection := self.connection) is not None:
            connection.close_at_broker()
            if noticed:
                self.process.receive(lambda: self._lost(connection))

    def _lost(self, connection: Connection) -> None:
        if self.connection is connection:
            self.process.note("notices that its connection is lost")
            connection.open_at_client, self.connection = False, None
            self._connected.clear()
            self.process.later(RECONNECT_DELAY_S, self._connect)

    def _connect(self) -> None:
        if self._broker.away or self.cut_off:
            self.process.later(RECONNECT_DELAY_S, self._connect)
        elif self.connection is None and self.process.alive:
            self.connection = Connection(self._broker, self.process)
            self._connected.set()
            for subscription in self._subscriptions:
                subscription.begin()

    def _take(self, queue: str, message: Message, after: float) -> None:
        self._reach(queue)
        self._broker.take(queue, message, after)

    def _count(self, queue: str) -> int:
        self._reach(queue)
        return len(self._broker.waiting(queue))

    def _reach(self, queue: str | None = None) -> None:
        if self._broker.away or self.cut_off:
            raise self._unreachable()
        if queue is not None and queue not in self._broker:
            raise Unroutable(f"there is no queue {queue!r}")

    def _unreachable(self) -> QueueUnreachable:
        return QueueUnreachable(f"cannot reach the broker at {self._where}: it is away")


def _pass_on(settled: Settled, publishing: "asyncio.Future[None]") -> None:
    if publishing.cancelled():
        return  # the simulation has ended
    error = publishing.exception()
    if error is not None and not isinstance(error, MousetrapError):
        raise error
    settled(error)


def _unconfirmed(lost: Fault) -> tuple[float, Exception]:
    if lost is Fault.REFUSED:
        return 0.0, QueueFull("the broker takes no more")
    return CONFIRM_TIMEOUT_S, PublishUnconfirmed("the broker did not confirm in time")


def _no_reply(_: Fault) -> tuple[float, Exception]:
    return 1.5, QueueUnreachable("the broker does not answer")
