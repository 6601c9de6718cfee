"""The contract of what is read as a stream."""

import asyncio
import io
import os
import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from mousetrap.blobs.chunks import Chunks, current_chunks
from mousetrap.blobs.file_chunks import FileChunks
from mousetrap.blobs.reading import BlobReader, Whole, read_async

#: What a key may be: safe in a URL, a path and a store's key. One without a run's id is not uploaded yet.
_KEY = re.compile(r"([A-Za-z0-9_-]{1,64}/)?[A-Za-z0-9_-]{1,56}")
_HASH = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1 << 50
#: Digits of its hash that name a file.
_NAME = 40


@dataclass(frozen=True)
class Blob:
    """Bytes of any length that belong to one run; a contract, alone or as a field of another.

    `with blob.open() as file` reads it in a sync handler, `async for chunk in blob` in an async one: bytes of 4 MiB at most.
    """

    #: RUN_ID/NAME; only a name before it is uploaded.
    blob: str
    #: Of all its bytes, as 64 hexadecimal digits.
    sha256: str
    #: Bytes.
    size: int

    def __post_init__(self) -> None:
        """Raises ValueError for what is no blob, and for one of another run than the one whose values are being read."""
        if not _KEY.fullmatch(self.blob):
            raise ValueError("`blob` is RUN_ID/NAME, of letters, digits, _ and -")
        if not _HASH.fullmatch(self.sha256):
            raise ValueError("`sha256` is 64 hexadecimal digits in lower case")
        if not 0 <= self.size <= _LARGEST:
            raise ValueError(f"`size` is a number of bytes from 0 to {_LARGEST}")
        chunks = current_chunks.get()
        if chunks is not None:
            self._check_run(chunks.run_id)
        object.__setattr__(self, "_chunks", chunks)

    @classmethod
    def of(cls, source: "str | os.PathLike[str] | BinaryIO") -> "Blob":
        """The blob of a file, by its path or open and seekable; read once now for its hash, and again when it is uploaded.

        Raises OSError for a file that cannot be read, and ValueError for one that cannot be read twice.
        """
        if not isinstance(source, str | os.PathLike) and not source.seekable():
            raise ValueError(
                "the file can be read only once, and its hash is needed first: write it to disk, and give its path"
            )
        chunks = FileChunks(Path(source) if isinstance(source, str | os.PathLike) else source)
        sha256, size = chunks.measure()
        outside = current_chunks.set(None)  # in a handler it is for another run, which is to be submitted
        try:
            blob = cls(blob=sha256[:_NAME], sha256=sha256, size=size)
        finally:
            current_chunks.reset(outside)
        object.__setattr__(blob, "_chunks", chunks)
        _not_uploaded[blob.name] = blob
        if isinstance(source, str | os.PathLike):
            _latest.append(blob)
        return blob

    @property
    def key(self) -> str:
        """Where it is kept: RUN_ID/NAME."""
        return self.blob

    @property
    def run_id(self) -> str:
        """The run that it belongs to; empty before it is uploaded."""
        return self.blob.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name, unique in its run."""
        return self.blob.rpartition("/")[2]

    def open(self) -> io.BufferedReader:
        """Its bytes as a file, from the start; it is not seekable, and several may be open.

        Reading raises BlobBroken where it is gone, altered or cut, at the latest before its last chunk is given.
        Raises RuntimeError on the event loop that brings the chunks, which must not wait for them.
        """
        chunks = self._opened()
        if chunks.loop is not None and asyncio._get_running_loop() is chunks.loop:
            raise RuntimeError(
                "open() would block the event loop that brings the blob: use `async for chunk in blob`"
            )
        return io.BufferedReader(BlobReader(chunks, self._whole))

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Its bytes in chunks, from the start. Raises as `open` does when it reads."""
        return read_async(self._opened(), self._whole)

    def within(self, chunks: Chunks) -> "Blob":
        """The same blob, which is of the run of `chunks` and read from there. Raises ValueError for one of another run."""
        self._check_run(chunks.run_id)
        blob = Blob(blob=self.blob, sha256=self.sha256, size=self.size)
        object.__setattr__(blob, "_chunks", chunks)
        return blob

    @property
    def _whole(self) -> Whole:
        return Whole(self.blob, self.name, self.sha256, self.size)

    def _opened(self) -> Chunks:
        chunks: Chunks | None = self.__dict__.get("_chunks")
        if chunks is None:
            raise RuntimeError(
                f"blob {self.blob} was read outside of a run, and nothing knows where its bytes are: take it from a handler's "
                "input or from the result that a client gives"
            )
        return chunks

    def _check_run(self, run_id: str) -> None:
        if not self.run_id:
            raise ValueError(
                "the blob is not in the payload store: write it with Context.new_blob, or submit Blob.of(…) with a client"
            )
        if self.run_id != run_id:
            raise ValueError(
                f"the blob belongs to another run, and this is {run_id}: a run reads its own blobs alone"
            )


#: Those made of files, by their name, as long as someone has them: their JSON form is all that a contract leaves of them.
_not_uploaded: "WeakValueDictionary[str, Blob]" = WeakValueDictionary()
#: The latest with a path, which cost little: a caller may drop a value once it is encoded.
_latest: "deque[Blob]" = deque(maxlen=10_000)


def not_uploaded(name: str) -> Blob:
    """The blob of a file of this process. Raises ValueError where there is none of this name."""
    blob = _not_uploaded.get(name)
    if blob is None:
        raise ValueError(f"no file of this process is blob {name}: submit the value that Blob.of(…) gave")
    return blob
