"""Ends what lasts when the server stops."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

Item = TypeVar("Item")


async def until_stopped(stopping: asyncio.Event, items: AsyncIterator[Item]) -> AsyncIterator[Item]:
    """The items, until they end or the server stops."""
    stop = asyncio.create_task(stopping.wait())
    following = asyncio.create_task(_next(items))
    try:
        while True:
            await asyncio.wait({stop, following}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done() or (each := following.result()) is None:
                return
            yield each
            following = asyncio.create_task(_next(items))
    finally:
        stop.cancel()
        following.cancel()


async def _next(items: AsyncIterator[Item]) -> Item | None:
    return await anext(items, None)
