"""Tasks with blobs, performed in a test without any server."""

import io
import shutil
from typing import Any

import pytest

from mousetrap.blobs import Blob
from mousetrap.handlers import Context, chain, task
from mousetrap.testing import perform, perform_async, run


@task
def doubled(blob: Blob, context: Context[None]) -> Blob:
    with blob.open() as source, context.new_blob() as target:
        shutil.copyfileobj(source, target)
        target.write(b"more")
    return target.blob


@task
async def doubled_async(blob: Blob, context: Context[None]) -> Blob:
    async with context.new_blob() as target:
        async for chunk in blob:
            await target.write(chunk)
        await target.write(b"more")
    return target.blob


@pytest.mark.parametrize("work", [doubled, doubled_async])
def test_a_file_goes_in_and_a_stream_comes_out(work: Any) -> None:
    assert perform(work, Blob.of(io.BytesIO(b"ham and "))).open().read() == b"ham and more"


def test_a_chain_passes_a_stream_on() -> None:
    result = run(chain("twice", doubled, doubled_async), Blob.of(io.BytesIO(b"ham and ")))

    assert result.open().read() == b"ham and moremore"


async def test_async_code_reads_it_in_chunks() -> None:
    blob = await perform_async(doubled_async, Blob.of(io.BytesIO(b"ham and ")))

    assert [chunk async for chunk in blob] == [b"ham and more"]
