"""The way of one message through a worker: verify, claim, perform, settle."""

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial

from mousetrap.jobs import Delivery, GiveUp, Job, MousetrapError, Outcome, Queue, RetryLater
from mousetrap.run_store import Busy, Decided, Granted, Over, RunStore
from mousetrap.worker.attempt import Attempt
from mousetrap.worker.context import context_of
from mousetrap.worker.leases import Leases
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.patience import Patience
from mousetrap.worker.perform import Performer, crash_loop, unknown_stage
from mousetrap.worker.postings import Posting, bury, postings, signed
from mousetrap.worker.progress import ProgressReporter
from mousetrap.worker.verify import Refused, verify

_log = logging.getLogger("mousetrap.worker")

#: An attempt begun more often than this killed its workers each time.
_MOST_STARTS = 5


class Handling:
    """Takes one delivery after another to its end; as many calls as the worker's concurrency run side by side."""

    def __init__(
        self,
        queue: Queue,
        store: RunStore,
        performers: Sequence[Performer],
        leases: Leases,
        options: WorkerOptions,
        patience: Patience,
    ) -> None:
        self._queue = queue
        self._store = store
        self._performers = {(p.stage.queue, p.pipeline.name, p.stage.name): p for p in performers}
        self._leases = leases
        self._name = options.name
        self._keyring = options.keyring
        self._patience = patience

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
        with self._leases.holding(attempt):
            try:
                await self._settle(attempt.deliveries, await self._claim_and_perform(attempt, delivery))
            except asyncio.CancelledError:
                if not attempt.lost:
                    await self._give_back(attempt)
                    raise
                # Another worker has the job, and a message of its own for it: this one has no more use.
                attempt.task.uncancel()
                await self._settle(attempt.deliveries, [])

    async def _claim_and_perform(self, attempt: Attempt, delivery: Delivery) -> list[Posting]:
        """What must be published before the job may be acknowledged."""
        job = attempt.job
        performer = self._performers.get((delivery.queue, job.pipeline, job.stage))
        match await self._claim(job, delivery.redelivered):
            case Granted(fence, starts):
                attempt.fence = fence
                outcome = await self._perform(attempt, performer, delivery.queue, starts)
                if not await self._decide(attempt, outcome, performer):
                    return []
            case Decided(recorded):
                outcome = recorded
            case Busy(seconds):
                # Parked, and not counted as a try: whoever holds the job will most likely finish it first.
                return [Posting(delivery.queue, signed(job, self._keyring), seconds)]
            case Over():
                return []
        following = performer.following if performer else None
        return postings(
            job,
            outcome,
            queue=delivery.queue,
            following=following,
            keyring=self._keyring,
            worker=self._name,
            now_ms=_now_ms(),
        )

    async def _claim(self, job: Job, redelivered: bool) -> Granted | Decided | Busy | Over:
        claim = partial(
            self._store.claim, job, worker=self._name, redelivered=redelivered, lease=self._leases.seconds
        )
        return await self._patience.until_done("claim jobs", claim)

    async def _perform(
        self, attempt: Attempt, performer: Performer | None, queue: str, starts: int
    ) -> Outcome:
        job = attempt.job
        if performer is None:
            return unknown_stage(job, queue)
        if starts > _MOST_STARTS:
            return crash_loop(starts)
        limit = performer.stage.timeout
        context = context_of(
            job,
            performer.deps,
            fence=attempt.fence,
            deadline=time.monotonic() + limit if limit else None,
            stopped=attempt.stopped,
            tell=ProgressReporter(self._store, job.run_id),
        )
        return await performer.perform(job, context)

    async def _decide(self, attempt: Attempt, outcome: Outcome, performer: Performer | None) -> bool:
        """Puts the outcome on record before anyone acts on it: a crash from here on repeats the act, not the work."""
        last = performer is not None and performer.following is None
        decide = partial(
            self._store.decide, attempt.job, outcome, fence=attempt.fence, worker=self._name, last=last
        )
        decided = await self._patience.until_done("record outcomes", decide)
        _log_outcome(attempt.job, outcome, decided)
        return decided

    async def _settle(self, deliveries: Sequence[Delivery], follow: Sequence[Posting]) -> None:
        # Publish before acknowledging: a crash between the two repeats a message, never loses one.
        for posting in follow:
            publish = partial(self._queue.publish, posting.queue, posting.message, after=posting.after)
            await self._patience.until_done(f"publish to {posting.queue}", publish)
        for delivery in deliveries:
            delivery.acknowledge()

    async def _give_back(self, attempt: Attempt) -> None:
        """Ends an attempt that has no time to finish: the queue gives its message to another worker."""
        if attempt.fence:
            try:
                await self._store.release(attempt.job, fence=attempt.fence, worker=self._name)
            except MousetrapError as error:  # the next worker takes a redelivered job over without it
                _log.warning("could not release a job: %s", error, extra={"run": attempt.job.run_id})
        for delivery in attempt.deliveries:
            delivery.hand_back()

    def _refusal(self, delivery: Delivery, refused: Refused) -> Posting:
        _log.warning("refused a message of %s: %s", delivery.queue, refused.failure.text)
        return bury(
            delivery.message,
            delivery.queue,
            refused.reason,
            refused.failure,
            job=None,
            worker=self._name,
            now_ms=_now_ms(),
        )


def _now_ms() -> int:
    return int(time.time() * 1000)


def _log_outcome(job: Job, outcome: Outcome, decided: bool) -> None:
    facts = {"run": job.run_id, "stage": job.stage, "attempt": job.attempt}
    match outcome:
        case _ if not decided:
            _log.warning("dropped an outcome: another worker has taken the job over", extra=facts)
        case RetryLater(after, failure):
            _log.warning("failed, again in %.1f s: %s: %s", after, failure.kind, failure.text, extra=facts)
        case GiveUp(reason, failure):
            _log.error("gave up (%s): %s: %s", reason, failure.kind, failure.text, extra=facts)
        case _:
            _log.info("done", extra=facts)
