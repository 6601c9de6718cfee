"""Sends transitions to the store's server in batches."""

import asyncio
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mousetrap.jobs import RecordDamaged
from mousetrap.run_store.transitions import Transition
from mousetrap.store_client import Library, unreachable

#: Transitions in one call; each keeps the server busy for about 15 µs, during which all other clients wait.
_MOST = 32
#: Full calls under way beside another, each on a connection of its own: the server works at one while we write the next and
#: read the last. With none, a third of two cores was idle; sending small calls so would cost more than it gains.
_BESIDE = 3
#: How long a note waits for a call to go with.
_NOTE_DELAY_S = 1.0

_FILES = ("keys", "clock", "runs", "locks", "repair", "claims", "decisions", "library")
LIBRARY = Library.read("mousetrap", "mousetrap.run_store", [f"lua/{name}.lua" for name in _FILES])

#: A transition as it is sent: its name and its arguments.
Call = Transition | tuple[str, ...]
_Waiting = tuple[Call, "asyncio.Future[list[Any]]"]


class Batches:
    """Gathers the transitions of one tick of the event loop into as few calls as keep the server busy.

    1. `call` puts a transition into the waiting list and starts a task that sends it.
    2. The task sends up to 32 at a time until none waits; full batches go beside it, at most three.
    3. Each caller gets its own reply or error. A batch that cannot be encoded is sent one by one.

    Order is guaranteed only if you await the first reply before sending the second.
    """

    def __init__(self, client: "Redis", address: str) -> None:
        self._client = client
        self._address = address
        self._waiting: list[_Waiting] = []
        self._sending: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._soon: asyncio.TimerHandle | None = None

    def call(self, transition: Call) -> "asyncio.Future[list[Any]]":
        """The reply to come. It raises StoreUnreachable, after which the transition may have happened or not, and RecordDamaged."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((transition, future))
        self._begin()
        return future

    def note(self, transition: Call) -> None:
        """Sends a transition whose reply is not awaited: with the next one, or alone after a second."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        future.add_done_callback(_ignore_error)
        self._waiting.append((transition, future))
        if self._sending is None and self._soon is None:
            self._soon = loop.call_later(_NOTE_DELAY_S, self._begin)

    async def close(self) -> None:
        """Sends the remaining notes and waits for all replies."""
        if self._waiting:
            self._begin()
        if under_way := {*self._beside, *filter(None, [self._sending])}:
            await asyncio.wait(under_way)

    def _begin(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        elif len(self._waiting) >= _MOST and len(self._beside) < _BESIDE:
            beside = asyncio.create_task(self._send(self._take()))
            self._beside.add(beside)
            beside.add_done_callback(self._beside.discard)

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send(self._take())
        finally:
            self._sending = None

    def _take(self) -> list[_Waiting]:
        batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        return batch

    async def _send(self, batch: list[_Waiting]) -> None:
        try:
            replies = await self._apply(msgspec.msgpack.encode([transition for transition, _ in batch]))
        except (RedisError, OSError, TimeoutError) as error:
            for _, future in batch:
                _fail(future, unreachable(self._address, error))
            return
        except Exception as error:  # noqa: BLE001  a number too large to be sent, an unforeseen reply
            # Each alone, so that the others get their replies; without one, a caller would wait without end.
            for each in batch if len(batch) > 1 else ():
                await self._send([each])
            if len(batch) == 1:
                _fail(batch[0][1], error)
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if reply[0] == "damaged":
                _fail(future, RecordDamaged(f"what the store keeps of the job is damaged: {reply[1]}"))
            elif reply[0] == "error":
                _fail(future, unreachable(self._address, reply[1]))
            elif not future.done():
                future.set_result(reply)

    async def _apply(self, blob: bytes) -> list[list[Any]]:
        return _decoded(await LIBRARY.call(self._client.execute_command, blob))


def _decoded(reply: bytes) -> list[list[Any]]:
    """Each transition's reply: one that holds bytes which are no text fails alone, not the batch that it came with."""
    try:
        replies: list[list[Any]] = msgspec.msgpack.decode(reply)
    except UnicodeDecodeError:
        return [_one(each) for each in msgspec.msgpack.decode(reply, type=list[msgspec.Raw])]
    return replies


def _one(reply: msgspec.Raw) -> list[Any]:
    try:
        decoded: list[Any] = msgspec.msgpack.decode(reply)
    except UnicodeDecodeError as error:
        return ["damaged", f"it is no text: {error}"]
    return decoded


def _ignore_error(future: "asyncio.Future[list[Any]]") -> None:
    """Retrieves the error of a note, so that it is not logged as never retrieved."""
    if not future.cancelled():
        future.exception()


def _fail(future: "asyncio.Future[list[Any]]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
