"""Receives messages: each subscription has its own channel, and subscribes anew whenever that is gone."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from mousetrap.job_queue.amqp.connection import Connection, open_channel
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.deliveries import OpenDeliveries
from mousetrap.job_queue.errors import explain
from mousetrap.job_queue.link import BACKOFF, Link
from mousetrap.job_queue.topology.declare import REDECLARE_DELAY_S, declare
from mousetrap.job_queue.topology.topology import Topology
from mousetrap.jobs import Delivery
from mousetrap.shutdown import end_tasks

#: Seconds without a delivery. A quorum queue that is deleted and declared again within milliseconds leaves a consumer that
#: RabbitMQ 3.10 neither cancels nor serves: what it should get counts as delivered, and nothing in AMQP shows it. Closing
#: the channel gives that back. Five small requests each half minute, and none while there is work.
_QUIET_S = 30.0

_log = logging.getLogger("mousetrap.job_queue")


class Consumer:
    """The receiving half of a queue: one connection for all subscriptions, made for the first."""

    def __init__(
        self, topology: Topology, parameters: Callable[[], Sequence[Any]], status: BrokerStatus
    ) -> None:
        self._topology = topology
        self._subscriptions: list[RabbitSubscription] = []
        self._link = Link("consume", parameters, status, _no_set_up)

    def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> "RabbitSubscription":
        """As in the protocol Queue."""
        self._link.start()
        subscription = RabbitSubscription(self._link, self._topology, queue, prefetch, receive)
        self._subscriptions = [*(each for each in self._subscriptions if not each.over), subscription]
        return subscription

    def reached(self, queue: str) -> int | None:
        """Milliseconds since 1970 before which nothing came that waits in `queue` now; None where that cannot be told."""
        return (
            1000 * max((each.reached for each in self._subscriptions if each.queue == queue), default=0)
            or None
        )

    async def close(self) -> None:
        """Says the acknowledgements that are due and leaves."""
        for subscription in self._subscriptions:
            await subscription.abandon()
        await self._link.close()


class RabbitSubscription:
    """As in the protocol Subscription."""

    def __init__(
        self, link: Link, topology: Topology, queue: str, prefetch: int, receive: Callable[[Delivery], None]
    ) -> None:
        self._link = link
        self._topology = topology
        self.queue = queue
        self._prefetch = prefetch
        self._receive = receive
        self._deliveries: OpenDeliveries | None = None
        self._failures = 0
        self._begun = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep(), name=f"mousetrap consume {queue}")

    @property
    def over(self) -> bool:
        """Whether it was stopped, and all that it delivered is settled."""
        return self._keeper.done() and (self._deliveries is None or not self._deliveries.open)

    @property
    def reached(self) -> int:
        """When the latest delivery began to wait, in seconds since 1970; 0 before the first."""
        return self._deliveries.reached if self._deliveries else 0

    async def begun(self) -> None:
        """As in the protocol Subscription."""
        await self._begun.wait()

    async def stop(self) -> None:
        """As in the protocol Subscription."""
        await self.abandon()
        if self._deliveries is not None:
            await self._deliveries.stop()

    async def abandon(self) -> None:
        """Subscribes no more, and says the acknowledgements that are due."""
        await end_tasks(self._keeper)
        if self._deliveries is not None:
            self._deliveries.flush()

    async def _keep(self) -> None:
        lost = None
        while True:
            connection = await self._link.wait(other_than=lost)
            try:
                why = await self._receive_until_gone(connection)
            except Exception as error:  # noqa: BLE001  whatever closed the channel, this goes on
                why = error
            if not connection.is_open:
                lost = connection  # the link tells of it, and brings the next one
                continue
            self._failures += 1
            if self._failures == 1:
                _log.warning("queue %s: %s; subscribing until it works", self.queue, explain(why))
            await asyncio.sleep(REDECLARE_DELAY_S + BACKOFF.pause(self._failures, random.random()))

    async def _receive_until_gone(self, connection: Connection) -> Exception:
        channel = await open_channel(connection)
        # A channel of its own declares first: after the queue was deleted, this is what brings it back.
        declare(channel, self._topology)
        deliveries = await self._subscribe(channel)
        while await deliveries.until_quiet(_QUIET_S):
            await deliveries.stop()
            deliveries = await self._subscribe(await open_channel(connection))
        return deliveries.gone.result()

    async def _subscribe(self, channel: Any) -> OpenDeliveries:
        self._deliveries = OpenDeliveries(self.queue, channel, self._receive)
        await self._deliveries.begin(self._prefetch)
        self._begun.set()
        if self._failures:
            _log.info("queue %s: subscribed again", self.queue)
            self._failures = 0
        return self._deliveries


async def _no_set_up(_connection: Connection) -> None:
    """Subscriptions bring their own channels."""
