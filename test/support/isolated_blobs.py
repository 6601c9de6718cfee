"""Handlers that read and write blobs in processes of their own."""

import shutil
import time
from typing import Any

from mousetrap.blobs import Blob
from mousetrap.handlers import Context


def copy(blob: Blob, context: Context[Any]) -> Blob:
    """The same bytes as a new blob."""
    with blob.open() as source, context.new_blob() as target:
        shutil.copyfileobj(source, target)
    return target.blob


async def copy_async(blob: Blob, context: Context[Any]) -> Blob:
    """As `copy`."""
    async with context.new_blob() as target:
        async for chunk in blob:
            await target.write(chunk)
    return target.blob


def copy_for_long(blob: Blob, context: Context[Any]) -> Blob:
    """Copies until it is interrupted."""
    while True:
        copy(blob, context)
        context.progress(1)
        time.sleep(0)
