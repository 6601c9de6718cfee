"""Takes one message from its delivery to its acknowledgement."""

import asyncio

from mousetrap.jobs import Delivery, Outcome, RecordDamaged
from mousetrap.run_store import Busy, Claim, Decided, Decision, Forgotten, Granted, Locked
from mousetrap.telemetry import Observer
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.claims import Claims
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.run_claimed import ClaimedRunner
from mousetrap.worker.settle import Drop, Ending, HandBack, Refuse, Settler, ending_of, unrecorded, waiting
from mousetrap.worker.verify import damaged, forgotten, verify


class Processor:
    """The way of a message; as many are under way at once as the worker's concurrency allows.

    1. A message that is no job of ours is refused: it becomes a dead letter.
    2. A job that is under way already takes the new delivery over.
    3. Otherwise an attempt begins, and claims the job. Without the claim it is parked, dropped, or settled by its record.
    4. With the claim its handler runs, and the outcome is recorded.
    5. What follows from the record is published; then the deliveries are acknowledged.
    6. An attempt that is stopped gives its claim up, and its deliveries are handed back, parked or dropped.
    """

    def __init__(
        self, attempts: Attempts, claims: Claims, settler: Settler, options: WorkerOptions, observer: Observer
    ) -> None:
        self._attempts = attempts
        self._claims = claims
        self._run = ClaimedRunner(claims, attempts, observer).run
        self._settle = settler.settle
        self._options = options

    async def process(self, delivery: Delivery) -> None:
        """Verify, claim, run, record, publish, acknowledge."""
        job = verify(delivery.message, self._options.keyring)
        if isinstance(job, Refuse):
            await self._settle([delivery], job)
            return
        if (running := self._attempts.find(job)) is not None:
            running.deliveries.append(delivery)  # the queue delivered it again: the attempt settles both
            return
        attempt = self._attempts.begin(job, delivery)
        try:
            try:
                claim = await self._claims.claim(attempt)
                if isinstance(claim, Granted):
                    outcome = await self._run(attempt, claim)
                    ending = await self._record(attempt, outcome)
                else:
                    ending = self._without_claim(attempt, claim)
            except RecordDamaged as error:
                ending = damaged(job, error)
            await self._settle(attempt.deliveries, ending)
        except asyncio.CancelledError:
            await self._settle(attempt.deliveries, await self._stopped(attempt))
            if not attempt.obsolete:
                raise
        finally:
            self._attempts.end(attempt)

    async def _record(self, attempt: Attempt, outcome: Outcome | Decision) -> Ending:
        """Records the outcome of a job that ran; a Decision is what the store would have answered for one that did not."""
        if isinstance(outcome, str):
            return unrecorded(outcome, attempt.job, self._options.lease)
        decision = await self._claims.record(attempt, outcome)
        if decision != "recorded":
            return unrecorded(decision, attempt.job, self._options.lease)
        return ending_of(outcome, attempt.job, attempt.queue, attempt.next_stage)

    def _without_claim(self, attempt: Attempt, claim: Claim) -> Ending:
        """The ending of a job that the store did not grant."""
        match claim:
            case Decided(outcome):
                return ending_of(outcome, attempt.job, attempt.queue, attempt.next_stage)
            case Busy() | Locked():
                return waiting(claim, attempt.job)
            case Forgotten():
                return forgotten(attempt.job)
            case _:
                return Drop()

    async def _stopped(self, attempt: Attempt) -> Ending:
        """Gives up the claim of an attempt that was cancelled: by the worker's end, or because it is obsolete."""
        if attempt.obsolete:
            attempt.task.uncancel()
        if attempt.lost:
            await self._claims.mark_survived(attempt)
            return unrecorded("stale", attempt.job, self._options.lease)
        await self._claims.release(attempt)
        return Drop() if attempt.cancelled else HandBack()
