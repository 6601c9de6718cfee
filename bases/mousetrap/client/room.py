"""Refuses new runs where dead queues or the store are full."""

import asyncio
import math
import time
from contextlib import suppress

from mousetrap.jobs import Outlet
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import RunStore
from mousetrap.submit_run import Intake, IntakeBounds

#: As old as a count may be, and as long as a submission waits for a new one: without an answer the last count stays.
_EVERY_S, _MEASURE_TIMEOUT_S = 5.0, 1.0


class Room:
    """Measures when runs are submitted, and not while the client is idle."""

    def __init__(self, outlet: Outlet, store: RunStore, bounds: IntakeBounds) -> None:
        #: Those that were submitted to: no other queue is counted.
        self._pipelines: dict[str, Pipeline] = {}
        self._intake = Intake(outlet, store, self._pipelines, bounds)
        self._measured = -math.inf
        self._measuring = asyncio.Lock()

    async def check(self, pipeline: Pipeline, size: int) -> None:
        """Returns if a run with `size` bytes of input may be accepted. Raises DeadLettersFull and StoreFull."""
        self._pipelines[pipeline.name] = pipeline
        if self._is_old():
            async with self._measuring:  # one for all who submit at the same time
                if self._is_old():
                    await self._measure()
        self._intake.check(pipeline, size)

    def _is_old(self) -> bool:
        return time.monotonic() - self._measured > _EVERY_S

    async def _measure(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_MEASURE_TIMEOUT_S):
                await self._intake.measure()
        self._measured = time.monotonic()
