"""Reads chunks of a blob that is a file of this process."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from mousetrap.blobs.chunks import CHUNK_BYTES, ended

_seeking = Lock()


@dataclass(frozen=True, slots=True)
class FileChunks:
    """A file, by its path or open; it cannot be written."""

    source: Path | BinaryIO
    run_id: str = ""
    loop: None = None

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file; one that was given open is left open."""
        if isinstance(self.source, Path):
            with self.source.open("rb") as file:
                yield file
        else:
            with _seeking:
                yield self.source

    def measure(self) -> tuple[str, int]:
        """Its hash, as hexadecimal digits, and its size. Raises OSError."""
        hashed, size = hashlib.sha256(), 0
        with self.opened() as file:
            file.seek(0)
            while part := file.read(CHUNK_BYTES):
                hashed.update(part)
                size += len(part)
        return hashed.hexdigest(), size

    def put(self, name: str, number: int, data: bytes) -> "Future[None]":
        """Raises TypeError."""
        raise TypeError("the blob is a file of this process: nothing is written to it")

    def get(self, name: str, number: int, size: int) -> "Future[bytes]":
        """The chunk, read at once. Raises OSError."""
        with self.opened() as file:
            file.seek(number * CHUNK_BYTES)
            return ended(file.read(CHUNK_BYTES))
