"""Writes blobs as streams."""

import asyncio
import hashlib
import io
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from mousetrap.blobs.blob import Blob
from mousetrap.blobs.chunks import CHUNK_BYTES, Chunks


class _Parts:
    """Cuts what is written into chunks, and counts and hashes them."""

    def __init__(self, chunks: Chunks, name: str) -> None:
        self._chunks = chunks
        self._name = name
        self._hash = hashlib.sha256()
        self._size = 0
        self._count = 0
        self._rest = bytearray()
        self._blob: Blob | None = None

    @property
    def blob(self) -> Blob:
        if self._blob is None:
            raise RuntimeError("the blob is not complete: take `blob` after its `with` block")
        return self._blob

    def check_open(self) -> None:
        if self._blob is not None:
            raise ValueError("the blob is complete: nothing can be added to it")

    def add(self, data: memoryview) -> int:
        """Takes as much as the chunk at hand has room for; how many bytes."""
        taken = data[: CHUNK_BYTES - len(self._rest)]
        self._rest += taken
        return len(taken)

    @property
    def is_full(self) -> bool:
        return len(self._rest) == CHUNK_BYTES

    def put(self) -> "Future[None]":
        """Sends the chunk at hand."""
        data, self._rest = bytes(self._rest), bytearray()
        self._hash.update(data)
        self._size += len(data)
        self._count += 1
        return self._chunks.put(self._name, self._count - 1, data)

    def put_last(self) -> "Future[None] | None":
        return self.put() if self._rest else None

    def complete(self) -> None:
        key = f"{self._chunks.run_id}/{self._name}"
        self._blob = Blob(blob=key, sha256=self._hash.hexdigest(), size=self._size).within(self._chunks)


class BlobWriter(io.BufferedIOBase):
    """A blob that is being written, as a file; `blob` is there after its block."""

    def __init__(self, chunks: Chunks, name: str) -> None:
        self._parts = _Parts(chunks, name)
        self._sent: Future[None] | None = None

    @property
    def blob(self) -> Blob:
        """The blob. Raises RuntimeError before it is complete."""
        return self._parts.blob

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """Adds bytes; one chunk is on its way while the next is filled."""
        self._parts.check_open()
        rest = whole = memoryview(data).cast("B")
        while rest:
            rest = rest[self._parts.add(rest) :]
            if self._parts.is_full:
                self._wait()
                self._sent = self._parts.put()
        return len(whole)

    def complete(self) -> None:
        """Returns once all of it is kept."""
        self._wait()
        self._sent = self._parts.put_last()
        self._wait()
        self._parts.complete()

    def _wait(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.result()


class AsyncBlobWriter:
    """A blob that is being written by async code; `blob` is there after its block."""

    def __init__(self, chunks: Chunks, name: str) -> None:
        self._parts = _Parts(chunks, name)
        self._sent: Future[None] | None = None

    @property
    def blob(self) -> Blob:
        """The blob. Raises RuntimeError before it is complete."""
        return self._parts.blob

    async def write(self, data: "bytes | bytearray | memoryview") -> int:
        """As BlobWriter.write."""
        self._parts.check_open()
        rest = whole = memoryview(data).cast("B")
        while rest:
            rest = rest[self._parts.add(rest) :]
            if self._parts.is_full:
                await self._wait()
                self._sent = self._parts.put()
        return len(whole)

    async def complete(self) -> None:
        """Returns once all of it is kept."""
        await self._wait()
        self._sent = self._parts.put_last()
        await self._wait()
        self._parts.complete()

    async def _wait(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:
            await asyncio.wrap_future(sent)


class NewBlob:
    """A blob to write: `with new as file: file.write(…)`, or `async with new as file: await file.write(…)`; then `file.blob`.

    A block that raises leaves no blob.
    """

    def __init__(self, chunks: Chunks, name: str) -> None:
        self._chunks = chunks
        self._name = name
        self._writer: BlobWriter | None = None
        self._async_writer: AsyncBlobWriter | None = None

    def __enter__(self) -> BlobWriter:
        """The file to write. Raises RuntimeError on the event loop that takes the chunks, which must not wait for them."""
        loop = self._chunks.loop
        if loop is not None and asyncio._get_running_loop() is loop:
            raise RuntimeError("`with` would block the event loop that takes the blob: use `async with`")
        self._writer = BlobWriter(self._chunks, self._name)
        return self._writer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._writer is not None:
            self._writer.complete()

    async def __aenter__(self) -> AsyncBlobWriter:
        """What to write to."""
        self._async_writer = AsyncBlobWriter(self._chunks, self._name)
        return self._async_writer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._async_writer is not None:
            await self._async_writer.complete()
