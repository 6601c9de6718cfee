"""Publishes messages and waits for the broker's confirms."""

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

#: One timer checks all deadlines, so many times per deadline.
_CHECKS_PER_DEADLINE = 20


class Publisher:
    """The publishing half of a queue: one connection, with one channel in confirm mode.

    A message takes this way (`Pending` has its states):

    1. `publish` checks it, and sends it or lets it wait for a channel, an unblocked broker or room in flight.
    2. `_on_confirm` ends its wait: confirmed, refused, or returned by the broker before (`_on_return`).
    3. Returned: the queues are declared again, and it is published once more.
    4. `_check_deadlines` ends the wait of late messages, and drops a connection that confirms nothing.
    5. `_on_close`: the channel is lost. Its unconfirmed messages wait for the next one.
    """

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
        self._returned: list[Pending] = []
        self._redeclaring: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def publish(self, queue: str, message: Message, after: float) -> None:
        """Returns once the broker has the message. Raises as `Queue.publish` does."""
        pending = self._pending(queue, message, after)
        if self._waiting or not self._can_send():
            self._waiting.append(pending)
        else:
            self._send(pending)
        if self._timer is None:
            self._start_timer()
        await pending.done

    async def close(self) -> None:
        """Closes the connection; messages without a confirm fail."""
        await end_tasks(self._redeclaring)
        await self.link.close()
        for pending in (*self._returned, *self._waiting):
            self._give_up(pending, "before the queue was closed")
        if self._timer is not None:
            self._timer.cancel()

    def _pending(self, queue: str, message: Message, after: float) -> Pending:
        check_message(message)
        if after <= 0:
            exchange, key = JOBS, queue
        elif queue in self._topology.names:
            exchange, key = delay_ladder.way_down(queue, after)
        else:
            # The ladder takes any message, so a missing queue would show only at the end of the delay.
            raise unroutable(queue)
        return Pending(
            queue=queue,
            exchange=exchange,
            key=key,
            id=message.id,
            properties=frames.properties(message.id, message.headers, int(time.time() + after)),
            body=message.body,
            deadline=self._loop.time() + self._deadline,
            done=self._loop.create_future(),
        )

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

    def _on_close(self, channel: Any, error: Exception) -> None:
        """Unconfirmed messages wait again, in front: the broker may have them or not."""
        self._channel = None
        self._waiting.extendleft(reversed(self._in_flight.lost()))
        if channel.connection.is_open:
            # The connection has no other channel: the link opens both again.
            channel.connection.abort(error)

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        refused = method.NAME == "Basic.Nack"
        for pending in self._in_flight.confirmed(method.delivery_tag, method.multiple):
            if refused:
                pending.fail(
                    QueueFull(f"queue {pending.queue!r} refused a message, most often because it is full")
                )
            elif pending.returned:
                self._publish_again(pending)
            elif not pending.done.done():
                pending.done.set_result(None)
        if self._waiting:
            self._send_waiting()

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        self._in_flight.returned(properties.message_id, method.routing_key)

    def _publish_again(self, pending: Pending) -> None:
        """Declares a deleted queue of ours again and publishes once more."""
        if pending.retried or pending.queue not in self._topology.names:
            pending.fail(unroutable(pending.queue))
            return
        pending.retried, pending.returned = True, False
        self._returned.append(pending)
        if self._redeclaring is None:
            self._redeclaring = asyncio.create_task(self._redeclare(self._channel.connection))

    async def _redeclare(self, connection: Connection) -> None:
        await asyncio.sleep(REDECLARE_DELAY_S)
        try:
            channel = await open_channel(connection)
            declare(channel, self._topology)
            await ask(channel, channel.basic_qos, prefetch_count=1)
            close_channel(channel)
        except Exception as error:  # noqa: BLE001  callers wait for a result, whatever pika raises
            for pending in self._returned:
                pending.fail(self._status.unreachable(explain(error)))
        else:
            self._waiting.extendleft(reversed(self._returned))
        self._returned.clear()
        self._redeclaring = None
        self._send_waiting()

    def _check_deadlines(self) -> None:
        now = self._loop.time()
        unconfirmed = self._in_flight.late(now)
        for pending in unconfirmed:
            self._give_up(pending, f"in {self._deadline:g} s")
        while self._waiting and self._waiting[0].deadline <= now:
            self._give_up(self._waiting.popleft(), f"in {self._deadline:g} s")
        if unconfirmed and self._channel is not None and not self._channel.connection.blocked:
            # A confirm so late is probably lost; a new connection may reach a healthier node.
            self._channel.connection.abort(TimeoutError())
        self._timer = None
        if self._in_flight or self._waiting or self._returned:
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer = self._loop.call_later(self._deadline / _CHECKS_PER_DEADLINE, self._check_deadlines)

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
        if self._channel.connection.blocked:
            return BLOCKED
        return "it confirms too slowly: add brokers, or publish less"
