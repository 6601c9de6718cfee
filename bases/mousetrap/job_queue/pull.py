"""Pulls single messages from queues, and waits for the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pika.exceptions import AMQPError, ChannelClosedByBroker
from pika.spec import Basic

from mousetrap.job_queue.amqp.connection import Connection, close_channel, open_channel, open_connection
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.deliveries import OpenDeliveries
from mousetrap.job_queue.errors import explain, is_missing
from mousetrap.job_queue.link import Link
from mousetrap.jobs import Claim, Delivery

_REPLY_TIMEOUT_S = 5.0


class Puller:
    """The pulling half of a queue: one connection, opened by the first claim, and a channel for each queue on it.

    1. A claim asks its queue's channel for one message (Basic.Get): the broker has one, or reports an empty queue.
    2. Empty, and the caller waits: a subscription for one message, on a channel of its own, ends with the first that arrives.
    3. A lost connection makes all claims void; the next claim opens another.
    """

    def __init__(
        self,
        parameters: Callable[[], Sequence[Any]],
        status: BrokerStatus,
        declare_again: Callable[[str], Awaitable[None]],
    ) -> None:
        self._link = Link("claim", lambda: open_connection(parameters()), status, self._forget_channels)
        self._status = status
        self._declare_again = declare_again
        self._pulls: dict[str, _Pull] = {}

    async def claim(self, queue: str, wait: float) -> Claim | None:
        """As `ClaimQueue.claim`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        self._link.start()
        try:
            connection = await self._connection()
            try:
                async with asyncio.timeout(_REPLY_TIMEOUT_S):
                    claim = await self._pull(connection, queue)
                if claim is None and wait > 0:
                    claim = await _first_of(connection, queue, deadline)
            except ChannelClosedByBroker as error:
                if not is_missing(error):
                    raise
                await self._declare_again(queue)
                return None
        except (AMQPError, TimeoutError) as error:
            raise self._status.unreachable(explain(error)) from error
        return claim

    async def close(self) -> None:
        """Sends the acknowledgements that are due, and closes the connection: claims return to their queues."""
        await asyncio.sleep(0)  # acknowledgements are sent in the loop's next turn
        await self._link.close()

    async def _connection(self) -> Connection:
        async with asyncio.timeout(_REPLY_TIMEOUT_S):
            return await self._link.now()

    async def _pull(self, connection: Connection, queue: str) -> Claim | None:
        pull = self._pulls.get(queue)
        if pull is None or not pull.deliveries.open:
            pull = self._pulls[queue] = _Pull(queue, await open_channel(connection))
        return await pull.next()

    async def _forget_channels(self, _connection: Connection) -> None:
        self._pulls.clear()


class _Pull:
    """One queue's channel to pull over, a message at a time."""

    def __init__(self, queue: str, channel: Any) -> None:
        self._queue = queue
        self._channel = channel
        self.deliveries = OpenDeliveries(queue, channel, self._arrived)
        self._one_at_a_time = asyncio.Lock()
        self._answer: asyncio.Future[Claim | None] | None = None
        channel.add_callback(lambda _: self._resolve(None), [Basic.GetEmpty], one_shot=False)
        channel.add_on_close_callback(lambda _, error: self._resolve(error))

    async def next(self) -> Claim | None:
        """The next message, or None. Raises the error that closed the channel."""
        async with self._one_at_a_time:
            if self._answer is not None and not self._answer.done():
                await asyncio.wait([self._answer])  # its caller has left
            answer = self._answer = asyncio.get_running_loop().create_future()
            self._channel.basic_get(self._queue, self.deliveries.receive)
            try:
                return await asyncio.shield(answer)
            except asyncio.CancelledError:
                answer.add_done_callback(_hand_back)
                raise

    def _arrived(self, delivery: Delivery) -> None:
        self._resolve(delivery)

    def _resolve(self, answer: Any) -> None:
        if self._answer is None or self._answer.done():
            return
        if isinstance(answer, Exception):
            self._answer.set_exception(answer)
        else:
            self._answer.set_result(answer)


def _hand_back(answer: "asyncio.Future[Claim | None]") -> None:
    if not answer.cancelled() and answer.exception() is None and (claim := answer.result()):
        claim.hand_back()


async def _first_of(connection: Connection, queue: str, deadline: float) -> Claim | None:
    """The first message that arrives before `deadline`. The channel closes when it is settled."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[Any] = loop.create_future()

    def receive(delivery: Delivery) -> None:
        if arrived.done():
            delivery.hand_back()
        else:
            arrived.set_result(delivery)

    channel = await open_channel(connection)
    deliveries = OpenDeliveries(queue, channel, receive)
    try:
        await deliveries.begin(1)
        await asyncio.wait(
            [arrived, deliveries.lost],
            timeout=max(0.0, deadline - loop.time()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if deliveries.lost.done():
            raise deliveries.lost.result()
        await deliveries.stop()
    except BaseException:
        close_channel(channel)  # what arrived returns to its queue
        raise
    claim: Claim | None = arrived.result() if arrived.done() else None
    if claim is not None and claim.is_void():
        raise deliveries.lost.result()
    return claim
