"""Claims jobs in the run store and records their outcomes, through outages."""

from contextlib import suppress

from mousetrap.handlers import record_refused
from mousetrap.jobs import Failure, Job, MousetrapError, Outcome
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import Busy, Claim, Decided, Decision, Granted, Over, RunStore, Unsigned
from mousetrap.telemetry import Observer
from mousetrap.worker.attempts import Attempt
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages

#: For a job whose stage has no handler here.
_DEFAULT_POLICY = RetryPolicy()


class Claims:
    """A worker's side of the run store.

    1. `claim` asks for the job; granted, it sets the attempt's fence. A record that is not ours is replaced.
    2. `begin` notes the start of a suspect.
    3. `record` records an outcome, or `release` gives the claim back.
    """

    def __init__(self, store: RunStore, options: WorkerOptions, outages: Outages, observer: Observer) -> None:
        self._store = store
        self._worker = options.name
        self._lease = options.lease
        self._outages = outages
        self._observer = observer

    async def claim(self, attempt: Attempt) -> Claim:
        """Asks the store for the job."""
        job, handler = attempt.job, attempt.handler
        lock = handler.stage.lock if handler else None
        claim = await self._outages.retry_until_up(
            "claim jobs",
            self._store.claim,
            job,
            worker=self._worker,
            redelivered=attempt.deliveries[0].redelivered,
            lease=self._lease,
            lock=lock.key(bytes(job.payload)) if lock else "",
            waits=lock is not None and lock.on_conflict == "wait",
            crashes=(handler.stage.retry if handler else _DEFAULT_POLICY).crashes,
        )
        if isinstance(claim, Granted):
            attempt.fence = claim.fence
            self._observer.claimed(job, claim.fence)
        return await self._give_up(job, claim) if isinstance(claim, Unsigned) else claim

    async def _give_up(self, job: Job, record: Unsigned) -> Claim:
        """Gives up a job whose recorded outcome is not ours: no message of ours may follow from that."""
        outcome = record_refused(record.why)
        decision = await self._outages.retry_until_up(
            "record outcomes", self._store.replace_unsigned, job, record, outcome, worker=self._worker
        )
        self._observer.recorded(job, outcome, decision)
        match decision:
            case "recorded":
                return Decided(outcome)
            case "over":
                return Over()
            case _:  # another worker has recorded something since
                return Busy(self._lease)

    async def begin(self, attempt: Attempt) -> bool:
        """Notes that a suspect begins, for its start counts only now; False when another worker has it."""
        starts = await self._outages.retry_until_up(
            "begin jobs", self._store.begin, attempt.job, fence=attempt.fence, worker=self._worker
        )
        attempt.counted = bool(starts)
        return attempt.counted

    async def record(self, attempt: Attempt, outcome: Outcome) -> Decision:
        """Records the outcome before anyone acts on it: a crash from here on repeats the act, not the work."""
        decision = await self._outages.retry_until_up(
            "record outcomes",
            self._store.decide,
            attempt.job,
            outcome,
            fence=attempt.fence,
            worker=self._worker,
            last=attempt.handler is not None and attempt.next_stage is None,
        )
        self._observer.recorded(attempt.job, outcome, decision)
        return decision

    async def end_run(self, job: Job, why: Failure) -> None:
        """Ends the job's run as cancelled."""
        await self._outages.retry_until_up("end runs", self._store.cancel, job.run_id, why)

    async def release(self, attempt: Attempt) -> None:
        """Gives a claim back undecided, once: without it a lock ends with its lease, and a redelivered job is taken over."""
        if not attempt.fence:
            return
        try:
            await self._store.release(attempt.job, fence=attempt.fence, worker=self._worker)
        except MousetrapError as error:
            self._observer.outage(attempt.job, "release a job", error)

    async def mark_survived(self, attempt: Attempt) -> None:
        """Notes that this worker lives, whose job another one has: its start does not count as a crash."""
        if attempt.counted:
            with suppress(MousetrapError):  # at worst the job runs alone one start too early
                await self._store.mark_survived(attempt.job)
