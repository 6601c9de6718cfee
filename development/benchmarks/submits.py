"""Submits runs in one process, in a named way; prints the rate."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from benchmarks.ours import ORDER, PIPELINE, SETTINGS, submit
from mousetrap.client import AsyncClient

#: Runs that are submitted before, which declares and warms.
_WARM = 200


async def one_by_one(client: AsyncClient, runs: int) -> None:
    """Each once the one before is kept."""
    for _ in range(runs):
        await client.submit(PIPELINE, ORDER.payload)


async def at_once(client: AsyncClient, runs: int) -> None:
    """200 at a time, each by a call of its own."""
    for start in range(0, runs, _WARM):
        calls = [client.submit(PIPELINE, ORDER.payload) for _ in range(start, min(runs, start + _WARM))]
        await asyncio.gather(*calls)


async def many(client: AsyncClient, runs: int) -> None:
    """All by one call. Raises the first error that a run met."""
    for each in await client.submit_many(PIPELINE, [ORDER.payload] * runs):
        if each.error is not None:
            raise each.error


async def timed(work: Callable[[int], Awaitable[None]], runs: int) -> dict[str, float]:
    """Runs a second, and µs of this process's CPU for each."""
    await work(_WARM)
    began, cpu = time.perf_counter(), time.process_time()
    await work(runs)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"rate": runs / seconds, "cpu_us": cpu / runs * 1e6, "submitted": _WARM + runs}


async def measure(way: str, runs: int) -> dict[str, float]:
    """As a program does that has runs to start: by `submit_run`, or by a client over broker and store."""
    if way == "plain":
        return await timed(submit, runs)
    by = {"one": one_by_one, "at once": at_once, "many": many}[way]
    async with AsyncClient(settings=SETTINGS) as client:
        return await timed(lambda some: by(client, some), runs)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
