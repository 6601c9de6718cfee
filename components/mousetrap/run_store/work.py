"""Claims jobs and records their outcomes."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec

from mousetrap.jobs import (
    PAYLOAD_BESIDE,
    Done,
    GiveUp,
    Job,
    MousetrapError,
    Outcome,
    RecordDamaged,
    RetryLater,
    StoreUnreachable,
)
from mousetrap.retry import RetryPolicy
from mousetrap.run_store.claim_replies import Claim, Granted, Unsigned, read_refusal
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.records import is_packed
from mousetrap.run_store.requests import ClaimRequest, Decision, DecisionRequest, Exchanged
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
    YieldValue,
    text_of,
)
from mousetrap.shapes import Progress

#: What happened to a value that a handler yielded.
Kept = Literal["recorded", "full", "stale", "over"]
#: Job, run, stage, attempt, fence, worker: the first arguments of every decision.
_About = tuple[str, str, str, int, int, str]


class Work(StoreConnection):
    """What a worker does with a job: claim it, renew and release the claim, record the outcome."""

    @property
    def keep(self) -> int:
        """Bytes of a recorded outcome that stays once what follows from it was claimed."""
        return self._keep

    async def exchange(
        self, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest], *, worker: str
    ) -> Exchanged:
        """Records outcomes and asks for jobs, in one call where nothing is unusual; see `decide` and `claim`.

        Raises StoreUnreachable when the call as a whole failed: then each of it may have happened or not.
        """
        versions = {it.job.v for it in decisions} | {it.job.v for it in claims}
        if min(versions, default=PAYLOAD_BESIDE) >= PAYLOAD_BESIDE:
            return await self._packed_work.exchange(decisions, claims, worker)
        decided = [self._decide_one(request, worker) for request in decisions]
        claimed = [self._claim_one(request, worker) for request in claims]
        results: list[Any] = await asyncio.gather(*decided, *claimed, return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException) and not isinstance(error, MousetrapError):
                raise error
        if results and all(
            isinstance(it, StoreUnreachable) and not isinstance(it, RecordDamaged) for it in results
        ):
            raise results[0]
        return Exchanged(results[: len(decisions)], results[len(decisions) :])

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
        request = ClaimRequest(job, redelivered, lease, lock, waits, crashes)
        (claim,) = (await self.exchange((), [request], worker=worker)).claims
        return cast(Claim, _raised(claim))

    async def replace_unsigned(self, job: Job, refused: Unsigned, why: GiveUp, *, worker: str) -> Decision:
        """Gives the job up because its record is not signed by us, so that nothing follows from the record.

        `stale` when the record has changed since: claim again. `over` when the run has ended otherwise.
        """
        if is_packed(job):
            return await self._packed_work.replace_unsigned(job, refused, why, worker)
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
                verdict=write_verdict(why, job, self._keyring),
                failure=text_of(why.failure),
                ttl=self._ttl,
            )
        )
        decision: Decision = reply[0]
        return decision

    async def begin(self, job: Job, *, fence: int, worker: str) -> int:
        """Records that a suspect starts, alone; how often it has now, or 0 when a later claim exists."""
        if is_packed(job):
            return await self._packed_work.begin(job, fence, worker)
        _, starts = await self._batches.call(
            BeginSuspect(job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl)
        )
        return int(starts)

    async def mark_survived(self, job: Job, *, worker: str) -> None:
        """Records that a worker which lost the job is alive, so that its start does not count as a crash. May be repeated.

        The store takes the same from a refused outcome.
        """
        if is_packed(job):
            await self._packed_work.mark_survived(job, worker)
        else:
            await self._batches.call(Survived(job.id, job.run_id, job.attempt, worker))

    async def ended(self, run_ids: Sequence[str]) -> set[str]:
        """Those of the runs that were ended from outside; of runs before wire format 5, those too that completed or failed."""
        ended, older = await self._packed_runs.ended(run_ids)
        if not older:
            return ended
        _, *more = await self._batches.call((ENDED, *older))
        return {*ended, *more}

    async def renew(self, job: Job, *, fence: int, lease: float) -> bool:
        """Extends a claim; False once a later claim exists."""
        if is_packed(job):
            return await self._packed_work.renew(job, fence, lease)
        reply = await self._batches.call(RenewClaim(job.id, job.run_id, fence, int(lease * 1000), self._ttl))
        return bool(reply[0] == "renewed")

    async def decide(
        self,
        job: Job,
        outcome: Outcome,
        *,
        fence: int,
        worker: str,
        last: bool,
        next_stage: str | None = None,
    ) -> Decision:
        """Records the outcome of an attempt, before it is acted on. With `last`, a Done's output is the run's result.

        `over` when the run was ended from outside: nothing follows. `stale` when a later claim exists, `unlocked` when the
        lock was lost: the outcome is dropped, but the job may have to run again.
        """
        request = DecisionRequest(job, outcome, Granted(fence, 0), last, next_stage)
        (decision,) = (await self.exchange([request], (), worker=worker)).decisions
        return cast(Decision, _raised(decision))

    async def _claim_one(self, request: ClaimRequest, worker: str) -> Claim:
        job = request.job
        if is_packed(job):
            (claim,) = (await self._packed_work.exchange((), [request], worker)).claims
            return cast(Claim, _raised(claim))
        reply = await self._batches.call(
            ClaimJob(
                job=job.id,
                run=job.run_id,
                pipeline=job.pipeline,
                stage=job.stage,
                attempt=job.attempt,
                parent="" if request.in_place else job.parent or "",
                accepted_ms=job.accepted_ms,
                generation=job.generation,
                expires_ms=job.expires_ms or 0,
                worker=worker,
                redelivered=request.redelivered,
                lock=request.lock,
                waits=request.waits,
                crashes=request.crashes,
                lease=int(request.lease * 1000),
                keep=self._keep,
                ttl=self._ttl,
            )
        )
        if reply[0] == "granted":
            return Granted(*reply[1:])
        return read_refusal(reply, job, self._keyring)

    async def _decide_one(self, request: DecisionRequest, worker: str) -> Decision:
        job, outcome, fence, last = request.job, request.outcome, request.claim.fence, request.last
        if is_packed(job):
            (recorded,) = (await self._packed_work.exchange([request], (), worker)).decisions
            return cast(Decision, _raised(recorded))
        about = (job.id, job.run_id, job.stage, job.attempt, fence, worker)
        if isinstance(outcome, Done) and last:
            result = bytes(outcome.output).decode()
            referred = "" if isinstance(outcome.reference, msgspec.UnsetType) else text_of(outcome.reference)
            reply = await self._batches.call(CompleteRun(*about, result, referred, self._ttl))
        elif isinstance(outcome, Done):
            reply = await self._batches.call(
                RecordDone(*about, write_verdict(outcome, job, self._keyring), self._ttl)
            )
        else:
            reply = await self._batches.call(self._failed_attempt(about, job, outcome))
        decision: Decision = reply[0]
        return decision

    async def release(self, job: Job, *, fence: int, worker: str) -> None:
        """Returns a claim undecided; the start does not count."""
        if is_packed(job):
            await self._packed_work.release(job, fence, worker)
            return
        await self._batches.call(
            ReleaseClaim(job.id, job.run_id, job.stage, job.attempt, fence, worker, self._ttl)
        )

    async def keep_value(
        self,
        job_id: str,
        run_id: str,
        stage: str,
        attempt: int,
        fence: int,
        worker: str,
        number: int,
        value: bytes,
    ) -> Kept:
        """Keeps the value (JSON) that a handler yielded as its attempt's `number`th, as an event of the run.

        The same number under the same fence is kept once. `full` beyond what a run keeps: the value is not kept, and one
        event of the kind `truncated` notes it. `stale` when a later claim exists or the job is decided, `over` when the run
        has ended.
        """
        kept_value = YieldValue(job_id, run_id, stage, attempt, fence, worker, number, value.decode())
        kept = await self._packed_runs.keep_value(kept_value)
        if kept == "unknown":
            (kept,) = await self._batches.call(kept_value)
        return cast(Kept, kept)

    async def report(self, run_id: str, progress: Progress) -> None:
        """Records the progress of a running handler."""
        if await self._packed_runs.report(run_id, text_of(progress)) == "unknown":
            await self._batches.call(ReportProgress(run_id, text_of(progress)))

    def _failed_attempt(self, about: _About, job: Job, outcome: RetryLater | GiveUp) -> Transition:
        """The transition that records it. The traceback is kept once, in the timeline."""
        story = text_of(outcome.failure)
        short = msgspec.structs.replace(outcome, failure=outcome.failure.without_traceback())
        if isinstance(short, GiveUp):
            return RecordGiveUp(
                *about, write_verdict(short, job, self._keyring), text_of(short.failure), story, self._ttl
            )
        delay = int(short.after * 1000)
        if short.counted:
            return RecordRetry(*about, write_verdict(short, job, self._keyring), story, delay, self._ttl)
        return WaitOut(*about, story, delay, self._ttl)


def _raised(result: Any) -> Any:
    """The result of a request that is alone in its exchange, unless it is an error."""
    if isinstance(result, MousetrapError):
        raise result
    return result
