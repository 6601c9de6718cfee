"""Withdraws runs from a store that is away."""

import asyncio
from collections import Counter

from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store.packed.openings import NewRun
from mousetrap.run_store.packed.withdrawals import _FEW, Withdrawals
from mousetrap.run_store.records import RunFacts

RUNS, TIMEOUT_S = 1_000, 60.0


class Away:
    """Refuses all withdrawals until it serves."""

    def __init__(self) -> None:
        self.serves = False
        self.tried = 0
        self.withdrawn: Counter[str] = Counter()
        self._next = asyncio.Event()

    async def withdraw(self, run: NewRun, failure: str) -> None:
        self.tried += 1
        self._next.set()
        await asyncio.sleep(0)
        if not self.serves:
            raise StoreUnreachable("away")
        self.withdrawn[run.run_id] += 1

    async def a_try(self) -> int:
        """The calls of the next try."""
        self.tried = 0
        self._next.clear()
        await asyncio.wait_for(self._next.wait(), TIMEOUT_S)
        return self.tried


async def test_many_runs_that_wait_for_a_store_cost_an_outage_few_calls_each_time() -> None:
    runs = Away()
    withdrawals = Withdrawals(runs)  # type: ignore[arg-type]
    for number in range(RUNS):
        withdrawals.add(NewRun(f"r{number}", RunFacts(), b"1", "job"), "no")

    for _ in range(3):
        assert await runs.a_try() <= _FEW

    runs.serves = True
    async with asyncio.timeout(TIMEOUT_S):
        while withdrawals._task is not None:
            await asyncio.wait([withdrawals._task])
    assert runs.withdrawn == Counter(f"r{number}" for number in range(RUNS))
