"""Keeps the table of what runs: renews its claims, and stops what another worker has or nobody wants any more."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from mousetrap.jobs import Job, StoreUnreachable
from mousetrap.run_store import RunStore
from mousetrap.worker.attempt import Attempt
from mousetrap.worker.watching import Running

_log = logging.getLogger("mousetrap.worker")

#: Seconds between two questions whether the runs under way were called off: a cancel takes effect so late at most.
_LOOK = 0.5


class Leases:
    """The attempts under way in this worker, by job."""

    def __init__(self, store: RunStore, seconds: float) -> None:
        self.seconds = seconds
        self._store = store
        self._running: dict[tuple[str, int, int], Attempt] = {}

    def find(self, job: Job) -> Attempt | None:
        """The attempt under way that this very message stands for."""
        return self._running.get(_key(job))

    def running(self) -> Sequence[Running]:
        """The attempts that have their claim, oldest first."""
        return [
            Running(run_id=each.job.run_id, stage=each.job.stage, attempt=each.job.attempt, since=each.began)
            for each in self._running.values()
            if each.fence
        ]

    def hold(self, attempt: Attempt) -> None:
        """Puts the attempt in the table."""
        self._running[_key(attempt.job)] = attempt

    def drop(self, attempt: Attempt) -> None:
        """Takes it out."""
        del self._running[_key(attempt.job)]

    async def renew_for_ever(self) -> None:
        """Renews each third of a lease; an attempt whose job another worker took is stopped."""
        while True:
            await asyncio.sleep(self.seconds / 3)
            held = [attempt for attempt in self._running.values() if attempt.fence]
            kept = await asyncio.gather(*map(self._renew, held), return_exceptions=True)
            for attempt, result in zip(held, kept, strict=True):
                if result is False and self.find(attempt.job) is attempt:
                    _log.warning("another worker took a job over", extra={"run": attempt.job.run_id})
                    attempt.lose()

    async def call_off_for_ever(self) -> None:
        """Stops, soon after their run was ended from outside, the attempts whose handlers are at work."""
        while True:
            await asyncio.sleep(_LOOK)
            runs = list({attempt.job.run_id for attempt in self._running.values() if attempt.performing})
            ended: set[str] = set()
            with suppress(StoreUnreachable):  # asked again soon
                ended = await self._store.ended(runs) if runs else ended
            for attempt in list(self._running.values()):
                if attempt.performing and attempt.job.run_id in ended:
                    _log.info("stopping an attempt: its run was cancelled", extra={"run": attempt.job.run_id})
                    attempt.call_off()

    async def _renew(self, attempt: Attempt) -> bool:
        return await self._store.renew(attempt.job, fence=attempt.fence, lease=self.seconds)


def _key(job: Job) -> tuple[str, int, int]:
    """The same for every copy of a message, another one for the job's next attempt and its next round."""
    return job.id, job.generation, job.attempt
