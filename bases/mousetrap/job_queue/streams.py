"""The embedded run's queue: streams in Valkey that keep the same promises as the queues of RabbitMQ."""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from mousetrap.job_queue.bounds import check
from mousetrap.job_queue.options import QueueOptions
from mousetrap.job_queue.streams_delivery import read_entry
from mousetrap.job_queue.streams_line import LOST, Line, Server
from mousetrap.job_queue.streams_membership import Membership
from mousetrap.job_queue.streams_outbox import Outbox
from mousetrap.job_queue.streams_subscription import StreamSubscription
from mousetrap.jobs import Backlog, Browsed, Delivery, Message, Queue, Subscription, Unroutable, dead_queue

_NO_LIMITS = (0, 0)
#: Entries that one question asks for.
_PAGE = 50
#: Seconds for an answer that someone waits for.
_ANSWER = 1.5


@asynccontextmanager
async def open_streams(
    url: str, queues: Iterable[str], *, name: str, options: QueueOptions
) -> AsyncIterator[Queue]:
    """The queue behind `valkey://user:password@host:port/database`, with `queues` and their dead queues on it.

    It opens even if the server is away: then it goes on trying. One server, not a cluster; what its death costs is for
    its own settings to say, and with `appendonly yes` and `appendfsync always` it is nothing.
    """
    queue = StreamQueue(Server(url, name, options.tls), tuple(queues), name, options)
    try:
        with suppress(*LOST):  # every later use tries again
            await queue.declare()
        yield queue
    finally:
        await queue.close()


class StreamQueue:
    """As in the protocol Queue."""

    def __init__(self, server: Server, queues: tuple[str, ...], name: str, options: QueueOptions) -> None:
        self._server = server
        #: The most that may wait in each queue that we declare, and the most bytes; 0 for any.
        self._limits = dict.fromkeys(queues, (options.max_length, options.max_bytes)) | {
            dead_queue(it): _NO_LIMITS for it in queues
        }
        self._line = Line(server)
        self._outbox = Outbox(Line(server), options.confirm_deadline)
        self._consumed: set[str] = set()
        self._subscriptions: list[StreamSubscription] = []
        self._membership = Membership(self._line, name, self._consumed)

    async def declare(self) -> None:
        """Makes our queues, where they are not. Raises one of LOST."""
        await self._line.step("declare", list(self._limits), patience=_ANSWER)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        if not 0 <= after < math.inf:
            raise ValueError(f"a delay of {after} seconds: give a positive number, or 0 for none")
        check(message)
        limits = self._limits.get(queue)
        try:
            await self._outbox.publish(queue, limits or _NO_LIMITS, message, after)
        except Unroutable:
            if limits is None:
                raise
            # It was there when we connected, or the server was away: it has no data now, so there is none to spoil.
            with suppress(*LOST):
                await self.declare()
            await self._outbox.publish(queue, limits, message, after)

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        self._consumed.add(queue)
        subscription = StreamSubscription(
            queue,
            prefetch,
            receive,
            line=Line(self._server, tells_loss=True),
            membership=self._membership,
            outbox=self._outbox,
            declare=self.declare,
        )
        self._subscriptions = [*(each for each in self._subscriptions if not each.over), subscription]
        return subscription

    async def ready(self, queue: str) -> int:
        try:
            waiting = await self._line.step("ready", queue, patience=_ANSWER)
            if waiting < 0 and queue in self._limits:
                await self.declare()
                waiting = 0
        except LOST as error:
            raise self._server.unreachable(error) from error
        if waiting < 0:
            raise Unroutable(
                f"Valkey at {self._server} has no queue {queue!r}: connect once with that queue, which makes it"
            )
        return int(waiting)

    async def backlog(self, queue: str) -> Backlog:
        ready = await self.ready(queue)
        try:
            since_ms = await self._line.step("since", queue, patience=_ANSWER)
        except LOST as error:
            raise self._server.unreachable(error) from error
        return Backlog(ready, since_ms or None)

    async def browse(self, queue: str, most: int, most_bytes: int) -> Browsed:
        found: list[Message] = []
        size, last = 0, "-"
        while (page := min(_PAGE, most - len(found))) > 0 and size < most_bytes:
            entries = await self._ask("XRANGE", f"mousetrap:queue:{queue}", last, "+", "COUNT", page)
            for entry, fields in entries:
                found.append(read_entry(fields))
                size += len(found[-1].body)
                last = f"({entry.decode()}"
            if len(entries) < page:
                break
        lying = int(await self._ask("XLEN", f"mousetrap:queue:{queue}"))
        return Browsed(tuple(found), max(0, lying - len(found)))

    async def mark(self, queue: str) -> tuple[int, bytes]:
        try:
            length, last = await self._line.step("mark", queue, patience=_ANSWER)
        except LOST as error:
            raise self._server.unreachable(error) from error
        # Where there is no such queue it is made, or said to be missing.
        return (await self.ready(queue), b"") if length < 0 else (int(length), last)

    async def _ask(self, *words: str | int) -> Any:
        try:
            return await self._line.ask(*words, patience=_ANSWER)
        except LOST as error:
            raise self._server.unreachable(error) from error

    async def check(self) -> None:
        try:
            await self._line.ask("PING", patience=_ANSWER)
        except LOST as error:
            raise self._server.unreachable(error) from error

    async def close(self) -> None:
        for subscription in self._subscriptions:
            await subscription.abandon()
        await self._outbox.close()
        await self._membership.leave()
        await self._line.close()
