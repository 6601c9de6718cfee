"""Reads the simulated store at once, without network and time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mousetrap.run_store import RunStore, StoredRun
from mousetrap.testing.simulation.simulation import Simulation
from mousetrap.testing.simulation.store_client import StoreClient


class Reading:
    """The runs of a simulation, as `RunStore` reads them; also while the simulated store is away."""

    def __init__(self, simulation: Simulation) -> None:
        self._client: Any = _DirectClient(simulation)

    def run(self, run_id: str) -> StoredRun | None:
        """The run with its timeline.

        Payloads are read in a task of their own, and the loop of this thread belongs to the simulation: another thread reads,
        half a millisecond of processor time, while this one waits.
        """
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._get(run_id)).result()

    async def _get(self, run_id: str) -> StoredRun | None:
        return await RunStore(self._client, "simulation", 1.0, 0).get(run_id)


class _DirectClient(StoreClient):
    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation.store, simulation.open("reader", 0.0).process)
        self._server = simulation.server

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return [self._server.command(*command) for command in commands]

    async def _ask(self, what: str, act: Callable[[], Any]) -> Any:
        return act()
