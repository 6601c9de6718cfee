"""Reads blobs as streams, and checks their hash as they go."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from mousetrap.blobs.chunks import CHUNK_BYTES, Chunks
from mousetrap.blobs.errors import BlobBroken


class Whole(NamedTuple):
    """What all bytes of a blob together must be."""

    key: str
    name: str
    sha256: str
    size: int

    @property
    def chunks(self) -> int:
        """How many chunks it has."""
        return -(-self.size // CHUNK_BYTES)

    def bytes_of(self, number: int) -> int:
        """How many bytes the chunk of this number has."""
        return min(CHUNK_BYTES, self.size - number * CHUNK_BYTES)


class _Check:
    """The hash of the chunks so far."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._hash = hashlib.sha256()
        self._read = 0

    def add(self, chunk: bytes) -> None:
        """Takes the next chunk. Raises BlobBroken for one of another length, and for a last one with which the hash differs."""
        key, _, sha256, size = self._whole
        expected = self._whole.bytes_of(self._read // CHUNK_BYTES)
        if len(chunk) != expected:
            where = f"after {self._read} bytes there are {len(chunk)}, and {expected} were written"
            raise BlobBroken(f"blob {key} was altered or cut: {where}")
        self._read += expected
        self._hash.update(chunk)
        if self._read == size and self._hash.hexdigest() != sha256:
            raise BlobBroken(f"blob {key} was altered: its hash is not the one that was written")


class _Ahead:
    """Asks for the next chunk while the one before it is in use."""

    def __init__(self, chunks: Chunks, whole: Whole) -> None:
        self._chunks = chunks
        self._whole = whole
        self._asked = 0
        self._next: Future[bytes] | None = None
        self._ask()

    def take(self) -> "Future[bytes] | None":
        """The next chunk; None after the last. `ask_next` follows once it is there."""
        return self._next

    def ask_next(self) -> None:
        self._next = None
        self._ask()

    def _ask(self) -> None:
        if self._asked < self._whole.chunks:
            self._next = self._chunks.get(self._whole.name, self._asked, self._whole.bytes_of(self._asked))
            self._asked += 1


class BlobReader(io.RawIOBase):
    """A blob as a raw file; `Blob.open` buffers it."""

    def __init__(self, chunks: Chunks, whole: Whole) -> None:
        self._ahead = _Ahead(chunks, whole)
        self._check = _Check(whole)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills `buffer` from the chunk at hand; 0 at the end. Raises BlobBroken."""
        if not self._rest:
            if (asked := self._ahead.take()) is None:
                return 0
            chunk = asked.result()
            self._check.add(chunk)
            self._rest = memoryview(chunk)
            self._ahead.ask_next()
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


async def read_async(chunks: Chunks, whole: Whole) -> AsyncIterator[bytes]:
    """The chunks of a blob in their order. Raises BlobBroken."""
    ahead, check = _Ahead(chunks, whole), _Check(whole)
    while (asked := ahead.take()) is not None:
        chunk = await asyncio.wrap_future(asked)
        check.add(chunk)
        ahead.ask_next()
        yield chunk
