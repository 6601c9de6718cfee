"""Sends what a worker has counted along with its heartbeat."""

from collections.abc import Mapping

from mousetrap.run_store import RunStore
from mousetrap.stage_minutes import Minutes, StageCounts
from mousetrap.worker_registry import WorkerRegistry


class CountsReport:
    """Sends the counts of the last seconds, and which messages come later; what the store did not take goes with the next beat."""

    def __init__(self, counts: StageCounts, registry: WorkerRegistry, store: RunStore) -> None:
        self._counts = counts
        self._minutes = Minutes(registry.client, registry.place)
        self._store = store

    async def send(self, ready: Mapping[str, int]) -> None:
        """Sends them. `ready` are the jobs that wait, by queue. Raises StoreUnreachable."""
        taken = self._counts.take()
        try:
            await self._minutes.add(taken, ready)
        except BaseException:
            self._counts.put_back(taken)
            raise
        # Lost where this fails: a number of delayed messages is too small then, until they are due.
        await self._store.note_later(self._counts.take_later())
