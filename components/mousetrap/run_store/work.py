"""Claims jobs and records their outcomes."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from mousetrap.jobs import Done, GiveUp, Job, Outcome, RetryLater
from mousetrap.retry import RetryPolicy
from mousetrap.run_store.claim_replies import Claim, Unsigned, read_claim
from mousetrap.run_store.connection import StoreConnection, text_of
from mousetrap.run_store.signed_records import write_verdict
from mousetrap.run_store.transitions import (
    ENDED,
    BeginSuspect,
    ClaimJob,
    CompleteRun,
    DistrustRecord,
    RecordDone,
    RecordGiveUp,
    RecordRetry,
    ReleaseClaim,
    RenewClaim,
    ReportProgress,
    Survived,
    Transition,
    WaitOut,
)
from mousetrap.shapes import Progress

#: What happened to an outcome that was to be recorded.
Decision = Literal["recorded", "stale", "unlocked", "over"]
#: Job, run, stage, attempt, fence, worker: the first arguments of every decision.
_About = tuple[str, str, str, int, int, str]


class Work(StoreConnection):
    """What a worker does with a job: claim it, renew and release the claim, record the outcome."""

    async def claim(
        self,
        job: Job,
        *,
        worker: str,
        redelivered: bool,
        lease: float,
        lock: str = "",
        waits: bool = True,
        crashes: int = RetryPolicy().crashes,
    ) -> Claim:
        """Asks for a job. A redelivered one is taken over at once, because its last holder's connection is gone; one that was
        started `crashes` times without an end only when its last claim has ended.

        With `lock`, the claim includes that lock; with `waits`, it is refused while another job holds the lock.
        """
        reply = await self._batches.call(
            ClaimJob(
                job=job.id,
                run=job.run_id,
                pipeline=job.pipeline,
                stage=job.stage,
                attempt=job.attempt,
                parent=job.parent or "",
                accepted_ms=job.accepted_ms,
                generation=job.generation,
                expires_ms=job.expires_ms or 0,
                worker=worker,
                redelivered=redelivered,
                lock=lock,
                waits=waits,
                crashes=crashes,
                lease=int(lease * 1000),
                keep=self._keep,
                ttl=self._ttl,
            )
        )
        return read_claim(reply, job, self._keyring)

    async def replace_unsigned(self, job: Job, refused: Unsigned, why: GiveUp, *, worker: str) -> Decision:
        """Gives the job up because its record is not signed by us, so that nothing follows from the record.

        `stale` when the record has changed since: claim again. `over` when the run has ended otherwise.
        """
        reply = await self._batches.call(
            DistrustRecord(
                job=job.id,
                run=job.run_id,
                pipeline=job.pipeline,
                stage=job.stage,
                attempt=job.attempt,
                accepted_ms=job.accepted_ms,
                worker=worker,
                refused=refused.record,
                verdict=self._verdict(job, why),
                failure=text_of(why.failure),
                ttl=self._ttl,
            )
        )
        decision: Decision = reply[0]
        return decision

    async def begin(self, job: Job, *, fence: int, worker: str) -> int:
        """Records that a suspect starts, alone; how often it has now, or 0 when a later claim exists."""
        _, starts = await self._batches.call(
            BeginSuspect(job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl)
        )
        return int(starts)

    async def mark_survived(self, job: Job) -> None:
        """Records that a worker which lost the job is alive, so that this start does not count as a crash."""
        await self._batches.call(Survived(job.id, job.attempt))

    async def ended(self, run_ids: Sequence[str]) -> set[str]:
        """Those of the runs that have ended."""
        _, *ended = await self._batches.call((ENDED, *run_ids))
        return set(ended)

    async def renew(self, job: Job, *, fence: int, lease: float) -> bool:
        """Extends a claim; False once a later claim exists."""
        reply = await self._batches.call(RenewClaim(job.id, job.run_id, fence, int(lease * 1000), self._ttl))
        return bool(reply[0] == "renewed")

    async def decide(self, job: Job, outcome: Outcome, *, fence: int, worker: str, last: bool) -> Decision:
        """Records the outcome of an attempt, before it is acted on. With `last`, a Done's output is the run's result.

        `over` when the run was ended from outside: nothing follows. `stale` when a later claim exists, `unlocked` when the
        lock was lost: the outcome is dropped, but the job may have to run again.
        """
        about = (job.id, job.run_id, job.stage, job.attempt, fence, worker)
        if isinstance(outcome, Done) and last:
            reply = await self._batches.call(CompleteRun(*about, bytes(outcome.output).decode(), self._ttl))
        elif isinstance(outcome, Done):
            reply = await self._batches.call(RecordDone(*about, self._verdict(job, outcome), self._ttl))
        else:
            reply = await self._batches.call(self._failed_attempt(about, job, outcome))
        decision: Decision = reply[0]
        return decision

    async def release(self, job: Job, *, fence: int, worker: str) -> None:
        """Returns a claim undecided; the start does not count."""
        await self._batches.call(
            ReleaseClaim(job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl)
        )

    async def report(self, run_id: str, progress: Progress) -> None:
        """Records the progress of a running handler."""
        await self._batches.call(ReportProgress(run_id, text_of(progress)))

    def _failed_attempt(self, about: _About, job: Job, outcome: RetryLater | GiveUp) -> Transition:
        """The transition that records it. The traceback is kept once, in the timeline."""
        story = text_of(outcome.failure)
        short = msgspec.structs.replace(outcome, failure=outcome.failure.without_traceback())
        if isinstance(short, GiveUp):
            return RecordGiveUp(*about, self._verdict(job, short), text_of(short.failure), story, self._ttl)
        delay = int(short.after * 1000)
        if short.counted:
            return RecordRetry(*about, self._verdict(job, short), story, delay, self._ttl)
        return WaitOut(*about, story, delay, self._ttl)

    def _verdict(self, job: Job, outcome: Outcome) -> str:
        return write_verdict(outcome, job, self._keyring).decode()
