"""Sends publishes and settlements in batches."""

import asyncio
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    Message,
    MousetrapError,
    Posted,
    PublishUnconfirmed,
    QueueFull,
    Settled,
    Unroutable,
    bytes_limit_reached,
    length_limit_reached,
)
from mousetrap.shutdown import end_tasks
from mousetrap.store_client import ReplyError
from mousetrap.stream_queue.client import BACKOFF, LOST, Client

#: More messages, or bytes of bodies, in one step would keep the server from its other clients for too long.
_BATCH_MESSAGES, _BATCH_BYTES = 500, 4_000_000
_SEND_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 3.0


class Target(NamedTuple):
    """A queue to publish to."""

    queue: str
    #: Its messages and bytes at most; 0 for no limit.
    limits: tuple[int, int]
    #: Whether we declare it, and so declare it again where it is missing.
    ours: bool


class _Publish(Posted, eq=False, kw_only=True):
    """A message to send.

    1. Waiting in the outbox.
    2. Sent: the server may have it, even if no reply arrives. Without a reply it waits and is sent again.
    3. Its queue is missing, and is one of ours: declared again, and it is sent once more.
    4. Confirmed, refused, or late: it is settled, and the caller continues.
    """

    id: str
    target: Target
    #: The message without its body, as queue.lua takes it.
    description: bytes
    body: bytes
    deadline: float
    #: Whether the server may have it.
    sent: bool = False
    #: Whether it is sent again after its queue was declared again.
    retried: bool = False


@dataclass(slots=True)
class _Batch:
    #: Stream entries by queue.
    acknowledged: dict[str, list[str]]
    handed_back: dict[str, list[str]]
    rejected: dict[str, list[str]]
    publishes: list[_Publish]


class Outbox:
    """Publishes and settlements that wait to be sent.

    1. A task sends all work of one turn of the loop as a batch: one call of queue.lua.
    2. A batch without a reply waits again, in front of later work, and the next try follows after a pause.
    3. A message past its deadline fails: unconfirmed if it was sent, unreachable if it was not.
    4. `close` sends what waits, if the server answers, and fails the rest.
    """

    def __init__(
        self, client: Client, confirm_deadline: float, declare: Callable[[], Awaitable[None]]
    ) -> None:
        self._client = client
        self._declare = declare
        self._confirm_deadline = confirm_deadline
        self._publishes: deque[_Publish] = deque()
        self._acknowledged: dict[str, list[str]] = {}
        self._handed_back: dict[str, list[str]] = {}
        self._rejected: dict[str, list[str]] = {}
        self._work = asyncio.Event()
        self._closing = False
        self._sender = asyncio.create_task(self._send_all(), name="mousetrap outbox")

    def post(self, target: Target, message: Message, after: float, settled: Settled) -> Posted:
        """Sends the message with all other work of this turn; settled when the server has it, or not."""
        loop = asyncio.get_running_loop()
        headers = msgspec.json.encode(message.headers).decode() if message.headers else ""
        rare = () if message.priority == DEFAULT_PRIORITY else (message.priority,)
        publish = _Publish(
            settled=settled,
            id=message.id,
            target=target,
            description=msgspec.msgpack.encode(
                (target.queue, *target.limits, math.ceil(after * 1000), message.id, headers, *rare)
            ),
            body=message.body,
            deadline=loop.time() + self._confirm_deadline,
        )
        if self._closing:
            loop.call_soon(self._give_up, [publish], ConnectionError("the queue is closed"))
        else:
            self._publishes.append(publish)
            self._work.set()
        return publish

    def acknowledge(self, queue: str, entry: str) -> None:
        """Removes a stream's entry."""
        self._acknowledged.setdefault(queue, []).append(entry)
        self._work.set()

    def hand_back(self, queue: str, entry: str) -> None:
        """Puts a stream's entry back into its queue."""
        self._handed_back.setdefault(queue, []).append(entry)
        self._work.set()

    def reject(self, queue: str, entry: str) -> None:
        """Moves a stream's entry to the dead queue."""
        self._rejected.setdefault(queue, []).append(entry)
        self._work.set()

    async def close(self) -> None:
        """Sends what waits, if the server answers."""
        self._closing = True
        self._work.set()
        await asyncio.wait([self._sender], timeout=_CLOSE_TIMEOUT_S)
        await end_tasks(self._sender)
        await self._client.close()
        self._give_up(self._publishes, ConnectionError("the queue is closed"))

    async def _send_all(self) -> None:
        failures = 0
        while not (self._closing and (failures or self._is_empty())):
            await self._work.wait()
            batch = self._take()
            try:
                missing = await self._send(batch)
                failures = 0
            except asyncio.CancelledError:
                self._put_back(batch)
                raise
            except LOST as error:
                failures += 1
                self._report(batch, error)
                self._put_back(batch)
                await self._wait(failures, error)
            else:
                if missing:
                    await self._send_again(missing)

    async def _send(self, batch: _Batch) -> Sequence[_Publish]:
        """Sends and settles the batch, except for the messages that it returns: their queues are to be declared again."""
        timeout_s = min(_SEND_TIMEOUT_S, _time_left(batch.publishes, asyncio.get_running_loop().time()))
        await self._client.connect(timeout_s)
        for publish in batch.publishes:
            publish.sent = True
        refused = await self._client.call(
            "send",
            batch.acknowledged,
            batch.handed_back,
            batch.rejected,
            payload=[part for publish in batch.publishes for part in (publish.description, publish.body)],
            timeout_s=timeout_s,
        )
        missing = []
        for place, reason in zip(refused[::2], refused[1::2], strict=True):
            publish = batch.publishes[place]
            if reason == b"unroutable" and publish.target.ours and not publish.retried:
                missing.append(publish)
            else:
                publish.settle(self._refusal(publish, reason))
        for publish in batch.publishes:
            if publish not in missing:
                publish.settle()
        return missing

    async def _send_again(self, publishes: Sequence[_Publish]) -> None:
        """The queue was there when we connected, or the server was away: it has no data now, and declaring harms none."""
        for publish in publishes:
            publish.retried = True
        self._publishes.extendleft(reversed(publishes))
        self._work.set()
        with suppress(*LOST):
            await self._declare()

    def _take(self) -> _Batch:
        batch = _Batch(self._acknowledged, self._handed_back, self._rejected, [])
        self._acknowledged, self._handed_back, self._rejected = {}, {}, {}
        size = 0
        while self._publishes and len(batch.publishes) < _BATCH_MESSAGES and size < _BATCH_BYTES:
            publish = self._publishes.popleft()
            # Otherwise its caller has left, and it was never sent.
            if publish.sent or publish.settled is not None:
                batch.publishes.append(publish)
                size += len(publish.body)
        if not self._publishes and not self._closing:
            self._work.clear()
        return batch

    def _report(self, batch: _Batch, error: Exception) -> None:
        """A refusal goes to the callers of the batch; every other error to the log."""
        if not isinstance(error, ReplyError) or not batch.publishes:
            self._client.server.failed(error)
            return
        for publish in batch.publishes:
            publish.settle(QueueFull(f"Valkey at {self._client.server} refused the message: {error}"))
        batch.publishes.clear()

    def _put_back(self, batch: _Batch) -> None:
        """What was not sent waits again; its messages go in front of later ones."""
        for queue, entries in batch.acknowledged.items():
            self._acknowledged.setdefault(queue, []).extend(entries)
        for queue, entries in batch.handed_back.items():
            self._handed_back.setdefault(queue, []).extend(entries)
        for queue, entries in batch.rejected.items():
            self._rejected.setdefault(queue, []).extend(entries)
        self._publishes.extendleft(reversed(batch.publishes))
        self._work.set()

    async def _wait(self, failures: int, error: Exception) -> None:
        """Waits before the next try, no longer than the first deadline."""
        loop = asyncio.get_running_loop()
        pause = BACKOFF.pause(failures, random.random())
        await asyncio.sleep(min(pause, _time_left(self._publishes, loop.time())))
        while self._publishes and self._publishes[0].deadline <= loop.time():  # the oldest are in front
            self._give_up([self._publishes.popleft()], error)

    def _give_up(self, publishes: Iterable[_Publish], error: Exception) -> None:
        for publish in publishes:
            unconfirmed = PublishUnconfirmed(
                f"Valkey at {self._client.server} has not confirmed in time that it has message {publish.id!r} "
                f"for queue {publish.target.queue!r}: publish it again under the same id"
            )
            publish.settle(unconfirmed if publish.sent else self._client.server.unreachable(error))

    def _refusal(self, publish: _Publish, reason: bytes) -> MousetrapError:
        queue, server = publish.target.queue, self._client.server
        max_length, max_bytes = publish.target.limits
        limits = {b"length": length_limit_reached(max_length), b"bytes": bytes_limit_reached(max_bytes)}
        if reason in limits:
            return QueueFull(
                f"queue {queue!r} on Valkey at {server} is full: {limits[reason]}; add workers, or try again later"
            )
        return Unroutable(
            f"Valkey at {server} has no queue {queue!r}: connect once with that queue, which makes it"
        )

    def _is_empty(self) -> bool:
        return not (self._publishes or self._acknowledged or self._handed_back or self._rejected)


def _time_left(publishes: Sequence[_Publish], now: float) -> float:
    return max(0.0, publishes[0].deadline - now) if publishes else math.inf
