"""Looks at broker and store every few seconds, tells the registry what the worker does, and the log once a minute."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace

from mousetrap.jobs import MousetrapError, Queue
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.shapes import BEAT_S, Beat, Doing
from mousetrap.worker_registry import WorkerRegistry

#: Attempts that a beat lists.
_LISTED = 100
#: Seconds for broker or store to answer.
_PATIENCE = 2.0
#: Seconds between two turns of the event loop that the watchdog may count on.
_TURN = 0.25

_log = logging.getLogger("mousetrap.worker")


async def turn_for_ever(vitals: Vitals) -> None:
    """Shows that the event loop turns."""
    while True:
        vitals.turn()
        await asyncio.sleep(_TURN)


class Beating:
    """A worker's pulse; it never disturbs the worker, whatever is away."""

    def __init__(
        self,
        first: Beat,
        vitals: Vitals,
        queue: Queue,
        registry: WorkerRegistry,
        line_seconds: float,
    ) -> None:
        self._first = first
        self._vitals = vitals
        self._queue = queue
        self._registry = registry
        self._line_seconds = line_seconds
        self._store_answers = True

    async def beat_for_ever(self) -> None:
        """Each beat is a new look; a line of log comes with some of them."""
        line_due = time.monotonic() + self._line_seconds
        while True:
            await self._beat()
            if time.monotonic() >= line_due:
                line_due += self._line_seconds
                _log.info(self.line())
            await asyncio.sleep(min(BEAT_S, self._line_seconds))

    async def leave(self) -> None:
        """Takes the worker off the list; where that fails it is listed as stale for an hour."""
        await _trouble(self._registry.leave(self._first.name))

    def line(self) -> str:
        """What the worker is about, for its log."""
        stats = self._vitals.stats
        parts = [f"{part} {'away' if part in self._vitals.away else 'ok'}" for part in ("broker", "store")]
        counts = f"{len(stats.running())} running, {stats.done} done, {stats.failed} failed"
        return f"{self._vitals.state} {', '.join(self._first.queues)}: {counts}, {', '.join(parts)}"

    async def _beat(self) -> None:
        broker = await _trouble(self._queue.check()) is None
        self._vitals.look(broker=broker, store="store" not in self._vitals.away)
        store = await self._reaches_store()
        self._vitals.look(broker=broker, store=store)
        for queue in self._first.queues if broker and store else ():
            await _trouble(self._look_at(queue))

    async def _reaches_store(self) -> bool:
        """Beats; the log hears once when the store is away, and once when it is back."""
        trouble = await _trouble(self._registry.beat(self._now()))
        if trouble is not None and self._store_answers:
            _log.warning(
                "waiting for the store: %s. Check that it runs and that MOUSETRAP_STORE_URL names it", trouble
            )
        elif trouble is None and not self._store_answers:
            _log.info("the store answers again")
        self._store_answers = trouble is None
        return trouble is None

    async def _look_at(self, queue: str) -> None:
        """Tells the registry how far the worker has come in a queue of its."""
        await self._registry.look(queue, await self._queue.backlog(queue))

    def _now(self) -> Beat:
        stats, now = self._vitals.stats, time.monotonic()
        running = stats.running()
        return replace(
            self._first,
            state=self._vitals.state,
            done=stats.done,
            failed=stats.failed,
            running=len(running),
            doing=tuple(
                Doing(run_id=each.run_id, stage=each.stage, attempt=each.attempt, seconds=now - each.since)
                for each in running[:_LISTED]
            ),
        )


async def _trouble(question: Awaitable[None]) -> str | None:
    """Why there was no answer; None where there was one."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await question
    except MousetrapError as error:
        return str(error)
    except TimeoutError:
        return f"no answer in {_PATIENCE:g} s"
    return None
