"""Publishes messages and waits for the broker's confirms."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from mousetrap.job_queue.amqp import frames
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.errors import BLOCKED, explain, unroutable
from mousetrap.job_queue.link import Link
from mousetrap.job_queue.pending import Pending
from mousetrap.job_queue.topology import delay_ladder
from mousetrap.job_queue.topology.declare import REDECLARE_DELAY_S
from mousetrap.job_queue.topology.topology import JOBS, Topology
from mousetrap.job_queue.wire import OpenWire, Wire
from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    HIGH,
    Message,
    PublishUnconfirmed,
    QueueFull,
    Settled,
    check_delay,
    queue_for,
    until_settled,
)
from mousetrap.shutdown import end_tasks

#: One timer checks all deadlines, so many times per deadline.
_CHECKS_PER_DEADLINE = 20
#: pika buffers without limit: above so many unconfirmed messages, or bytes of them, later messages wait.
_MAX_MESSAGES, _MAX_BYTES = 2_000, 33_554_432


class Unconfirmed:
    """The messages without a confirm, oldest first: those that wait, and those in flight on the channel."""

    def __init__(self) -> None:
        self.waiting: deque[Pending] = deque()
        self._in_flight: dict[int, Pending] = {}
        self._bytes = 0
        self._tag = 0

    def __bool__(self) -> bool:
        return bool(self.waiting or self._in_flight)

    def next(self) -> Pending | None:
        """Takes the oldest message that waits into flight; None when none waits, or too many are in flight.

        The broker counts a channel's messages from one. A large message may always be sent when it is alone.
        """
        while self.waiting and len(self._in_flight) < _MAX_MESSAGES and self._bytes < _MAX_BYTES:
            pending = self.waiting.popleft()
            if pending.settled is None:
                continue  # its caller has left
            self._tag += 1
            self._in_flight[self._tag] = pending
            self._bytes += len(pending.body)
            # A channel that was lost may have returned it, and this one has not.
            pending.sent, pending.returned = True, False
            return pending
        return None

    def confirmed(self, tag: int, multiple: bool) -> Sequence[Pending]:
        """Removes the confirmed message, or with `multiple` all messages up to it."""
        if multiple:
            return self._remove(list(takewhile(lambda each: each <= tag, self._in_flight)))
        pending = self._in_flight.pop(tag, None)
        if pending is None:
            return ()
        self._bytes -= len(pending.body)
        return (pending,)

    def returned(self, message_id: str, key: str) -> None:
        """Marks the message that the broker returned. Its confirm comes right after, and has no meaning."""
        for pending in self._in_flight.values():
            if pending.key == key and pending.id == message_id and not pending.returned:
                pending.returned = True
                return

    def late(self, now: float) -> Sequence[Pending]:
        """Removes the messages in flight whose deadline has passed."""
        return self._remove([tag for tag, pending in self._in_flight.items() if pending.deadline <= now])

    def lost(self) -> Sequence[Pending]:
        """Removes all messages in flight: the channel is lost, and the next one counts from one again."""
        self._tag = 0
        return self._remove(list(self._in_flight))

    def _remove(self, tags: Sequence[int]) -> Sequence[Pending]:
        removed = [self._in_flight.pop(tag) for tag in tags]
        self._bytes -= sum(len(pending.body) for pending in removed)
        return removed


@dataclass(frozen=True, slots=True)
class Way:
    """How a publisher reaches the broker."""

    connect: Callable[[], Awaitable[Any]]
    open_wire: OpenWire


class Publisher:
    """The publishing half of a queue: one connection, with one channel in confirm mode.

    A message takes this way (`Pending` has its states):

    1. `post`, or `publish`, checks it, and sends it or lets it wait for a channel, an unblocked broker or room in flight.
    2. `confirmed` ends its wait: confirmed, refused, or returned by the broker before (`returned`).
    3. Returned: the queues are declared again, and it is published once more.
    4. `_check_deadlines` ends the wait of late messages, and drops a connection that confirms nothing.
    5. `closed`: the channel is lost. Its unconfirmed messages wait for the next one.
    """

    def __init__(
        self,
        topology: Topology,
        deadline: float,
        way: Way,
        status: BrokerStatus,
        why_full: Callable[[str], Awaitable[str]],
    ) -> None:
        #: What each new connection declares. It grows where queues are declared when they are first named.
        self.topology = topology
        #: Looks for a queue that another process declared, and makes it a part of the topology. Raises Unroutable.
        self.learn: Callable[[str], Awaitable[None]] = _unknown
        #: Queues that were found, and looks that go on: one for all that wait, as thousands can be published at once.
        self._found: set[str] = set()
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._deadline = deadline
        self._status = status
        self._why_full = why_full
        self.link: Link[Any] = Link("publish", way.connect, status, self._set_up)
        self._open_wire = way.open_wire
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._unconfirmed = Unconfirmed()
        self._returned: list[Pending] = []
        self._redeclaring: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        """Returns once the broker has the message. Raises as `Queue.publish` does."""
        check_delay(after)
        if after:
            await self._find(queue_for(queue, message.priority))
        try:
            await until_settled(lambda settled: self._begin(queue, message, after, settled))
        except QueueFull as error:
            why = await self._why_full(queue)
            raise QueueFull(f"{error}: {why}; add workers, or try again later") from None

    async def _find(self, queue: str) -> None:
        """The ladder takes any: a missing queue would show only at its end, where its messages hold up those behind them."""
        if self._is_known(queue):
            return
        if queue not in self._looks:
            self._looks[queue] = asyncio.ensure_future(self.learn(queue))
            self._looks[queue].add_done_callback(lambda _: self._looks.pop(queue))
        await asyncio.shield(self._looks[queue])
        self._found.add(queue)

    def _is_known(self, queue: str) -> bool:
        """Where we may not declare, high queues are not checked with the others: `migrate` may not have made them yet."""
        checked = self.topology.declared_by_us or not queue.endswith(HIGH) or queue in self._found
        return checked and queue in self.topology.names

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        """As `Queue.post`. The error of a full queue does not name the limit: that takes a look at the broker."""
        self._begin(queue, message, 0.0, settled)

    def _begin(self, queue: str, message: Message, after: float, settled: Settled) -> Pending:
        if message.priority != DEFAULT_PRIORITY:
            queue = queue_for(queue, message.priority)
        exchange, key = (JOBS, queue) if not after else delay_ladder.way_down(queue, after)
        pending = Pending(
            settled=settled,
            queue=queue,
            exchange=exchange,
            key=key,
            id=message.id,
            properties=frames.properties(message, int(time.time() + after)),
            body=message.body,
            deadline=self._loop.time() + self._deadline,
        )
        if self._closed:
            self._loop.call_soon(self._give_up, pending, "before the queue was closed")
            return pending
        if len(queue.encode()) > frames.MAX_NAME_BYTES:
            # No queue has it. Encoded later, it would raise once it is counted, and all confirms after it would be off by one.
            self._loop.call_soon(pending.settle, unroutable(queue))
            return pending
        self._unconfirmed.waiting.append(pending)
        self._send_waiting()
        if self._timer is None:
            self._start_timer()
        return pending

    async def close(self) -> None:
        """Closes the connection; messages without a confirm fail."""
        self._closed = True
        await end_tasks(self._redeclaring, *self._looks.values())
        await self.link.close()
        for pending in (*self._returned, *self._unconfirmed.waiting):
            self._give_up(pending, "before the queue was closed")
        if self._timer is not None:
            self._timer.cancel()

    def _send_waiting(self) -> None:
        """Sends what waits, oldest first, as far as channel, broker and room in flight allow."""
        wire = self._wire
        while wire is not None and not wire.blocked:
            pending = self._unconfirmed.next()
            if pending is None:
                return
            wire.send(pending)

    async def _set_up(self, connection: Any) -> None:
        self._wire = await self._open_wire(connection, self.topology, self)
        self._send_waiting()

    def closed(self, error: Exception) -> None:
        """Unconfirmed messages wait again, in front: the broker may have them or not."""
        wire, self._wire = self._wire, None
        self._unconfirmed.waiting.extendleft(reversed(self._unconfirmed.lost()))
        if wire is not None:
            wire.abort(error)  # the link opens both again

    def confirmed(self, tag: int, *, multiple: bool, refused: bool) -> None:
        """Ends the wait of these messages, or publishes again what was returned."""
        for pending in self._unconfirmed.confirmed(tag, multiple):
            if refused:
                pending.settle(
                    QueueFull(f"queue {pending.queue!r} refused a message, most often because it is full")
                )
            elif pending.returned:
                self._publish_again(pending)
            else:
                pending.settle()
        if self._unconfirmed.waiting:
            self._send_waiting()

    def returned(self, message_id: str, key: str) -> None:
        """Its confirm comes right after, and has no meaning."""
        self._unconfirmed.returned(message_id, key)

    def unblocked(self) -> None:
        """Sends what has waited."""
        self._send_waiting()

    def _publish_again(self, pending: Pending) -> None:
        """Declares a deleted queue of ours again and publishes once more."""
        if pending.retried or pending.queue not in self.topology.names:
            pending.settle(unroutable(pending.queue))
            return
        pending.retried = True
        self._returned.append(pending)
        if self._redeclaring is None:
            self._redeclaring = asyncio.create_task(self._redeclare(self._wire))

    async def _redeclare(self, wire: Wire | None) -> None:
        await asyncio.sleep(REDECLARE_DELAY_S)
        try:
            if wire is not None:  # else the next one declares all
                await wire.declare(self.topology)
        except Exception as error:  # noqa: BLE001  callers wait for a result, whatever pika raises
            for pending in self._returned:
                pending.settle(self._status.unreachable(explain(error)))
        else:
            self._unconfirmed.waiting.extendleft(reversed(self._returned))
        self._returned.clear()
        self._redeclaring = None
        self._send_waiting()

    def _check_deadlines(self) -> None:
        now = self._loop.time()
        waiting, late = self._unconfirmed.waiting, self._unconfirmed.late(now)
        # A broker that blocks does not read the declaration that the returned messages wait for.
        for pending in (*late, *(it for it in self._returned if it.deadline <= now)):
            self._give_up(pending, f"in {self._deadline:g} s")
        while waiting and waiting[0].deadline <= now:
            self._give_up(waiting.popleft(), f"in {self._deadline:g} s")
        if late and self._wire is not None and not self._wire.blocked:
            # A confirm so late is probably lost; a new connection may reach a healthier node.
            self._wire.abort(TimeoutError())
        self._timer = None
        if self._unconfirmed or self._returned:
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer = self._loop.call_later(self._deadline / _CHECKS_PER_DEADLINE, self._check_deadlines)

    def _give_up(self, pending: Pending, when: str) -> None:
        if pending.sent:
            pending.settle(
                PublishUnconfirmed(
                    f"queue {pending.queue!r}: the broker did not confirm message {pending.id!r} {when}; "
                    "it may have it or not: publish the same id again"
                )
            )
        else:
            pending.settle(self._status.unreachable(self._why_not_sent()))

    def _why_not_sent(self) -> str:
        if self._closed:
            return "the queue is closed"
        if self._wire is None:
            return ""
        if self._wire.blocked:
            return BLOCKED
        return "it confirms too slowly: add brokers, or publish less"


async def _unknown(queue: str) -> None:
    raise unroutable(queue)
