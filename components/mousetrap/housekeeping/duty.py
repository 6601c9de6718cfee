"""Runs periodic duties, each in a task of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from mousetrap.jobs import MousetrapError
from mousetrap.shutdown import end_tasks


@dataclass(frozen=True, slots=True)
class Duty:
    """Work to repeat while the process runs. Several processes that do it at once must do no harm."""

    #: Seconds from the end of one round to the begin of the next.
    every_s: float
    #: One round. A MousetrapError ends the round: broker or store is away.
    act: Callable[[], Awaitable[object]]


@asynccontextmanager
async def run_duties(duties: Sequence[Duty]) -> AsyncIterator[None]:
    """Repeats each duty while the block is open, beginning at once."""
    tasks = [asyncio.create_task(_repeat(duty)) for duty in duties]
    try:
        yield
    finally:
        await end_tasks(*tasks)


async def _repeat(duty: Duty) -> None:
    while True:
        with suppress(MousetrapError):
            await duty.act()
        await asyncio.sleep(duty.every_s)
