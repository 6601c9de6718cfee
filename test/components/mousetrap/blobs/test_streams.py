"""Blobs as streams: written, read, and found altered."""

import asyncio
import hashlib
import io
import random
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from mousetrap.blobs import CHUNK_BYTES, Blob, BlobBroken, LoopChunks, MemoryChunks, NewBlob

SIZES = (0, 1, 1_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_again(size: int) -> None:
    data, chunks = some_bytes(size), MemoryChunks("run")
    with NewBlob(chunks, "name") as target:
        shutil.copyfileobj(io.BytesIO(data), target, 99_991)

    blob = target.blob
    assert (blob.key, blob.size, blob.sha256) == ("run/name", size, hashlib.sha256(data).hexdigest())
    with blob.open() as file:
        assert file.read() == data
    assert len(chunks.kept) == -(-size // CHUNK_BYTES)


@pytest.mark.parametrize("size", SIZES)
async def test_what_async_code_writes_it_reads_again(size: int) -> None:
    data = some_bytes(size)
    async with NewBlob(MemoryChunks("run"), "name") as target:
        for start in range(0, size, 1_234_567):
            await target.write(memoryview(data)[start : start + 1_234_567])

    assert b"".join([chunk async for chunk in target.blob]) == data


def test_it_is_a_file_for_what_takes_files() -> None:
    with (
        NewBlob(MemoryChunks("run"), "name") as target,
        zipfile.ZipFile(target, "w") as archive,
    ):
        archive.writestr("ham.txt", "ham")

    assert zipfile.ZipFile(io.BytesIO(target.blob.open().read())).read("ham.txt") == b"ham"


@pytest.mark.parametrize(
    "harm",
    [
        lambda kept, key: kept.pop(key),
        lambda kept, key: kept.update({key: kept[key][:-1]}),
        lambda kept, key: kept.update({key: kept[key] + b"x"}),
        lambda kept, key: kept.update({key: b"x" + kept[key][1:]}),
    ],
    ids=["gone", "cut", "longer", "altered"],
)
@pytest.mark.parametrize("number", [0, 2])
async def test_a_blob_that_was_altered_raises_before_its_end(
    harm: Callable[..., object], number: int
) -> None:
    chunks = MemoryChunks("run")
    data = some_bytes(3 * CHUNK_BYTES - 5)
    async with NewBlob(chunks, "name") as target:
        await target.write(data)
    harm(chunks.kept, ("run", "name", number))
    read = []

    with pytest.raises(BlobBroken, match="run/name"):
        async for chunk in target.blob:
            read.append(chunk)
    assert len(b"".join(read)) <= 2 * CHUNK_BYTES  # the last chunk is not given out

    with pytest.raises(BlobBroken, match="run/name"):
        await asyncio.to_thread(lambda: target.blob.open().read())


def test_a_block_that_raises_leaves_no_blob() -> None:
    with pytest.raises(KeyError), NewBlob(MemoryChunks("run"), "name") as target:
        target.write(b"ham")
        raise KeyError

    with pytest.raises(RuntimeError, match="not complete"):
        _ = target.blob


def test_nothing_is_added_to_a_complete_blob() -> None:
    with NewBlob(MemoryChunks("run"), "name") as target:
        target.write(b"ham")

    with pytest.raises(ValueError, match="complete"):
        target.write(b"egg")


async def test_a_stream_on_an_event_loop_is_read_in_threads_and_on_the_loop() -> None:
    chunks, data = on_this_loop("run"), some_bytes(2 * CHUNK_BYTES + 1)

    def write() -> Blob:
        with NewBlob(chunks, "name") as target:
            target.write(data)
        return target.blob

    blob = await asyncio.to_thread(write)
    assert await asyncio.to_thread(lambda: blob.open().read()) == data
    assert b"".join([chunk async for chunk in blob]) == data


async def test_code_that_would_block_the_loop_of_the_chunks_is_refused() -> None:
    chunks = on_this_loop("run")
    async with NewBlob(chunks, "name") as target:
        await target.write(b"ham")

    with pytest.raises(RuntimeError, match="async for"):
        target.blob.open()
    with pytest.raises(RuntimeError, match="async with"), NewBlob(chunks, "other"):
        pass


async def test_one_chunk_is_under_way_while_another_is_in_use() -> None:
    chunks = Counting("run")
    async with NewBlob(chunks, "name") as target:
        await target.write(some_bytes(5 * CHUNK_BYTES))
    asked = [len(chunks.asked) async for _ in target.blob]

    assert asked == [2, 3, 4, 5, 5]


class Counting:
    """Notes what was asked for."""

    loop = None

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.asked: list[int] = []
        self._kept = MemoryChunks(run_id)

    def put(self, name: str, number: int, data: bytes) -> "Future[None]":
        return self._kept.put(name, number, data)

    def get(self, name: str, number: int, size: int) -> "Future[bytes]":
        self.asked.append(number)
        return self._kept.get(name, number, size)


def on_this_loop(run_id: str) -> LoopChunks:
    """Chunks that are kept by coroutines of the running loop."""
    kept = MemoryChunks(run_id)

    async def write(run_id: str, name: str, number: int, data: bytes) -> None:
        await asyncio.sleep(0)
        kept.put(name, number, data)

    async def read(run_id: str, name: str, number: int, size: int) -> bytes:
        await asyncio.sleep(0)
        return kept.get(name, number, size).result()

    return LoopChunks(run_id, asyncio.get_running_loop(), write, read)


def some_bytes(size: int) -> bytes:
    """So many bytes, each chunk another one."""
    return random.Random(7).randbytes(size)
