"""Values that are read and written as streams, never held in memory."""

from mousetrap.blobs.blob import Blob
from mousetrap.blobs.chunks import (
    CHUNK_BYTES,
    Chunks,
    LoopChunks,
    MemoryChunks,
    chunks_in_memory,
    in_run,
    use_chunks,
)
from mousetrap.blobs.copying import copy_blobs, has_blobs, has_files
from mousetrap.blobs.errors import BlobBroken
from mousetrap.blobs.writing import AsyncBlobWriter, BlobWriter, NewBlob

__all__ = [
    "CHUNK_BYTES",
    "AsyncBlobWriter",
    "Blob",
    "BlobBroken",
    "BlobWriter",
    "Chunks",
    "LoopChunks",
    "MemoryChunks",
    "NewBlob",
    "chunks_in_memory",
    "copy_blobs",
    "has_blobs",
    "has_files",
    "in_run",
    "use_chunks",
]
