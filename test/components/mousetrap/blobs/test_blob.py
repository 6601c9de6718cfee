"""Blobs as contracts, and which values they take."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

from mousetrap.blobs import CHUNK_BYTES, Blob, BlobBroken, MemoryChunks, NewBlob, in_run
from mousetrap.pipeline import ContractBroken, read, schema, write

HASH = hashlib.sha256(b"ham").hexdigest()
FORM = b'{"blob":"run-1/ham","sha256":"' + HASH.encode() + b'","size":3}'


class Video(msgspec.Struct):
    title: str
    frames: list[Blob]


class Model(pydantic.BaseModel):
    frames: list[Blob]


@dataclass
class Plain:
    frames: list[Blob]


class Typed(TypedDict):
    frames: list[Blob]


class Named(NamedTuple):
    frame: Blob


def test_its_json_form_is_a_key_a_hash_and_a_size() -> None:
    blob = Blob(blob="run-1/ham", sha256=HASH, size=3)

    assert write(blob, Blob) == FORM
    assert read(FORM, Blob) == blob
    assert (blob.key, blob.run_id, blob.name) == ("run-1/ham", "run-1", "ham")


@pytest.mark.parametrize("contract", [Model, Plain, Typed])
def test_it_may_be_a_part_of_any_contract(contract: Any) -> None:
    raw = b'{"frames":[' + FORM + b"]}"

    assert write(read(raw, contract), contract) == raw
    assert "sha256" in msgspec.json.encode(schema(contract)).decode()


def test_it_may_be_a_part_of_a_struct_and_of_a_named_tuple() -> None:
    video = read(b'{"title":"t","frames":[' + FORM + b"]}", Video)

    assert video.frames[0].size == 3
    assert read(b"[" + FORM + b"]", Named).frame.run_id == "run-1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("blob", "../../etc/passwd"),
        ("blob", "run-1/.."),
        ("blob", "run-1/a/b"),
        ("blob", "run-1/ham\n"),
        ("blob", ""),
        ("sha256", HASH.upper()),
        ("sha256", HASH[:-1]),
        ("size", -1),
        ("size", 1 << 60),
    ],
)
def test_what_is_no_blob_is_refused_with_its_place(field: str, value: Any) -> None:
    raw = msgspec.json.encode({"title": "t", "frames": [msgspec.json.decode(FORM) | {field: value}]})

    with pytest.raises(ContractBroken, match=field) as refused:
        read(raw, Video)
    assert refused.value.where == "$.frames[0]"


def test_a_run_refuses_the_blobs_of_others() -> None:
    in_run(MemoryChunks("run-1"), lambda: read(FORM, Blob))

    with pytest.raises(ContractBroken, match="another run, and this is run-2"):
        in_run(MemoryChunks("run-2"), lambda: read(FORM, Blob))
    with pytest.raises(ContractBroken, match="another run"):
        in_run(MemoryChunks("run-2"), lambda: read(b'{"frames":[' + FORM + b"]}", Model))
    outside = Blob(blob="run-1/ham", sha256=HASH, size=3)
    with pytest.raises(ContractBroken, match="another run"):
        in_run(MemoryChunks("run-2"), lambda: write(outside, Blob))


def test_a_run_refuses_a_file_that_is_not_uploaded() -> None:
    with pytest.raises(ContractBroken, match=r"Context\.new_blob"):
        in_run(MemoryChunks("run-1"), lambda: write(Blob.of(io.BytesIO(b"ham")), Blob))


def test_a_file_is_a_blob_by_its_path_or_open(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    (tmp_path / "file").write_bytes(data)

    for blob in (Blob.of(tmp_path / "file"), Blob.of(str(tmp_path / "file")), Blob.of(io.BytesIO(data))):
        assert (blob.size, blob.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        with blob.open() as file:
            assert file.read() == data


def test_a_file_that_cannot_be_read_twice_is_refused() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(ValueError, match="give its path"):
        Blob.of(Pipe(b"ham"))
    with pytest.raises(FileNotFoundError):
        Blob.of("/nowhere/at/all")


def test_a_file_that_changed_since_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"ham")
    blob = Blob.of(path)
    path.write_bytes(b"egg")

    with pytest.raises(BlobBroken, match="altered"):
        blob.open().read()


def test_one_that_was_read_outside_of_a_run_cannot_be_opened() -> None:
    with pytest.raises(RuntimeError, match="nothing knows where its bytes are"):
        read(FORM, Blob).open()


def test_a_chunk_has_as_many_bytes_as_it_had() -> None:
    assert CHUNK_BYTES == 4 * 1024 * 1024  # stored blobs are read with it


def test_equal_blobs_are_equal_wherever_they_are_read() -> None:
    with NewBlob(MemoryChunks("run-1"), "ham") as file:
        file.write(b"ham")

    assert file.blob == read(FORM, Blob)
    assert len({file.blob, read(FORM, Blob)}) == 1
