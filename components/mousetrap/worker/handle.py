"""The way of one message through a worker: verify, claim, perform, settle."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from mousetrap.handlers import BoundHandler, record_refused
from mousetrap.jobs import (
    Delivery,
    Done,
    GiveUp,
    Job,
    MousetrapError,
    Outcome,
    Queue,
    RecordDamaged,
    RetryLater,
)
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import (
    Busy,
    Claim,
    Decided,
    Decision,
    Forgotten,
    Granted,
    Locked,
    Over,
    RunStore,
    Unsigned,
)
from mousetrap.worker.attempt import Attempt
from mousetrap.worker.leases import Leases
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.patience import Patience
from mousetrap.worker.postings import Posting, bury, postings, signed
from mousetrap.worker.undertake import Undertaking
from mousetrap.worker.verify import Refused, damaged, forgotten, verify
from mousetrap.worker.watching import Watching

_log = logging.getLogger("mousetrap.worker")

#: Seconds until a job that waits for a lock asks again: a quarter of what it has waited, between these two.
_SOONEST, _LATEST = 0.2, 10.0


class Handling:
    """Takes one delivery after another to its end; as many calls as the worker's concurrency run side by side."""

    def __init__(
        self,
        queue: Queue,
        store: RunStore,
        performers: Sequence[BoundHandler],
        leases: Leases,
        options: WorkerOptions,
        patience: Patience,
        watching: Watching,
    ) -> None:
        self._queue = queue
        self._store = store
        self._performers = {(p.stage.queue, p.pipeline.name, p.stage.name): p for p in performers}
        self._leases = leases
        self._name = options.name
        self._keyring = options.keyring
        self._patience = patience
        self._watching = watching
        self._undertaking = Undertaking(store, options.name, patience, watching)

    async def handle(self, delivery: Delivery) -> None:
        """Settles the delivery, or hands it to the attempt that is already under way for its job."""
        job = verify(delivery.message, self._keyring)
        if isinstance(job, Refused):
            await self._settle([delivery], [self._refusal(delivery, job)])
        elif (attempt := self._leases.find(job)) is not None:
            attempt.deliveries.append(delivery)
        else:
            await self._attempt(job, delivery)

    async def count(self, queue: str) -> int:
        """How many messages wait in `queue`, however long it takes to learn that."""
        return await self._patience.until_done("count messages", partial(self._queue.ready, queue))

    async def _attempt(self, job: Job, delivery: Delivery) -> None:
        attempt = Attempt.of_this_task(job, delivery)
        self._leases.hold(attempt)
        try:
            await self._settle(attempt.deliveries, await self._postings(attempt, delivery))
        except asyncio.CancelledError:
            if not attempt.useless:
                await self._give_back(attempt)
                raise
            attempt.task.uncancel()
            await self._drop(attempt)
        finally:
            self._leases.drop(attempt)

    async def _postings(self, attempt: Attempt, delivery: Delivery) -> list[Posting]:
        try:
            return await self._claim_and_perform(attempt, delivery)
        except RecordDamaged as error:
            return [self._refusal(delivery, damaged(attempt.job, error), attempt.job)]

    async def _claim_and_perform(self, attempt: Attempt, delivery: Delivery) -> list[Posting]:
        """What must be published before the job may be acknowledged."""
        job = attempt.job
        performer = self._performers.get((delivery.queue, job.pipeline, job.stage))
        match await self._claim(job, performer, delivery.redelivered):
            case Granted() as claim:
                return await self._perform_and_decide(attempt, performer, claim)
            case Decided(outcome):
                return self._following(attempt, outcome, performer)
            case Busy(seconds):
                # Parked, and not counted as a try: whoever holds the job will most likely finish it first.
                return [self._parked(attempt, seconds)]
            case Locked(_, waited):
                return [self._parked(attempt, min(_LATEST, max(_SOONEST, waited / 4)))]
            case Unsigned() as record:
                return await self._distrust(attempt, record, performer)
            case Forgotten():
                return [self._refusal(delivery, forgotten(job), job)]
            case Over():
                return []

    async def _distrust(
        self, attempt: Attempt, record: Unsigned, performer: BoundHandler | None
    ) -> list[Posting]:
        """Gives a job up whose outcome on record somebody else wrote: that outcome must never become a message of ours."""
        outcome = record_refused(record.why)
        distrust = partial(self._store.distrust, attempt.job, record, outcome, worker=self._name)
        decision = await self._patience.until_done("record outcomes", distrust)
        _log_outcome(attempt.job, outcome, decision)
        self._watching.failed += decision == "recorded"
        if decision != "recorded":
            return self._instead(attempt, decision)
        return self._following(attempt, outcome, performer)

    async def _perform_and_decide(
        self, attempt: Attempt, performer: BoundHandler | None, claim: Granted
    ) -> list[Posting]:
        attempt.fence = claim.fence
        outcome = await self._undertaking.outcome(attempt, performer, claim)
        if isinstance(outcome, str):
            return self._instead(attempt, outcome)
        decision = await self._decide(attempt, outcome, performer)
        if decision != "recorded":
            return self._instead(attempt, decision)
        return self._following(attempt, outcome, performer)

    def _following(self, attempt: Attempt, outcome: Outcome, performer: BoundHandler | None) -> list[Posting]:
        return postings(
            attempt.job,
            outcome,
            queue=attempt.queue,
            following=performer.next_stage if performer else None,
            keyring=self._keyring,
            worker=self._name,
            now_ms=_now_ms(),
        )

    def _instead(self, attempt: Attempt, decision: Decision) -> list[Posting]:
        """What must be published where nothing was recorded, before the job may be acknowledged."""
        match decision:
            case "unlocked":
                return [self._parked(attempt, _SOONEST)]
            case "stale":
                # Whoever won may be nobody: a claim can reach the store long after its worker gave it up or died. So this
                # message stays until the winner has decided, or its claim has ended.
                return [self._parked(attempt, self._leases.seconds)]
            case _:
                return []

    def _parked(self, attempt: Attempt, seconds: float) -> Posting:
        return Posting(attempt.queue, signed(attempt.job, self._keyring), seconds)

    async def _claim(self, job: Job, performer: BoundHandler | None, redelivered: bool) -> Claim:
        lock = performer.stage.lock if performer else None
        claim = partial(
            self._store.claim,
            job,
            worker=self._name,
            redelivered=redelivered,
            lease=self._leases.seconds,
            lock=lock.key(bytes(job.payload)) if lock else "",
            waits=lock is not None and lock.on_conflict == "wait",
            crashes=(performer.stage.retry if performer else RetryPolicy()).crashes,
        )
        return await self._patience.until_done("claim jobs", claim)

    async def _decide(self, attempt: Attempt, outcome: Outcome, performer: BoundHandler | None) -> Decision:
        """Puts the outcome on record before anyone acts on it: a crash from here on repeats the act, not the work."""
        last = performer is not None and performer.next_stage is None
        decide = partial(
            self._store.decide, attempt.job, outcome, fence=attempt.fence, worker=self._name, last=last
        )
        decision = await self._patience.until_done("record outcomes", decide)
        _log_outcome(attempt.job, outcome, decision)
        self._watching.done += decision == "recorded" and isinstance(outcome, Done)
        self._watching.failed += decision == "recorded" and _has_failed(outcome)
        return decision

    async def _settle(self, deliveries: Sequence[Delivery], follow: Sequence[Posting]) -> None:
        # Publish before acknowledging: a crash between the two repeats a message, never loses one.
        for posting in follow:
            publish = partial(self._queue.publish, posting.queue, posting.message, after=posting.after)
            await self._patience.until_done(f"publish to {posting.queue}", publish)
        for delivery in deliveries:
            delivery.acknowledge()

    async def _give_back(self, attempt: Attempt) -> None:
        """Ends an attempt that has no time to finish: the queue gives its message to another worker."""
        await self._release(attempt)
        for delivery in attempt.deliveries:
            delivery.hand_back()

    async def _drop(self, attempt: Attempt) -> None:
        """Ends an attempt that nobody needs: its run is over, or a later claim has won."""
        if not attempt.lost:
            await self._release(attempt)
        elif attempt.counted:
            with suppress(MousetrapError):  # at worst the job runs alone, a little sooner than it deserves
                await self._store.survived(attempt.job)
        await self._settle(attempt.deliveries, self._instead(attempt, "stale" if attempt.lost else "over"))

    async def _release(self, attempt: Attempt) -> None:
        if not attempt.fence:
            return
        try:
            await self._store.release(attempt.job, fence=attempt.fence, worker=self._name)
        except MousetrapError as error:
            # A redelivered job is taken over without it, and a lock ends with its lease.
            _log.warning("could not release a job: %s", error, extra={"run": attempt.job.run_id})

    def _refusal(self, delivery: Delivery, refused: Refused, job: Job | None = None) -> Posting:
        self._watching.failed += 1
        _log.warning("refused a message of %s: %s", delivery.queue, refused.failure.text)
        return bury(
            delivery.message,
            delivery.queue,
            refused.reason,
            refused.failure,
            job=job,
            worker=self._name,
            now_ms=_now_ms(),
        )


def _now_ms() -> int:
    return int(time.time() * 1000)


def _has_failed(outcome: Outcome) -> bool:
    """An outage of what the handler depends on is no failure of its own."""
    return isinstance(outcome, GiveUp) or (isinstance(outcome, RetryLater) and outcome.counted)


def _log_outcome(job: Job, outcome: Outcome, decision: Decision) -> None:
    facts = {"run": job.run_id, "stage": job.stage, "attempt": job.attempt}
    match outcome:
        case _ if decision == "over":
            _log.info("dropped an outcome: the run has ended meanwhile", extra=facts)
        case _ if decision == "stale":
            _log.warning("dropped an outcome: another worker has taken the job over", extra=facts)
        case _ if decision == "unlocked":
            _log.warning("dropped an outcome: the lock was lost meanwhile; the job comes again", extra=facts)
        case RetryLater(after, failure, counted=False):
            _log.warning("an outage, again in %.1f s: %s: %s", after, failure.kind, failure.text, extra=facts)
        case RetryLater(after, failure):
            _log.warning("failed, again in %.1f s: %s: %s", after, failure.kind, failure.text, extra=facts)
        case GiveUp(reason, failure):
            _log.error("gave up (%s): %s: %s", reason, failure.kind, failure.text, extra=facts)
        case _:
            _log.info("done", extra=facts)
