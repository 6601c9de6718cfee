"""Subscribes to queues, and subscribes again after a loss."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from mousetrap.job_queue.amqp.connection import Connection, open_channel, open_connection
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.deliveries import OpenDeliveries
from mousetrap.job_queue.link import Link
from mousetrap.job_queue.resubscriber import Resubscriber
from mousetrap.job_queue.topology.declare import REDECLARE_DELAY_S, declare
from mousetrap.job_queue.topology.topology import Topology
from mousetrap.jobs import Delivery, Subscription, queues_of

#: After so long without a delivery the channel is replaced. A quorum queue that is deleted and declared again within
#: milliseconds leaves a consumer that RabbitMQ 3.10 neither cancels nor serves: what it should get counts as delivered, and
#: nothing in AMQP shows it. Closing the channel gives that back. It costs five small requests each half minute, and none
#: while there is work.
_QUIET_S = 30.0


class Consumer:
    """The receiving half of a queue: one connection for all subscriptions, opened by the first."""

    def __init__(
        self, topology: Topology, parameters: Callable[[], Sequence[Any]], status: BrokerStatus
    ) -> None:
        self._topology = topology
        self._subscriptions: list[RabbitSubscription] = []
        self._link = Link("consume", lambda: open_connection(parameters()), status, _no_set_up)

    def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        """Begins to receive from `queue`, and from its high queue."""
        self._link.start()
        of_each = [
            RabbitSubscription(self._link, self._topology, name, prefetch, receive)
            for name in queues_of(queue)
        ]
        self._subscriptions = [*(each for each in self._subscriptions if not each.ended), *of_each]
        return Subscriptions(*of_each)

    def waiting_since(self, queue: str) -> int | None:
        """Milliseconds since 1970: no message in this one queue began to wait earlier. None where that is unknown."""
        since = max((each.waiting_since for each in self._subscriptions if each.queue == queue), default=0)
        return 1000 * since or None

    async def close(self) -> None:
        """Sends the acknowledgements that are due, and closes the connection."""
        for subscription in self._subscriptions:
            await subscription.abandon()
        await self._link.close()


class RabbitSubscription:
    """Deliveries from one queue.

    1. A task waits for the connection, opens a channel, declares the queue and subscribes.
    2. Subscribed: `receive` gets each delivery. After `_QUIET_S` without one, a new channel takes over.
    3. The channel is lost, as when its queue is deleted: the task subscribes again after a pause.
    4. `stop` cancels the subscription at the broker; open deliveries can still be settled.
    """

    def __init__(
        self,
        link: Link[Connection],
        topology: Topology,
        queue: str,
        prefetch: int,
        receive: Callable[[Delivery], None],
    ) -> None:
        self.queue = queue
        self._needed = topology.part(queue)
        self._prefetch = prefetch
        self._receive = receive
        self._deliveries: OpenDeliveries | None = None
        self._begun = asyncio.Event()
        self._subscribing = Resubscriber(
            link, queue, self._receive_until_lost, least_pause_s=REDECLARE_DELAY_S
        )

    @property
    def ended(self) -> bool:
        """Whether it was stopped and all its deliveries are settled."""
        return self._subscribing.ended and (self._deliveries is None or not self._deliveries.open)

    @property
    def waiting_since(self) -> int:
        """When the latest delivery began to wait, in seconds since 1970; 0 before the first."""
        return self._deliveries.waiting_since if self._deliveries else 0

    async def begun(self) -> None:
        await self._begun.wait()

    async def stop(self) -> None:
        await self.abandon()
        if self._deliveries is not None:
            await self._deliveries.stop()

    async def abandon(self) -> None:
        """Stops subscribing, and sends the acknowledgements that are due."""
        await self._subscribing.end()
        if self._deliveries is not None:
            self._deliveries.flush()

    async def _receive_until_lost(self, connection: Connection) -> Exception:
        channel = await open_channel(connection)
        # The channel declares first: this restores a queue that was deleted.
        declare(channel, self._needed)
        deliveries = await self._subscribe(channel)
        while await deliveries.until_quiet(_QUIET_S):
            await deliveries.stop()
            deliveries = await self._subscribe(await open_channel(connection))
        return deliveries.lost.result()

    async def _subscribe(self, channel: Any) -> OpenDeliveries:
        self._deliveries = OpenDeliveries(self.queue, channel, self._receive)
        await self._deliveries.begin(self._prefetch)
        self._begun.set()
        self._subscribing.subscribed()
        return self._deliveries


class Subscriptions:
    """A stage's subscriptions as one: that of its queue, and that of its high queue."""

    def __init__(self, usual: RabbitSubscription, *others: RabbitSubscription) -> None:
        self._usual = usual
        self._all = (usual, *others)

    async def begun(self) -> None:
        """Of the stage's queue alone: where the other is not made yet, usual jobs are done all the same."""
        await self._usual.begun()

    async def stop(self) -> None:
        await asyncio.gather(*(each.stop() for each in self._all))


async def _no_set_up(_connection: Connection) -> None:
    """Subscriptions open their own channels."""
