"""Keeps the table of what runs, and renews the claims in it, so that a claim ends only with its worker."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mousetrap.jobs import Job
from mousetrap.run_store import RunStore
from mousetrap.worker.attempt import Attempt

_log = logging.getLogger("mousetrap.worker")


class Leases:
    """The attempts under way in this worker, by job."""

    def __init__(self, store: RunStore, seconds: float) -> None:
        self.seconds = seconds
        self._store = store
        self._running: dict[str, Attempt] = {}

    def find(self, job: Job) -> Attempt | None:
        """The attempt under way that this very message stands for."""
        attempt = self._running.get(job.id)
        return attempt if attempt is not None and attempt.job.attempt == job.attempt else None

    @contextmanager
    def holding(self, attempt: Attempt) -> Iterator[None]:
        """The attempt stands in the table, and its handler is told to stop when it leaves."""
        self._running[attempt.job.id] = attempt
        try:
            yield
        finally:
            attempt.stopped.set()
            if self._running.get(attempt.job.id) is attempt:
                del self._running[attempt.job.id]

    async def renew_for_ever(self) -> None:
        """Renews each third of a lease; an attempt whose job another worker took is stopped."""
        while True:
            await asyncio.sleep(self.seconds / 3)
            held = [attempt for attempt in self._running.values() if attempt.fence]
            kept = await asyncio.gather(*map(self._renew, held), return_exceptions=True)
            for attempt, result in zip(held, kept, strict=True):
                if result is False and self._running.get(attempt.job.id) is attempt:
                    _log.warning("another worker took a job over", extra={"run": attempt.job.run_id})
                    attempt.lose()

    async def _renew(self, attempt: Attempt) -> bool:
        return await self._store.renew(attempt.job, fence=attempt.fence, lease=self.seconds)
