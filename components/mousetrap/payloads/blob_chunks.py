"""Keeps the chunks of blobs among the payloads of their runs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mousetrap.blobs import BlobBroken, Chunks, LoopChunks
from mousetrap.jobs import PayloadMissing
from mousetrap.payloads.payloads import Payloads

#: Makes a call of what its first argument names, again where the payloads are away.
Call = Callable[..., Awaitable[Any]]


def chunks_of(payloads: Payloads, call: Call | None = None) -> Callable[[str], Chunks]:
    """Gives the chunks of each run by its id, to be used on the running event loop or through it.

    `call` waits for payloads that are away; without it the streams raise StoreUnreachable, as Payloads does.
    """
    loop = asyncio.get_running_loop()
    make = call or _at_once

    async def write(run_id: str, name: str, number: int, data: bytes) -> None:
        await make("put blobs", payloads.put_chunk, run_id, name, number, data)

    async def read(run_id: str, name: str, number: int, size: int) -> bytes:
        try:
            data: bytes = await make("get blobs", payloads.get_chunk, run_id, name, number, size)
        except PayloadMissing as error:
            raise BlobBroken(error.outside(), "payload-missing") from error
        return data

    return lambda run_id: LoopChunks(run_id, loop, write, read)


async def _at_once(act: str, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    return await function(*arguments)
