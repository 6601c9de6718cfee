"""The simulated clock waits for threads, and for none that never began."""

import asyncio
from concurrent.futures import Executor, Future
from contextlib import closing
from typing import Any

from mousetrap.testing.simulation.clock import SimulatedLoop
from mousetrap.testing.simulation.threads import ClockedThreads


class NoThreads(Executor):
    """Starts nothing."""

    def submit(self, *_: Any, **__: Any) -> "Future[Any]":
        return Future()


def test_the_clock_goes_on_after_a_call_that_was_taken_back_before_it_began() -> None:
    with closing(SimulatedLoop()) as loop:
        threads = ClockedThreads(loop)
        threads._threads = NoThreads()  # type: ignore[assignment]  # as where all threads are still to start

        async def take_back() -> float:
            loop.limit(5)
            assert threads.submit(print).cancel()
            await asyncio.sleep(60)
            return loop.time()

        assert loop.run_until_complete(take_back()) >= 60
