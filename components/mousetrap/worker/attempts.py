"""Finds, renews and stops the attempts under way in a worker."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mousetrap.handlers import BoundHandler
from mousetrap.jobs import Delivery, Job, StoreUnreachable
from mousetrap.pipeline import Stage
from mousetrap.run_store import RunStore
from mousetrap.telemetry import Observer
from mousetrap.worker.stats import Running

#: Seconds between two questions whether runs under way were cancelled: a cancel takes effect so late at most.
_CANCEL_POLL_S = 0.5


@dataclass(slots=True)
class Attempt:
    """One job under way, the only thing of a worker that changes.

    1. It begins when a delivery brings its job, and is in the table from then on.
    2. `fence` is set once the store has granted the claim.
    3. `running` is true from just before the handler's start until its end.
    4. It may be stopped: `lost` to another worker, or `cancelled` with its run.
    5. It ends when its deliveries are settled, and leaves the table.
    """

    job: Job
    #: The queue that the job came from.
    queue: str
    #: None where this worker has no handler for the job's stage.
    handler: BoundHandler | None
    #: The stage that takes its output; None after the last, and without a handler.
    next_stage: Stage | None
    #: Usually one. After a lost connection the queue delivers the message again, and this attempt takes that delivery over.
    deliveries: list[Delivery]
    task: "asyncio.Task[Any]"
    #: 0 until the store granted the claim.
    fence: int = 0
    #: On time.monotonic()'s clock.
    began: float = field(default_factory=time.monotonic)
    running: bool = False
    #: Whether the store has counted its start: a suspect's only once it is alone.
    counted: bool = False
    lost: bool = False
    cancelled: bool = False

    @property
    def obsolete(self) -> bool:
        """Whether it was stopped because nothing would follow from its outcome."""
        return self.lost or self.cancelled

    def lose(self) -> None:
        """Stops the handler: another worker has the job."""
        self._stop()
        self.lost = True

    def cancel(self) -> None:
        """Stops the handler: its run has ended."""
        self._stop()
        self.cancelled = True

    def _stop(self) -> None:
        # An async handler is cancelled, an isolated one killed, a sync one sees it in its context. Once: a second
        # cancellation would interrupt what settles the attempt.
        if not self.obsolete:
            self.task.cancel()


class Attempts:
    """The table of the attempts under way, with two tasks of its own: `renew_leases` and `stop_cancelled`."""

    def __init__(
        self, store: RunStore, handlers: Sequence[BoundHandler], lease: float, observer: Observer
    ) -> None:
        #: Whether the worker hands back what runs: any other cancellation of an attempt is not its own.
        self.handing_back = False
        self._store = store
        self._handlers: Mapping[tuple[str, str, str], BoundHandler] = {
            (each.stage.queue, each.pipeline.name, each.stage.name): each for each in handlers
        }
        self._lease = lease
        self._observer = observer
        self._table: dict[tuple[str, int, int], Attempt] = {}

    def find(self, job: Job) -> Attempt | None:
        """The attempt under way for another delivery of the same message."""
        return self._table.get(_key(job))

    def begin(self, job: Job, delivery: Delivery) -> Attempt:
        """A new attempt, made by the running task."""
        task = asyncio.current_task()
        assert task is not None
        queue = delivery.queue
        handler = self._handlers.get((queue, job.pipeline, job.stage))
        next_stage = handler.next_stage if handler else None
        attempt = self._table[_key(job)] = Attempt(job, queue, handler, next_stage, [delivery], task)
        return attempt

    def end(self, attempt: Attempt) -> None:
        """Takes it out of the table."""
        del self._table[_key(attempt.job)]

    def running(self) -> Sequence[Running]:
        """The attempts that have their claim, oldest first."""
        return [
            Running(run_id=each.job.run_id, stage=each.job.stage, attempt=each.job.attempt, since=each.began)
            for each in self._table.values()
            if each.fence
        ]

    async def renew_leases(self) -> None:
        """Renews each claim three times a lease; stops an attempt whose job another worker has claimed."""
        while True:
            await asyncio.sleep(self._lease / 3)
            held = [attempt for attempt in self._table.values() if attempt.fence]
            renewed = await asyncio.gather(*map(self._renew, held), return_exceptions=True)
            for attempt, result in zip(held, renewed, strict=True):
                if result is False and self.find(attempt.job) is attempt:
                    self._observer.lease_lost(attempt.job)
                    attempt.lose()

    async def stop_cancelled(self) -> None:
        """Stops the running handlers whose run was ended from outside."""
        while True:
            await asyncio.sleep(_CANCEL_POLL_S)
            runs = list({attempt.job.run_id for attempt in self._table.values() if attempt.running})
            ended: set[str] = set()
            with suppress(StoreUnreachable):  # asked again soon
                ended = await self._store.ended(runs) if runs else ended
            for attempt in list(self._table.values()):
                if attempt.running and attempt.job.run_id in ended:
                    self._observer.cancelled(attempt.job)
                    attempt.cancel()

    async def _renew(self, attempt: Attempt) -> bool:
        return await self._store.renew(attempt.job, fence=attempt.fence, lease=self._lease)


def _key(job: Job) -> tuple[str, int, int]:
    """The same for every copy of a message, another one for the job's next attempt and its next round."""
    return job.id, job.generation, job.attempt
