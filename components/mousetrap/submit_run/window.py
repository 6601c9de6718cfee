"""Does many submissions, a bounded number at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from mousetrap.submit_run.gate import Gate

#: Enough to fill the store's batches and the confirms under way; more would only wait there, in memory.
WINDOW = 512


class _WithId(Protocol):
    @property
    def run_id(self) -> str: ...


Item = TypeVar("Item", bound=_WithId)
Result = TypeVar("Result")


async def in_a_window(
    items: Sequence[Item], act: Callable[[Item], Awaitable[Result]], gate: Gate
) -> list[Result | Exception]:
    """What `act` returns or raises for each item, in their order. Two items of one id are done one after the other.

    While broker or store is away, the gate holds the items that have not begun: each would wait for its own deadline.
    """
    results: list[Result | Exception] = [RuntimeError("not tried")] * len(items)
    places = iter(range(len(items)))
    before = _earlier(items)
    done = {place: asyncio.Event() for place in before.values()}

    async def work() -> None:
        for place in places:
            if place in before:
                await done[before[place]].wait()
            results[place] = await gate.run(partial(act, items[place]))
            if place in done:
                done[place].set()

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(WINDOW, len(items))):
            workers.create_task(work())
    return results


def _earlier(items: Sequence[Item]) -> dict[int, int]:
    """For the place of each item whose id came before: the place where it came last."""
    last: dict[str, int] = {}
    before: dict[int, int] = {}
    for place, item in enumerate(items):
        if item.run_id in last:
            before[place] = last[item.run_id]
        last[item.run_id] = place
    return before
