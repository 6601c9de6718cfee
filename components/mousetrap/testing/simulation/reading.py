"""Reads the simulated store at once, without network and time."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from mousetrap.run_store import RunStore, StoredRun
from mousetrap.testing.simulation.simulation import Simulation
from mousetrap.testing.simulation.store_client import StoreClient

T = TypeVar("T")


class Reading:
    """The runs of a simulation, as `RunStore` reads them; also while the simulated store is away."""

    def __init__(self, simulation: Simulation) -> None:
        client: Any = _DirectClient(simulation)
        self._store = RunStore(client, "simulation", 1.0, 0)

    def run(self, run_id: str) -> StoredRun | None:
        """The run with its timeline."""
        return _at_once(self._store.get(run_id))


class _DirectClient(StoreClient):
    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation.store, simulation.open("reader", 0.0).process)
        self._server = simulation.server

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return [self._server.command(*command) for command in commands]

    async def _ask(self, what: str, act: Callable[[], Any]) -> Any:
        return act()


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The value of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    work.close()
    raise AssertionError("a read of the simulated store has to wait")
