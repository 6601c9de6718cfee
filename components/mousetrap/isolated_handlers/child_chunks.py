"""Brings an isolated handler's process blobs and outputs of its run."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from mousetrap.blobs import BlobBroken, Chunks
from mousetrap.handlers import FanRefused
from mousetrap.isolated_handlers.protocol import Chunk, GetChunk, GetOutputs, Outputs, PutChunk
from mousetrap.pipeline import Page
from mousetrap.retry import Outage, error_text

_MAX_TEXT = 1_000


class ChunkCalls:
    """The calls of this process that wait for the worker's reply; from any thread."""

    def __init__(self, send: Callable[[PutChunk | GetChunk | GetOutputs], None]) -> None:
        self._send = send
        self._numbers = count(1)
        self._waiting: dict[int, Future[Any]] = {}

    def begin(self, make: Callable[[int], PutChunk | GetChunk | GetOutputs]) -> "Future[Any]":
        """Sends a call; its future has the chunk or the page, or raises BlobBroken, FanRefused or Outage."""
        number = next(self._numbers)
        future = self._waiting[number] = Future()
        self._send(make(number))
        return future

    def end(self, reply: Chunk | Outputs) -> None:
        """Takes the worker's reply; one that nothing waits for any more is dropped."""
        future = self._waiting.pop(reply.number, None)
        if future is None:
            return
        with suppress(InvalidStateError):  # an async handler was cancelled while it waited
            if not reply.error:
                future.set_result(reply.data if isinstance(reply, Chunk) else Page(reply.outputs, reply.next))
            elif isinstance(reply, Chunk) and reply.reason:
                future.set_exception(BlobBroken(reply.error, reply.reason))
            elif isinstance(reply, Outputs) and reply.reason:
                future.set_exception(FanRefused(reply.reason, reply.error))
            else:
                future.set_exception(Outage(reply.error))


@dataclass(frozen=True, slots=True)
class ChildChunks:
    """As in the protocol Chunks: the worker keeps them, so this process needs no address and no password."""

    run_id: str
    calls: ChunkCalls
    loop: None = None

    def put(self, name: str, number: int, data: bytes) -> "Future[None]":
        return self.calls.begin(lambda call: PutChunk(call, name, number, data))

    def get(self, name: str, number: int, size: int) -> "Future[bytes]":
        return self.calls.begin(lambda call: GetChunk(call, name, number, size))


@dataclass(frozen=True, slots=True)
class ChildPages:
    """As in the protocol Pages: the worker reads them."""

    fan: str
    calls: ChunkCalls
    loop: None = None

    def get(self, first: int) -> "Future[Page]":
        return self.calls.begin(lambda call: GetOutputs(call, self.fan, first))


async def served(call: PutChunk | GetChunk, chunks: Chunks) -> Chunk:
    """In the worker: the reply to a call of the process."""
    try:
        if isinstance(call, GetChunk):
            return Chunk(call.number, await asyncio.wrap_future(chunks.get(call.name, call.index, call.size)))
        await asyncio.wrap_future(chunks.put(call.name, call.index, call.data))
    except BlobBroken as error:
        return Chunk(call.number, error=str(error), reason=error.reason)
    except Exception as error:  # noqa: BLE001  the handler gets it, as it would in the worker
        return Chunk(call.number, error=error_text(error, _MAX_TEXT) or type(error).__name__)
    return Chunk(call.number)
