"""Takes from a worker's queues, but those that are paused."""

import asyncio
import logging
from collections.abc import Sequence

from mousetrap.jobs import Queue, Subscription
from mousetrap.worker.pauses import Pauses
from mousetrap.worker.stats import State, WorkerStats
from mousetrap.worker.turns import DEFECT_PAUSE_S, Turns

_log = logging.getLogger("mousetrap.worker")


class Subscriptions:
    """The subscriptions of a worker, one for each queue that is not paused.

    A queue that is paused loses its own alone. What came from it and has not begun goes back once the queue delivers no more, in
    the order in which it came; what runs is finished and settled as ever.
    """

    def __init__(
        self, queue: Queue, names: Sequence[str], prefetch: int, turns: Turns, pauses: Pauses
    ) -> None:
        self._queue = queue
        self._names = names
        self._prefetch = prefetch
        self._turns = turns
        self._pauses = pauses
        self._open: dict[str, Subscription] = {}
        #: Those that were begun with another prefetch.
        self._outdated: set[str] = set()

    def hold(self, prefetch: int) -> None:
        """Takes so many messages from each queue before one of them is settled, from now on."""
        self._prefetch = prefetch
        self._outdated = set(self._open)
        self._pauses.changed.set()

    @property
    def paused(self) -> tuple[str, ...]:
        """The queues that nothing is taken from."""
        return tuple(name for name in self._names if name not in self._open)

    @property
    def taken(self) -> tuple[str, ...]:
        """The queues that are taken from."""
        return tuple(name for name in self._names if name in self._open)

    async def begun(self) -> None:
        """Returns once each queue's server has the subscription."""
        for subscription in list(self._open.values()):
            await subscription.begun()

    async def bring(self, stats: WorkerStats) -> None:
        """Begins and ends subscriptions, so that they are as the pauses have it."""
        self._pauses.changed.clear()
        state: State = "draining" if self._pauses.everything else "serving"
        if state == "serving":
            # Before the first message comes: no job runs in a worker that is listed as starting.
            stats.change(state, tuple(name for name in self.paused if name in self._pauses))
        await asyncio.gather(*(self._bring(name) for name in self._names))
        stats.change(state, self.paused)

    async def follow(self, stats: WorkerStats) -> None:
        """Does so again whenever the pauses change, until it is cancelled."""
        while True:
            await self._pauses.changed.wait()
            before = self.paused
            try:
                await self.bring(stats)
            except Exception:  # noqa: BLE001  a defect of ours must not cost the worker
                _log.exception("could not follow a pause; it is tried again")
                await asyncio.sleep(DEFECT_PAUSE_S)
                self._pauses.changed.set()
            if self.paused != before:
                _log.info("takes from %s", ", ".join(self.taken) or "no queue")

    async def end(self) -> None:
        """Ends all of them."""
        await asyncio.gather(*(self._open[name].stop() for name in self.taken))

    async def _bring(self, name: str) -> None:
        if name not in self._pauses and name not in self._open:
            self._open[name] = await self._queue.consume(name, self._prefetch, self._turns.receive)
        elif name in self._pauses and name in self._open:
            await self._pause(name)
        elif name in self._outdated:
            # A broker takes a prefetch with a subscription; what came by the former one stays here.
            await self._open[name].stop()
            self._open[name] = await self._queue.consume(name, self._prefetch, self._turns.receive)
        self._outdated.discard(name)

    async def _pause(self, name: str) -> None:
        # Back only when the queue delivers no more: before that it would send them here again.
        waiting = self._turns.take_waiting_of(name)
        try:
            await self._open[name].stop()
            del self._open[name]
        finally:
            for delivery in (*waiting, *self._turns.take_waiting_of(name)):
                delivery.hand_back()
