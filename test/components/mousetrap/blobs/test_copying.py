"""Blobs of a value, uploaded from files or copied from another run."""

import io
from pathlib import Path

import msgspec
import pytest

from mousetrap.blobs import Blob, BlobBroken, MemoryChunks, NewBlob, copy_blobs


async def test_files_are_uploaded_wherever_they_are_in_the_value() -> None:
    ham, egg = Blob.of(io.BytesIO(b"ham")), Blob.of(io.BytesIO(b"egg"))
    target = MemoryChunks("run-1")

    raw = await copy_blobs(msgspec.json.encode({"a": [1, {"b": ham}], "c": egg}), target)

    value = msgspec.json.decode(raw)
    assert value["a"][1]["b"] == {"blob": f"run-1/{ham.sha256[:40]}", "sha256": ham.sha256, "size": 3}
    assert sorted(target.kept.values()) == [b"egg", b"ham"]


async def test_a_repeat_writes_the_same() -> None:
    blob, target = Blob.of(io.BytesIO(b"ham")), MemoryChunks("run-1")
    raw = msgspec.json.encode(blob)

    assert await copy_blobs(raw, target) == await copy_blobs(raw, target)
    assert len(target.kept) == 1


async def test_a_file_by_its_path_is_uploaded_after_its_value_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "ham").write_bytes(b"ham")
    raw, target = msgspec.json.encode(Blob.of(tmp_path / "ham")), MemoryChunks("run-1")

    await copy_blobs(raw, target)

    assert list(target.kept.values()) == [b"ham"]


async def test_a_value_without_blobs_stays_as_it_is() -> None:
    raw = b'{"a": 1.50,   "blob": "x"}'

    assert await copy_blobs(raw, MemoryChunks("run-1")) is raw
    form = b'{ "blob": 1, "sha256": 2, "size": 3 }'  # of the user's own
    assert await copy_blobs(form, MemoryChunks("run-1")) is form


async def test_a_run_s_own_blobs_stay_as_they_are() -> None:
    chunks = MemoryChunks("run-1")
    async with NewBlob(chunks, "name") as target:
        await target.write(b"ham")
    raw = msgspec.json.encode([target.blob])

    assert await copy_blobs(raw, chunks) is raw


async def test_a_rerun_copies_the_blobs_of_the_run_that_it_repeats() -> None:
    first, second = MemoryChunks("run-1"), MemoryChunks("run-2")
    async with NewBlob(first, "name") as target:
        await target.write(b"ham")

    raw = await copy_blobs(msgspec.json.encode([target.blob]), second, first)

    assert msgspec.json.decode(raw, type=list[Blob])[0].key == "run-2/name"
    assert list(second.kept.values()) == [b"ham"]


async def test_the_blob_of_any_other_run_is_refused() -> None:
    first, third = MemoryChunks("run-1"), MemoryChunks("run-3")
    async with NewBlob(first, "name") as target:
        await target.write(b"ham")
    raw = msgspec.json.encode(target.blob)

    with pytest.raises(ValueError, match="its own blobs alone"):
        await copy_blobs(raw, MemoryChunks("run-2"))
    with pytest.raises(ValueError, match="another run"):
        await copy_blobs(raw, MemoryChunks("run-2"), third)


async def test_a_file_that_is_not_here_and_a_blob_that_is_gone_are_refused() -> None:
    form = {"blob": "0" * 40, "sha256": "0" * 64, "size": 3}
    with pytest.raises(ValueError, match="no file of this process"):
        await copy_blobs(msgspec.json.encode(form), MemoryChunks("run-1"))

    form["blob"] = "run-1/gone"
    with pytest.raises(BlobBroken, match="gone"):
        await copy_blobs(msgspec.json.encode(form), MemoryChunks("run-2"), MemoryChunks("run-1"))
