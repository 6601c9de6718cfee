"""The queue of the embedded run, on streams in Valkey."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    Backlog,
    Browsed,
    Claim,
    Delivery,
    Message,
    QueueOptions,
    Settled,
    Subscription,
    Unroutable,
    check_delay,
    check_message,
    dead_queue,
    queue_for,
    queues_of,
    until_settled,
)
from mousetrap.stream_queue.client import LOST, Client, Server
from mousetrap.stream_queue.deliveries import read_entry
from mousetrap.stream_queue.membership import Membership
from mousetrap.stream_queue.outbox import Outbox, Target
from mousetrap.stream_queue.pull import Puller
from mousetrap.stream_queue.subscription import Shared, StreamSubscription

_NO_LIMITS = (0, 0)
#: Entries that one XRANGE reads.
_PAGE = 50
#: For a reply that a caller waits for.
_REPLY_TIMEOUT_S = 1.5


@asynccontextmanager
async def open_stream_queue(
    url: str, queues: Iterable[str], *, name: str, options: QueueOptions | None = None
) -> AsyncIterator["StreamQueue"]:
    """The queue at `valkey://user:password@host:port/database`, with `queues` and their dead queues declared.

    It opens even if the server is away, and goes on trying. It needs one server, not a cluster. What a crash of that server
    costs depends on its settings: nothing with `appendonly yes` and `appendfsync always`.
    """
    options = options or QueueOptions()
    queue = StreamQueue(Server(url, name, options.tls), tuple(queues), name, options)
    try:
        with suppress(*LOST):  # every later use tries again
            await queue.declare()
        yield queue
    finally:
        await queue.close()


class StreamQueue:
    """The embedded queue: one client for requests, one for the outbox, one for each subscription."""

    def __init__(self, server: Server, queues: tuple[str, ...], name: str, options: QueueOptions) -> None:
        self._server = server
        #: The limits of messages and bytes of each queue that we declare; 0 for none.
        #: The limits of a queue that another process declares: the settings are the same for all.
        self._of_others = (options.max_length, options.max_bytes)
        self._limits = {name: limits for queue in queues for name, limits in self._limits_of(queue).items()}
        self._client = Client(server)
        self._outbox = Outbox(Client(server), options.confirm_deadline, self.declare)
        self._consumed: set[str] = set()
        self._subscriptions: list[StreamSubscription] = []
        self._membership = Membership(self._client, name, self._consumed)
        self._shared = Shared(self._membership, self._outbox, self.declare)
        self._pullers: dict[str, Puller] = {}

    async def declare(self) -> None:
        """Makes the queues that are missing. Raises one of LOST."""
        await self._client.call("declare", list(self._limits), timeout_s=_REPLY_TIMEOUT_S)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        check_delay(after)
        check_message(message)
        target = self._target(queue, message)
        await until_settled(lambda settled: self._outbox.post(target, message, after, settled))

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        check_message(message)
        self._outbox.post(self._target(queue, message), message, 0.0, settled)

    def _limits_of(self, queue: str) -> Mapping[str, tuple[int, int]]:
        """The queues of a stage, each with its limits."""
        return dict.fromkeys(queues_of(queue), self._of_others) | {dead_queue(queue): _NO_LIMITS}

    def _target(self, queue: str, message: Message) -> Target:
        if message.priority != DEFAULT_PRIORITY:
            queue = queue_for(queue, message.priority)
        return Target(queue, self._limits.get(queue, self._of_others), queue in self._limits)

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        self._consumed.update(queues_of(queue))
        subscription = StreamSubscription(
            queue, prefetch, receive, Client(self._server, report_loss=True), self._shared
        )
        self._subscriptions = [*(each for each in self._subscriptions if not each.ended), subscription]
        return subscription

    async def declare_queue(self, queue: str) -> None:
        if queue not in self._limits:
            limits = self._limits_of(queue)
            with self._reaching():
                await self._client.call("declare", list(limits), timeout_s=_REPLY_TIMEOUT_S)
            self._limits |= limits

    async def claim(self, queue: str, wait: float) -> Claim | None:
        self._consumed.add(queue)
        if queue not in self._pullers:
            self._pullers[queue] = Puller(queue, Client(self._server), self._shared)
        with self._reaching():
            return await self._pullers[queue].claim(wait)

    async def count_ready(self, queue: str) -> int:
        with self._reaching():
            waiting = await self._client.call("ready", queues_of(queue), timeout_s=_REPLY_TIMEOUT_S)
            if waiting < 0 and queue in self._limits:
                await self.declare()
                waiting = 0
        if waiting < 0:
            raise Unroutable(
                f"Valkey at {self._server} has no queue {queue!r}: connect once with that queue, which makes it"
            )
        return int(waiting)

    async def backlog(self, queue: str) -> Backlog:
        ready = await self.count_ready(queue)
        with self._reaching():
            since_ms, consumers = await self._client.call(
                "since", queues_of(queue), timeout_s=_REPLY_TIMEOUT_S
            )
        return Backlog(ready, since_ms or None, consumers)

    async def backlogs(self, queues: Iterable[str]) -> Mapping[str, Backlog]:
        names = list(dict.fromkeys(queues))
        found = await asyncio.gather(*(self._backlog(name) for name in names))
        return {name: backlog for name, backlog in zip(names, found, strict=True) if backlog is not None}

    async def _backlog(self, queue: str) -> Backlog | None:
        with suppress(Unroutable):
            return await self.backlog(queue)
        return None

    async def browse(self, queue: str, most: int, most_bytes: int) -> Browsed:
        found: list[Message] = []
        size, start = 0, "-"
        while (page := min(_PAGE, most - len(found))) > 0 and size < most_bytes:
            entries = await self._command("XRANGE", f"mousetrap:queue:{queue}", start, "+", "COUNT", page)
            for entry, fields in entries:
                found.append(read_entry(fields))
                size += len(found[-1].body)
                start = f"({entry.decode()}"
            if len(entries) < page:
                break
        length = int(await self._command("XLEN", f"mousetrap:queue:{queue}"))
        return Browsed(tuple(found), max(0, length - len(found)))

    async def mark(self, queue: str) -> tuple[int, bytes]:
        with self._reaching():
            length, last_id = await self._client.call("mark", queue, timeout_s=_REPLY_TIMEOUT_S)
        # `count_ready` makes a missing queue of ours, and raises for any other.
        return (await self.count_ready(queue), b"") if length < 0 else (int(length), last_id)

    async def check(self) -> None:
        await self._command("PING")

    async def close(self) -> None:
        for subscription in self._subscriptions:
            await subscription.abandon()
        for puller in self._pullers.values():
            await puller.close()
        await self._outbox.close()
        await self._membership.leave()
        await self._client.close()

    async def _command(self, *words: str | int) -> Any:
        with self._reaching():
            return await self._client.command(*words, timeout_s=_REPLY_TIMEOUT_S)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns the client's errors into QueueUnreachable."""
        try:
            yield
        except LOST as error:
            raise self._server.unreachable(error) from error
