"""Reads the simulated store at once, without network and time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from mousetrap.pipeline import Pipeline
from mousetrap.run_store import JobFilter, JobPlace, RunStore, StoredRun
from mousetrap.shapes import JobLine
from mousetrap.testing.simulation.simulation import KEYRING, Simulation
from mousetrap.testing.simulation.store_client import StoreClient

T = TypeVar("T")
_JOBS_A_PAGE = 500


class Reading:
    """The runs of a simulation, as `RunStore` reads them; also while the simulated store is away."""

    def __init__(self, simulation: Simulation) -> None:
        self._client: Any = _DirectClient(simulation)
        #: Kept: to start one costs a millisecond. It ends with this object.
        self._thread = ThreadPoolExecutor(1)

    def run(self, run_id: str) -> StoredRun | None:
        """The run with its timeline."""
        return self._outside(self._get(run_id))

    def jobs(self, run: StoredRun, pipeline: Pipeline) -> list[JobLine]:
        """All jobs of the run, those of fan-outs among them."""
        return self._outside(self._jobs(run, pipeline))

    async def _get(self, run_id: str) -> StoredRun | None:
        return await self._store().get(run_id)

    async def _jobs(self, run: StoredRun, pipeline: Pipeline) -> list[JobLine]:
        store, lines = self._store(), list[JobLine]()
        wanted = JobFilter(limit=_JOBS_A_PAGE)
        while True:
            page = await store.jobs(run, pipeline, wanted)
            lines += page.jobs
            if page.next is None:
                return lines
            wanted = replace(wanted, place=JobPlace.read(page.next))

    def _store(self) -> RunStore:
        return RunStore(self._client, "simulation", 1.0, 0, KEYRING)

    def _outside(self, read: Coroutine[Any, Any, T]) -> T:
        """What is read in another thread, while this one waits.

        Payloads are read in a task of their own, and the loop of this thread belongs to the simulation.
        """
        return self._thread.submit(asyncio.run, read).result()


class _DirectClient(StoreClient):
    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation.store, simulation.open("reader", 0.0).process)
        self._server = simulation.server

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return [self._server.command(*command) for command in commands]

    async def _ask(self, what: str, act: Callable[[], Any]) -> Any:
        return act()
