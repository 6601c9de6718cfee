"""Defines what blobs need of a store."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from mousetrap.blobs.errors import BlobBroken

T = TypeVar("T")

#: Bytes of each chunk of a blob but its last. Blobs that are stored could not be read with another number.
CHUNK_BYTES = 4_194_304


class Chunks(Protocol):
    """The chunks of one run's blobs. Its methods return at once, in any thread; their futures end in another."""

    @property
    def run_id(self) -> str: ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the futures need, which must not wait for them; None where they need none."""
        ...

    def put(self, name: str, number: int, data: bytes) -> "Future[None]":
        """Keeps chunk `number`, from 0, of the blob `name`."""
        ...

    def get(self, name: str, number: int, size: int) -> "Future[bytes]":
        """The chunk, which had so many bytes. Its future raises BlobBroken for one that is gone."""
        ...


class LoopChunks(msgspec.Struct, frozen=True):
    """Chunks of a store that is used on one event loop."""

    run_id: str
    loop: asyncio.AbstractEventLoop
    #: Each takes run, name and number; `read` the size, too.
    write: Callable[[str, str, int, bytes], Awaitable[None]]
    read: Callable[[str, str, int, int], Awaitable[bytes]]

    def put(self, name: str, number: int, data: bytes) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(
            _awaited(self.write(self.run_id, name, number, data)), self.loop
        )

    def get(self, name: str, number: int, size: int) -> "Future[bytes]":
        return asyncio.run_coroutine_threadsafe(
            _awaited(self.read(self.run_id, name, number, size)), self.loop
        )


@dataclass(frozen=True, slots=True)
class MemoryChunks:
    """Chunks in this process's memory, for tests and for attempts by hand; it must hold them all."""

    run_id: str
    kept: dict[tuple[str, str, int], bytes] = field(default_factory=dict)
    loop: None = None

    def put(self, name: str, number: int, data: bytes) -> "Future[None]":
        self.kept[self.run_id, name, number] = data
        return ended(None)

    def get(self, name: str, number: int, size: int) -> "Future[bytes]":
        data = self.kept.get((self.run_id, name, number))
        return gone(f"{self.run_id}/{name}", number) if data is None else ended(data)


def chunks_in_memory() -> Callable[[str], Chunks]:
    """Gives the chunks of each run by its id, all in this process's memory."""
    return partial(MemoryChunks, kept={})


#: Those of the run whose values are being read or written; None outside of a run.
current_chunks: "ContextVar[Chunks | None]" = ContextVar("current_chunks", default=None)


def use_chunks(chunks: Chunks | None) -> None:
    """From now on blobs that are read in this context are of the run of `chunks`, and others are refused."""
    current_chunks.set(chunks)


def in_run(chunks: Chunks, function: Callable[..., T], *arguments: Any) -> T:
    """What `function` gives where the blobs that are read and written are of the run of `chunks`. Raises what it raises."""
    variables = copy_context()
    variables.run(use_chunks, chunks)
    return variables.run(function, *arguments)


def ended(value: T) -> "Future[T]":
    """A future that has its value."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


def gone(key: str, number: int) -> "Future[bytes]":
    """The future of a chunk that is not there."""
    future: Future[bytes] = Future()
    future.set_exception(BlobBroken(f"blob {key} is gone: its chunk {number} is not kept", "payload-missing"))
    return future


async def _awaited(work: Awaitable[T]) -> T:
    return await work
