"""Sends what is to be published and settled: all that came up in one turn of the loop goes in one atomic step."""

import asyncio
import math
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from redis.exceptions import ResponseError

from mousetrap.job_queue.bounds import bytes_met, length_met
from mousetrap.job_queue.streams_line import LOST, Line, pause
from mousetrap.jobs import Message, MousetrapError, PublishUnconfirmed, QueueFull, Unroutable
from mousetrap.shutdown import end_tasks

#: Messages in one step, and bytes of bodies; more would keep the server from its other clients for too long.
_BATCH, _BATCH_BYTES = 500, 4_000_000
#: Seconds that a step may take, and that closing may.
_ANSWER, _GOODBYE = 10.0, 3.0


@dataclass(slots=True, eq=False)
class _Letter:
    """A message on its way."""

    id: str
    queue: str
    #: What the step takes of each.
    description: bytes
    body: bytes
    deadline: float
    taken: asyncio.Future[None]
    limits: tuple[int, int]
    #: Whether the server may have it without our knowing.
    sent: bool = False


@dataclass(slots=True)
class _Batch:
    #: Stream entries by queue.
    acknowledged: dict[str, list[str]]
    handed_back: dict[str, list[str]]
    letters: list[_Letter]


class Outbox:
    """What waits to be sent; it tries until the server has it, or until a message's deadline has passed."""

    def __init__(self, line: Line, confirm_deadline: float) -> None:
        self._line = line
        self._confirm_deadline = confirm_deadline
        self._letters: deque[_Letter] = deque()
        self._acknowledged: dict[str, list[str]] = {}
        self._handed_back: dict[str, list[str]] = {}
        self._work = asyncio.Event()
        self._closing = False
        self._sender = asyncio.create_task(self._send_all(), name="mousetrap outbox")

    def publish(
        self, queue: str, limits: tuple[int, int], message: Message, after: float
    ) -> "asyncio.Future[None]":
        """Done when the server has the message; `limits` are how many may wait in the queue, and how many bytes, 0 for any."""
        loop = asyncio.get_running_loop()
        headers = msgspec.json.encode(message.headers).decode() if message.headers else ""
        letter = _Letter(
            message.id,
            queue,
            msgspec.msgpack.encode((queue, *limits, math.ceil(after * 1000), message.id, headers)),
            message.body,
            loop.time() + self._confirm_deadline,
            loop.create_future(),
            limits,
        )
        if self._closing:
            letter.taken.set_exception(self._line.server.unreachable(ConnectionError("we have left it")))
        else:
            self._letters.append(letter)
            self._work.set()
        return letter.taken

    def acknowledge(self, queue: str, entry: str) -> None:
        self._acknowledged.setdefault(queue, []).append(entry)
        self._work.set()

    def hand_back(self, queue: str, entry: str) -> None:
        self._handed_back.setdefault(queue, []).append(entry)
        self._work.set()

    async def close(self) -> None:
        """Sends what waits, if the server answers."""
        self._closing = True
        self._work.set()
        await asyncio.wait([self._sender], timeout=_GOODBYE)
        await end_tasks(self._sender)
        await self._line.close()
        self._give_up(self._letters, ConnectionError("we have left it"))

    async def _send_all(self) -> None:
        failures = 0
        while not (self._closing and (failures or self._is_empty())):
            await self._work.wait()
            batch = self._take()
            try:
                await self._send(batch)
                failures = 0
            except asyncio.CancelledError:
                self._take_back(batch)
                raise
            except LOST as error:
                failures += 1
                self._refuse(batch, error)
                self._take_back(batch)
                await self._rest(failures, error)

    async def _send(self, batch: _Batch) -> None:
        patience = min(_ANSWER, _time_left(batch.letters, asyncio.get_running_loop().time()))
        await self._line.open(patience)
        for letter in batch.letters:
            letter.sent = True
        refused = await self._line.step(
            "send",
            batch.acknowledged,
            batch.handed_back,
            with_bytes=[part for letter in batch.letters for part in (letter.description, letter.body)],
            patience=patience,
        )
        for place, why in zip(refused[::2], refused[1::2], strict=True):
            _settle(batch.letters[place], self._refusal(batch.letters[place], why))
        for letter in batch.letters:
            _settle(letter)

    def _take(self) -> _Batch:
        batch = _Batch(self._acknowledged, self._handed_back, [])
        self._acknowledged, self._handed_back = {}, {}
        size = 0
        while self._letters and len(batch.letters) < _BATCH and size < _BATCH_BYTES:
            letter = self._letters.popleft()
            if letter.sent or not letter.taken.done():  # else nobody waits for it any more, and it never left
                batch.letters.append(letter)
                size += len(letter.body)
        if not self._letters and not self._closing:
            self._work.clear()
        return batch

    def _refuse(self, batch: _Batch, error: Exception) -> None:
        """Whoever waits for a message hears it if the server said no; else the log does."""
        if not isinstance(error, ResponseError) or not batch.letters:
            self._line.server.struck(error)
            return
        for letter in batch.letters:
            _settle(letter, QueueFull(f"Valkey at {self._line.server} refused the message: {error}"))
        batch.letters.clear()

    def _take_back(self, batch: _Batch) -> None:
        """What was not sent waits on; the messages ahead of what has come up since."""
        for queue, entries in batch.acknowledged.items():
            self._acknowledged.setdefault(queue, []).extend(entries)
        for queue, entries in batch.handed_back.items():
            self._handed_back.setdefault(queue, []).extend(entries)
        self._letters.extendleft(reversed(batch.letters))
        self._work.set()

    async def _rest(self, failures: int, error: Exception) -> None:
        """Waits before the next try; the messages whose deadline comes first wait no longer."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(min(pause(failures, random.random()), _time_left(self._letters, loop.time())))
        while self._letters and self._letters[0].deadline <= loop.time():  # the first published are in front
            self._give_up([self._letters.popleft()], error)

    def _give_up(self, letters: Iterable[_Letter], error: Exception) -> None:
        for letter in letters:
            unconfirmed = PublishUnconfirmed(
                f"Valkey at {self._line.server} has not said in time whether it has message {letter.id!r} "
                f"for queue {letter.queue!r}: publish it again under the same id"
            )
            _settle(letter, unconfirmed if letter.sent else self._line.server.unreachable(error))

    def _refusal(self, letter: _Letter, why: bytes) -> MousetrapError:
        queue, server = letter.queue, self._line.server
        bounds = {b"length": length_met(letter.limits[0]), b"bytes": bytes_met(letter.limits[1])}
        if why in bounds:
            return QueueFull(
                f"queue {queue!r} on Valkey at {server} is full: {bounds[why]}; add workers, or try again later"
            )
        return Unroutable(
            f"Valkey at {server} has no queue {queue!r}: connect once with that queue, which makes it"
        )

    def _is_empty(self) -> bool:
        return not (self._letters or self._acknowledged or self._handed_back)


def _time_left(letters: Sequence[_Letter], now: float) -> float:
    return max(0.0, letters[0].deadline - now) if letters else math.inf


def _settle(letter: _Letter, error: MousetrapError | None = None) -> None:
    if letter.taken.done():
        return
    if error is None:
        letter.taken.set_result(None)
    else:
        letter.taken.set_exception(error)
