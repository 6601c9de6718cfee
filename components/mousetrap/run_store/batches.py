"""Sends the transitions that are asked for in one tick of the event loop in as few calls to the server as keep it busy."""

import asyncio
import hashlib
from importlib import resources
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from mousetrap.jobs import RecordDamaged
from mousetrap.store_client import unreachable

#: Transitions in one call; each keeps the server busy for about 15 µs, and all others wait meanwhile.
_MOST = 32
#: Full calls that may be under way beside another, each on a connection of its own: the server works at one while we write the
#: next and read the last. With none, a third of two cores stood idle; to send small ones so would cost more than it gives.
_BESIDE = 3
#: Seconds that a note waits for company.
_MOMENT = 1.0

_SOURCE = resources.files("mousetrap.run_store").joinpath("transitions.lua").read_text(encoding="utf-8")
#: Named by its content, so that two versions of the program can share a server during an upgrade.
_NAME = f"mousetrap_{hashlib.sha256(_SOURCE.encode()).hexdigest()[:12]}"


class Batches:
    """Transitions by name. Which of two is first is known only when the second is asked for after the first's reply."""

    def __init__(self, client: "Redis", address: str) -> None:
        self._client = client
        self._address = address
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[list[Any]]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._soon: asyncio.TimerHandle | None = None

    def call(self, *transition: Any) -> "asyncio.Future[list[Any]]":
        """The reply to come. It raises StoreUnreachable, after which the transition may have happened or not."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((transition, future))
        self._begin()
        return future

    def note(self, *transition: Any) -> None:
        """A transition whose reply nobody waits for; it goes with the next one, or alone after a moment."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        future.add_done_callback(_forget)
        self._waiting.append((transition, future))
        if self._sending is None and self._soon is None:
            self._soon = loop.call_later(_MOMENT, self._begin)

    async def close(self) -> None:
        """Sends what is noted."""
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

    def _take(self) -> list[tuple[tuple[Any, ...], asyncio.Future[list[Any]]]]:
        batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        return batch

    async def _send(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[list[Any]]]]) -> None:
        try:
            replies = await self._apply(msgspec.msgpack.encode([transition for transition, _ in batch]))
        except (RedisError, OSError, TimeoutError) as error:
            for _, future in batch:
                _fail(future, unreachable(self._address, error))
            return
        except Exception as error:  # noqa: BLE001  a number too large to be sent, a reply that nobody foresaw
            # Each alone, so that the others get their replies; without one, its caller would wait for ever.
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
        try:
            reply = await self._call(blob)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self._client.function_load(_SOURCE_NAMED, replace=True)  # a new or an emptied server
            reply = await self._call(blob)
        return _decoded(reply)

    async def _call(self, blob: bytes) -> bytes:
        reply: bytes = await self._client.execute_command("FCALL", _NAME, 0, blob)  # type: ignore[no-untyped-call]
        return reply


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


def _forget(future: "asyncio.Future[list[Any]]") -> None:
    """Hears of an error that concerns nobody, so that none is logged as unheard of."""
    if not future.cancelled():
        future.exception()


def _fail(future: "asyncio.Future[list[Any]]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


_SOURCE_NAMED = f"#!lua name={_NAME}\n{_SOURCE}".replace("'NAME'", f"'{_NAME}'")
