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
    """What `act` returns or raises for each item, in their order. Items of one id are done one after the other.

    So are those of several calls with one gate, in the order of the calls. While broker or store is away, the gate holds the
    items that have not begun: each would wait for its own deadline.
    """
    results: list[Result | Exception] = [RuntimeError("not tried")] * len(items)
    places = [
        gate.order.line_up(item.run_id) for item in items
    ]  # all at once: what another call has comes after
    numbers = iter(range(len(items)))

    async def work() -> None:
        for number in numbers:
            if (before := places[number].before) is not None:
                await before.wait()
            results[number] = await gate.run(partial(act, items[number]))
            gate.order.end(places[number])

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(WINDOW, len(items))):
                workers.create_task(work())
    finally:
        for place in places:  # where the call was cancelled, others may wait for what did not begin
            gate.order.end(place)
    return results
