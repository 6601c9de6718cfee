"""Runs periodic duties, each in a task of its own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mousetrap.jobs import MousetrapError
from mousetrap.shutdown import end_tasks

_log = logging.getLogger("mousetrap.housekeeping")


@dataclass(frozen=True, slots=True)
class Duty:
    """Work to repeat while the process runs. Several processes that do it at once must do no harm."""

    #: Seconds from the end of one round to the begin of the next.
    every_s: float
    #: One round. A MousetrapError ends the round: broker or store is away. So does any other error, which is logged.
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
        try:
            await duty.act()
        except MousetrapError:
            pass
        except Exception:  # noqa: BLE001  a fault of ours: without the next round the duty would end, and no one would see it
            _log.exception("a duty's round fails")
        await asyncio.sleep(duty.every_s)
