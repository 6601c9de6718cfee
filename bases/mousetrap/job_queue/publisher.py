"""Publishes messages and waits for the broker to have them: confirmed, returned, refused, or past their deadline."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from mousetrap.job_queue.amqp import frames
from mousetrap.job_queue.amqp.connection import Connection, ask, close_channel, open_channel
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.errors import BLOCKED, explain, unroutable
from mousetrap.job_queue.in_flight import InFlight, Pending
from mousetrap.job_queue.link import Link
from mousetrap.job_queue.topology import delay_ladder
from mousetrap.job_queue.topology.declare import REDECLARE_DELAY_S, declare
from mousetrap.job_queue.topology.topology import JOBS, Topology
from mousetrap.jobs import Message, PublishUnconfirmed, QueueFull, check_message
from mousetrap.shutdown import end_tasks

#: One timer looks at all deadlines, so many times in the course of one.
_LOOKS = 20


class Publisher:
    """The publishing half of a queue: one connection, one channel in confirm mode, and all that is on its way."""

    def __init__(
        self,
        topology: Topology,
        deadline: float,
        parameters: Callable[[], Sequence[Any]],
        status: BrokerStatus,
    ) -> None:
        self._topology = topology
        self._deadline = deadline
        self._status = status
        self.link = Link("publish", parameters, status, self._set_up)
        self._loop = asyncio.get_running_loop()
        self._channel: Any = None
        self._in_flight = InFlight()
        #: Not sent on this channel yet, oldest first.
        self._waiting: deque[Pending] = deque()
        self._unroutable: list[Pending] = []
        self._redeclaring: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def publish(self, queue: str, message: Message, after: float) -> None:
        """As in the protocol Queue."""
        pending = self._pend(queue, message, after)
        if self._waiting or not self._can_send():
            self._waiting.append(pending)
        else:
            self._send(pending)
        if self._timer is None:
            self._watch()
        await pending.done

    async def close(self) -> None:
        """Leaves; whoever still waits is told that no confirm will come."""
        await end_tasks(self._redeclaring)
        await self.link.close()
        for pending in (*self._unroutable, *self._waiting):
            self._give_up(pending, "before the queue was closed")
        if self._timer is not None:
            self._timer.cancel()

    def _pend(self, queue: str, message: Message, after: float) -> Pending:
        check_message(message)
        if after <= 0:
            exchange, key = JOBS, queue
        elif queue in self._topology.names:
            exchange, key = delay_ladder.way_down(queue, after)
        else:
            # The ladder takes any message; that its queue is missing would show only at the end of the delay.
            raise unroutable(queue)
        deadline = self._loop.time() + self._deadline
        properties = frames.properties(message.id, message.headers, int(time.time() + after))
        done = self._loop.create_future()
        return Pending(queue, exchange, key, message.id, properties, message.body, deadline, done)

    def _can_send(self) -> bool:
        return self._channel is not None and not self._channel.connection.blocked and self._in_flight.has_room

    def _send(self, pending: Pending) -> None:
        self._in_flight.add(pending)
        self._channel.connection.publish(
            self._channel, pending.exchange, pending.key, pending.properties, pending.body
        )

    def _send_waiting(self) -> None:
        while self._waiting and self._can_send():
            pending = self._waiting.popleft()
            if not pending.done.done():
                self._send(pending)

    async def _set_up(self, connection: Connection) -> None:
        channel = await open_channel(connection)
        declare(channel, self._topology)
        await ask(channel, channel.confirm_delivery, self._on_confirm)
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_close)
        connection.add_on_connection_unblocked_callback(lambda *_: self._send_waiting())
        self._channel = channel
        self._send_waiting()

    def _on_close(self, channel: Any, why: Exception) -> None:
        """What the channel had not confirmed goes to the front of the line: the broker may have it or not."""
        self._channel = None
        self._waiting.extendleft(reversed(self._in_flight.lost()))
        if channel.connection.is_open:
            # The publishing channel and its connection are one: what closes the first is mended by starting over.
            channel.connection.abort(why)

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        refused = method.NAME == "Basic.Nack"
        for pending in self._in_flight.confirmed(method.delivery_tag, method.multiple):
            if refused:
                pending.fail(
                    QueueFull(f"queue {pending.queue!r} refused a message, most often because it is full")
                )
            elif pending.returned:
                self._try_again(pending)
            elif not pending.done.done():
                pending.done.set_result(None)
        if self._waiting:
            self._send_waiting()

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        self._in_flight.returned(properties.message_id, method.routing_key)

    def _try_again(self, pending: Pending) -> None:
        """Where someone deleted a queue of ours, declares it again and publishes once more."""
        if pending.retried or pending.queue not in self._topology.names:
            pending.fail(unroutable(pending.queue))
            return
        pending.retried, pending.returned = True, False
        self._unroutable.append(pending)
        if self._redeclaring is None:
            self._redeclaring = asyncio.create_task(self._redeclare(self._channel.connection))

    async def _redeclare(self, connection: Connection) -> None:
        await asyncio.sleep(REDECLARE_DELAY_S)
        try:
            channel = await open_channel(connection)
            declare(channel, self._topology)
            await ask(channel, channel.basic_qos, prefetch_count=1)
            close_channel(channel)
        except Exception as error:  # noqa: BLE001  callers wait for an answer, whatever pika raises
            for pending in self._unroutable:
                pending.fail(self._status.unreachable(explain(error)))
        else:
            self._waiting.extendleft(reversed(self._unroutable))
        self._unroutable.clear()
        self._redeclaring = None
        self._send_waiting()

    def _look_for_late_ones(self) -> None:
        now = self._loop.time()
        unconfirmed = self._in_flight.late(now)
        for pending in unconfirmed:
            self._give_up(pending, f"in {self._deadline:g} s")
        while self._waiting and self._waiting[0].deadline <= now:
            self._give_up(self._waiting.popleft(), f"in {self._deadline:g} s")
        if unconfirmed and self._channel is not None and not self._channel.connection.blocked:
            # Confirms that stay away so long are lost rather than late; a fresh connection may meet a healthier node.
            self._channel.connection.abort(TimeoutError())
        self._timer = None
        if self._in_flight or self._waiting or self._unroutable:
            self._watch()

    def _watch(self) -> None:
        self._timer = self._loop.call_later(self._deadline / _LOOKS, self._look_for_late_ones)

    def _give_up(self, pending: Pending, when: str) -> None:
        if pending.sent:
            pending.fail(
                PublishUnconfirmed(
                    f"queue {pending.queue!r}: the broker did not confirm message {pending.id!r} {when}; "
                    "it may have it or not: publish the same id again"
                )
            )
        else:
            pending.fail(self._status.unreachable(self._why_not_sent()))

    def _why_not_sent(self) -> str:
        if self._channel is None:
            return ""
        return (
            BLOCKED
            if self._channel.connection.blocked
            else "it confirms too slowly: add brokers, or publish less"
        )
