"""Waits out an outage of the broker or the store: says so once, tries again, and says once when it is over."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from mousetrap.jobs import MousetrapError, RecordDamaged
from mousetrap.shutdown import AGAIN_S

T = TypeVar("T")

_log = logging.getLogger("mousetrap.worker")

#: Seconds; the pause grows from the first to the second.
_SHORTEST, _LONGEST = 0.1, 2.0


class StoppedWaiting(Exception):
    """The worker was told to stop before it had what it waited for."""


@asynccontextmanager
async def unless(stop: asyncio.Event) -> AsyncIterator[None]:
    """Cancels what the block awaits while `stop` is set, and raises StoppedWaiting in the place of what that raises."""
    task, sent = asyncio.current_task(), 0
    assert task is not None

    async def insist() -> None:
        nonlocal sent
        await stop.wait()
        while True:
            sent += 1
            task.cancel()
            await asyncio.sleep(AGAIN_S)

    insisting = asyncio.create_task(insist())
    try:
        yield
    except BaseException as error:
        if not sent or task.cancelling() > sent:
            raise
        raise StoppedWaiting from error
    finally:
        insisting.cancel()
        for _ in range(sent):
            task.uncancel()
    if stop.is_set():
        raise StoppedWaiting


class Patience:
    """Shared by all jobs of a worker, so that a hundred waiting jobs make one line of log, not a hundred."""

    def __init__(self) -> None:
        self._waiting_for: set[str] = set()

    async def until_done(
        self, what: str, act: Callable[[], Awaitable[T]], stop: asyncio.Event | None = None
    ) -> T:
        """What `act` gives, however long its errors last; ended by cancellation, or by StoppedWaiting when `stop` is set.

        RecordDamaged is raised at once: it concerns one job, and does not end by itself.
        """
        pause = _SHORTEST
        while True:
            try:
                result = await act()
            except RecordDamaged:
                raise
            except MousetrapError as error:
                self._say_once(what, error)
            else:
                if self._waiting_for:
                    self._over(what)
                return result
            if stop is not None and stop.is_set():
                raise StoppedWaiting(what)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(_LONGEST, pause * 2)

    def _say_once(self, what: str, error: MousetrapError) -> None:
        if what not in self._waiting_for:
            self._waiting_for.add(what)
            _log.warning("waiting to %s: %s", what, error)

    def _over(self, what: str) -> None:
        if what in self._waiting_for:
            self._waiting_for.discard(what)
            _log.info("able to %s again", what)
