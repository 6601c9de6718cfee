"""Uploads or copies the blobs of a value to its run."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from mousetrap.blobs.blob import Blob, not_uploaded
from mousetrap.blobs.chunks import Chunks
from mousetrap.blobs.writing import NewBlob

_FIELDS = frozenset(("blob", "sha256", "size"))


def has_blobs(raw: bytes) -> bool:
    """Whether the JSON may hold a blob: a look that costs little, before one that reads it."""
    return b'"sha256"' in raw and b'"blob"' in raw


def has_files(raw: bytes) -> bool:
    """Whether a blob in the JSON is a file that is not uploaded yet, as `Blob.of` makes it."""
    if not has_blobs(raw):
        return False
    found = (_blob_of(each) for each in _forms(msgspec.json.decode(raw)))
    return any(blob is not None and not blob.run_id for blob in found)


async def copy_blobs(raw: bytes, target: Chunks, source: Chunks | None = None) -> bytes:
    """The JSON `raw` with each blob in it made one of `target`'s run; the same bytes where there is none to make.

    A file of this process is uploaded, and a blob of `source`'s run is copied; both keep their names, so that a repeat writes
    the same. Raises ValueError for a blob of any other run, BlobBroken, and OSError for a file.
    """
    if not has_blobs(raw):
        return raw
    value = msgspec.json.decode(raw)
    changed = False
    for found in _forms(value):
        blob = _blob_of(found)
        if blob is None or blob.run_id == target.run_id:
            continue
        found["blob"] = (await _copy(_readable(blob, source), target)).blob
        changed = True
    return msgspec.json.encode(value) if changed else raw


def _readable(blob: Blob, source: Chunks | None) -> Blob:
    if not blob.run_id:
        return not_uploaded(blob.name)
    if source is None:
        raise ValueError(
            f"blob {blob.blob} belongs to run {blob.run_id}: a run reads its own blobs alone. Give the file, as Blob.of(path)"
        )
    return blob.within(source)


async def _copy(blob: Blob, target: Chunks) -> Blob:
    async with NewBlob(target, blob.name) as file:
        async for chunk in blob:
            await file.write(chunk)
    return file.blob


def _forms(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of the JSON form that a blob has."""
    if isinstance(value, dict):
        if value.keys() == _FIELDS:
            yield value
        else:
            for each in value.values():
                yield from _forms(each)
    elif isinstance(value, list):
        for each in value:
            yield from _forms(each)


def _blob_of(found: dict[str, Any]) -> Blob | None:
    with suppress(msgspec.ValidationError):  # an object of the user's with the same fields
        return msgspec.convert(found, Blob)
    return None
