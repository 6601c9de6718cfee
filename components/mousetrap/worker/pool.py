"""Runs more jobs at once while they wait, fewer when idle."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from mousetrap.worker.attempts import Attempts
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.stats import WorkerStats
from mousetrap.worker.subscriptions import Subscriptions
from mousetrap.worker.turns import Turns

#: Between two looks, and for how many of them half of the slots must have been free before some go.
_LOOK_S, _QUIET_LOOKS = 1.0, 30

_log = logging.getLogger("mousetrap.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a pool is asked to do."""

    #: Jobs that may run at once now, those that do, and the most that did lately.
    size: int
    busy: int
    busiest: int
    #: Whether the worker holds jobs that wait for a slot.
    waiting: bool


def next_size(least: int, most: int, load: Load) -> int:
    """How many jobs may run at once from now on.

    It doubles while jobs wait for a slot, and halves where half of the slots were enough lately: under a steady load it stands
    still, for what it shrinks to has room for the busiest moment.
    """
    if load.waiting and load.busy >= load.size:
        return min(most, 2 * load.size)
    if 2 * load.busiest <= load.size:
        return max(least, load.busiest, load.size // 2)
    return load.size


class Pool:
    """Follows what waits in the worker, between the bounds of its options."""

    def __init__(
        self,
        options: WorkerOptions,
        attempts: Attempts,
        turns: Turns,
        taking: Subscriptions,
        stats: WorkerStats,
    ) -> None:
        self._options = options
        self._attempts = attempts
        self._turns = turns
        self._taking = taking
        self._stats = stats
        self._busy = deque[int](maxlen=_QUIET_LOOKS)

    async def follow(self) -> None:
        """Looks once a second, until it is cancelled; never where the bounds are the same."""
        while self._options.most > self._options.concurrency:
            await asyncio.sleep(_LOOK_S)
            self._look()

    def _look(self) -> None:
        attempts = self._attempts
        self._busy.append(attempts.held)
        # Before it has looked for so long, it does not know how busy it was.
        busiest = max(self._busy) if len(self._busy) == _QUIET_LOOKS else attempts.room
        load = Load(size=attempts.room, busy=attempts.held, busiest=busiest, waiting=self._turns.waiting)
        size = next_size(self._options.concurrency, self._options.most, load)
        if size != attempts.room:
            self._resize(size)

    def _resize(self, size: int) -> None:
        """What the worker holds follows in proportion: others are to take what it has no slots for."""
        _log.info(
            "runs up to %d jobs at once, as %s",
            size,
            "jobs wait" if size > self._attempts.room else "it was idle",
        )
        self._busy.clear()
        self._attempts.room = self._stats.concurrency = size
        self._taking.hold(max(1, self._options.prefetch * size // self._options.concurrency))
        self._turns.soon()
