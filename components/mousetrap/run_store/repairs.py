"""Cancels runs and redrives dead jobs."""

from collections.abc import Mapping
from typing import Literal, cast

import msgspec

from mousetrap.jobs import Done, Failure, Job
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.keys import job_key
from mousetrap.run_store.records import RecordBroken, decode_job, is_packed
from mousetrap.run_store.signed_records import read_verdict
from mousetrap.run_store.transitions import CancelRun, JobRedriven, RedriveJob, text_of
from mousetrap.shapes import RunState
from mousetrap.signing import SignatureRefused


class Repairs(StoreConnection):
    """What an operator does: cancel a run, redrive a dead job, read an output for a re-run."""

    @property
    def ended_from_outside(self) -> Mapping[tuple[str, str], int]:
        """How many runs this process has cancelled and rejected, by pipeline and state; of two at the same moment both count."""
        return self._packed_runs.ended_outside

    async def cancel(self, run_id: str, why: Failure | None = None) -> RunState | None:
        """The state after this: `cancelled`, or the one in which the run had ended; None for an unknown run."""
        failure = text_of(why) if why else ""
        state = await self._packed_runs.cancel(run_id, failure)
        if state == "unknown":
            state = await self._cancel_older(run_id, failure)
        return None if state == "unknown" else RunState(state)

    async def _cancel_older(self, run_id: str, failure: str) -> str:
        (state,) = await self._batches.call(CancelRun(run_id, failure, self._ttl))
        return str(state)

    async def redrive(self, job: Job) -> Job | Literal["stale", "busy"]:
        """Records that a dead job is redriven, before it is published. Gives the job to publish, which no longer expires and is
        no longer too old.

        `stale`: the job has continued since the letter. `busy`: a worker has the job now. The call may be repeated before the
        job is published. The run is reopened by `mark_redriven`, or when a worker claims the job.
        """
        if is_packed(job):
            return await self._packed_work.redrive(job)
        reply, accepted_ms = await self._batches.call(
            RedriveJob(job.id, job.run_id, job.generation, self._ttl)
        )
        if reply == "redriven":
            return job.redriven(accepted_ms)
        return "busy" if reply == "busy" else "stale"

    async def mark_redriven(self, job: Job) -> None:
        """Records that the broker has the job that `redrive` gave: its run is reopened."""
        if is_packed(job):
            await self._packed_work.mark_redriven(job)
            return
        await self._batches.call(
            JobRedriven(
                job.id, job.run_id, job.pipeline, job.stage, job.accepted_ms, job.generation, self._ttl
            )
        )

    async def generation(self, run_id: str, job_id: str) -> int:
        """How often the job was redriven; 0 for one that the store does not know."""
        record = await self._packed_runs.job(run_id, job_id)
        if record is not None:
            try:
                return decode_job(record).facts.generation
            except RecordBroken:
                return 0
        async with self._reaching():
            reached = await self._client.call("HGET", job_key(job_id), "generation")
        return int(reached) if isinstance(reached, bytes) and reached.isdigit() else 0

    async def output(self, job: Job) -> Done | None:
        """The outcome of a job with its output in it, where that is kept: one larger than the store keeps is deleted when the
        next stage has it.

        Raises SignatureRefused for a record that is not ours, and PayloadUnusable.
        """
        verdict, generation = await self._packed_verdict(job) or await self._verdict(job)
        if not verdict:
            return None
        outcome = read_verdict(verdict, msgspec.structs.replace(job, generation=generation), self._keyring)
        if not isinstance(outcome, Done):
            return None
        if isinstance(outcome.reference, msgspec.UnsetType):
            return outcome
        whole = msgspec.Raw(await self.payloads.get(outcome.reference))
        return msgspec.structs.replace(outcome, output=whole, reference=msgspec.UNSET)

    async def _verdict(self, job: Job) -> tuple[bytes, int]:
        async with self._reaching():
            held = await self._client.call("HMGET", job_key(job.id), "verdict", "generation")
        verdict, reached = cast(list[bytes | None], held)
        return verdict or b"", int(reached) if reached and reached.isdigit() else 0

    async def _packed_verdict(self, job: Job) -> tuple[bytes, int] | None:
        """The verdict on a packed job and the generation that it is of; None for one that is not packed."""
        record = await self._packed_runs.job(job.run_id, job.id)
        if record is None:
            return None
        try:
            held = decode_job(record)
        except RecordBroken as error:
            raise SignatureRefused(f"the record in the store is not ours: {error}") from error
        # The last stage's output is the run's result, which no stage follows.
        return held.verdict if held.facts.next or held.state != "done" else b"", held.facts.generation
