"""Takes one message from its delivery to its acknowledgement."""

import asyncio

from mousetrap.handlers import record_refused
from mousetrap.jobs import Delivery, Outcome, RecordDamaged
from mousetrap.run_store import Busy, Claim, Decided, Decision, Forgotten, Granted, Locked, Unsigned
from mousetrap.telemetry import Observer
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.claims import Claims
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.run_claimed import ClaimedRunner
from mousetrap.worker.settle import Drop, Ending, HandBack, Refuse, Settler, after, unrecorded, waiting
from mousetrap.worker.verify import damaged, forgotten, verify


class Processor:
    """The way of a message; as many are under way at once as the worker's concurrency allows."""

    def __init__(
        self, attempts: Attempts, claims: Claims, settler: Settler, options: WorkerOptions, observer: Observer
    ) -> None:
        self._attempts = attempts
        self._claims = claims
        self._runner = ClaimedRunner(claims, attempts, observer)
        self._settle = settler.settle
        self._options = options

    async def process(self, delivery: Delivery) -> None:
        """Verify, claim, run, record, publish, acknowledge."""
        job = verify(delivery.message, self._options.keyring)
        if isinstance(job, Refuse):
            await self._settle([delivery], None, job)
            return
        if (running := self._attempts.find(job)) is not None:
            running.deliveries.append(delivery)  # the queue delivered it again: the attempt settles both
            return
        attempt = self._attempts.begin(job, delivery)
        try:
            try:
                claim = await self._claims.claim(attempt)
                if isinstance(claim, Granted):
                    outcome = await self._runner.run(attempt, claim)
                    ending = await self._record(attempt, outcome)
                else:
                    ending = await self._without_claim(attempt, claim)
            except RecordDamaged as error:
                ending = damaged(job, error)
            await self._settle(attempt.deliveries, job, ending)
        except asyncio.CancelledError:
            await self._settle(attempt.deliveries, job, await self._stopped(attempt))
            if not attempt.obsolete:
                raise
        finally:
            self._attempts.end(attempt)

    async def _record(self, attempt: Attempt, outcome: Outcome | Decision) -> Ending:
        if isinstance(outcome, str):  # it did not run
            return self._ending(attempt, None, outcome)
        return self._ending(attempt, outcome, await self._claims.record(attempt, outcome))

    async def _without_claim(self, attempt: Attempt, claim: Claim) -> Ending:
        """The ending of a job that the store did not grant."""
        match claim:
            case Decided(outcome):
                return self._ending(attempt, outcome, "recorded")
            case Unsigned() as record:
                refused = record_refused(record.why)
                decision = await self._claims.give_up_unsigned(attempt.job, record, refused)
                return self._ending(attempt, refused, decision)
            case Busy() | Locked():
                return waiting(claim)
            case Forgotten():
                return forgotten(attempt.job)
            case _:
                return Drop()

    def _ending(self, attempt: Attempt, outcome: Outcome | None, decision: Decision) -> Ending:
        if outcome is None or decision != "recorded":
            return unrecorded(decision, self._options.lease)
        next_stage = attempt.handler.next_stage if attempt.handler else None
        return after(outcome, attempt.job, attempt.queue, next_stage)

    async def _stopped(self, attempt: Attempt) -> Ending:
        """Gives up the claim of an attempt that was cancelled: by the worker's end, or because it is obsolete."""
        if attempt.obsolete:
            attempt.task.uncancel()
        if attempt.lost:
            await self._claims.survived(attempt)
            return unrecorded("stale", self._options.lease)
        await self._claims.release(attempt)
        return Drop() if attempt.cancelled else HandBack()
